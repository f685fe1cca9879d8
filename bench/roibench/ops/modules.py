"""The operators as layers, with torchvision's names and arguments; their docstrings say what they compute."""

from collections.abc import Callable, Mapping, Sequence

import torch
from torch import Tensor, nn

from roibench.ops.losses import Reduction, sigmoid_focal_loss
from roibench.ops.pyramid import roi_spatial_pyramid_pool, spatial_pyramid_pool
from roibench.ops.roi import as_rois, pair, ps_roi_pool, roi_align, roi_pool


class _Layer(nn.Module):
    """Arguments that are attributes, and shown."""

    def __init__(self, **arguments: object) -> None:
        super().__init__()
        self._names = tuple(arguments)
        for name, value in arguments.items():
            setattr(self, name, value)

    def extra_repr(self) -> str:
        return ", ".join(f"{name}={getattr(self, name)}" for name in self._names)


class RoIAlign(_Layer):
    """:func:`roibench.ops.roi_align`."""

    def __init__(
        self,
        output_size: int | Sequence[int],
        spatial_scale: float = 1.0,
        sampling_ratio: int = -1,
        aligned: bool = False,
    ) -> None:
        super().__init__(
            output_size=output_size, spatial_scale=spatial_scale, sampling_ratio=sampling_ratio, aligned=aligned
        )

    def forward(self, input: Tensor, boxes: Tensor | Sequence[Tensor]) -> Tensor:
        return roi_align(input, boxes, self.output_size, self.spatial_scale, self.sampling_ratio, self.aligned)


class RoIPool(_Layer):
    """:func:`roibench.ops.roi_pool`."""

    def __init__(self, output_size: int | Sequence[int], spatial_scale: float = 1.0) -> None:
        super().__init__(output_size=output_size, spatial_scale=spatial_scale)

    def forward(self, input: Tensor, boxes: Tensor | Sequence[Tensor]) -> Tensor:
        return roi_pool(input, boxes, self.output_size, self.spatial_scale)


class PSRoIPool(_Layer):
    """:func:`roibench.ops.ps_roi_pool`."""

    def __init__(self, output_size: int | Sequence[int], spatial_scale: float = 1.0) -> None:
        super().__init__(output_size=output_size, spatial_scale=spatial_scale)

    def forward(self, input: Tensor, boxes: Tensor | Sequence[Tensor]) -> Tensor:
        return ps_roi_pool(input, boxes, self.output_size, self.spatial_scale)


class SpatialPyramidPool(_Layer):
    """:func:`roibench.ops.spatial_pyramid_pool`."""

    def __init__(self, levels: Sequence[int] = (4, 2, 1), kind: str = "max") -> None:
        super().__init__(levels=tuple(levels), kind=kind)

    def forward(self, input: Tensor) -> Tensor:
        return spatial_pyramid_pool(input, self.levels, self.kind)


class RoISpatialPyramidPool(_Layer):
    """:func:`roibench.ops.roi_spatial_pyramid_pool`."""

    def __init__(self, levels: Sequence[int] = (4, 2, 1), spatial_scale: float = 1.0) -> None:
        super().__init__(levels=tuple(levels), spatial_scale=spatial_scale)

    def forward(self, input: Tensor, boxes: Tensor | Sequence[Tensor]) -> Tensor:
        return roi_spatial_pyramid_pool(input, boxes, self.levels, self.spatial_scale)


class SigmoidFocalLoss(_Layer):
    """:func:`roibench.ops.sigmoid_focal_loss`."""

    def __init__(self, alpha: float = 0.25, gamma: float = 2.0, reduction: Reduction = "none") -> None:
        super().__init__(alpha=alpha, gamma=gamma, reduction=reduction)

    def forward(self, inputs: Tensor, targets: Tensor) -> Tensor:
        return sigmoid_focal_loss(inputs, targets, self.alpha, self.gamma, self.reduction)


class MultiScaleRoIAlign(_Layer):
    """RoI align on the level of a feature pyramid that fits a box's size (Lin et al. 2017, arXiv 1612.03144, equation
    1), as torchvision's MultiScaleRoIAlign.

    featmap_names: of the levels, finest first.
    canonical_scale: a box of this side, in pixels of the image, belongs to `canonical_level`, whose stride is
        2 ** canonical_level.
    """

    def __init__(
        self,
        featmap_names: Sequence[str],
        output_size: int | Sequence[int],
        sampling_ratio: int,
        *,
        canonical_scale: int = 224,
        canonical_level: int = 4,
    ) -> None:
        super().__init__(
            featmap_names=tuple(featmap_names),
            output_size=pair("output_size", output_size),
            sampling_ratio=sampling_ratio,
            canonical_scale=canonical_scale,
            canonical_level=canonical_level,
        )

    def forward(
        self, x: Mapping[str, Tensor], boxes: Sequence[Tensor], image_shapes: Sequence[tuple[int, int]]
    ) -> Tensor:
        """x: maps [N, C, h, w] by name, of which those are used that `featmap_names` has. boxes: [L, 4] per image, xyxy
        in pixels. image_shapes: (height, width) of each image. -> [sum L, C, height, width].
        """
        maps = [x[name] for name in self.featmap_names if name in x]
        if not maps:
            raise ValueError(f"none of featmap_names {self.featmap_names} is among the maps {tuple(x)}")
        height = max(shape[0] for shape in image_shapes)
        # Maps are rounded up; the strides are powers of 2.
        exponents = [round(torch.log2(torch.tensor(height / one.shape[-2])).item()) for one in maps]
        rois = as_rois(boxes)
        side = ((rois[:, 3] - rois[:, 1]) * (rois[:, 4] - rois[:, 2])).sqrt()
        level = torch.floor(self.canonical_level + torch.log2(side / self.canonical_scale) + 1e-6)
        level = level.clamp(exponents[0], exponents[-1]).to(torch.int64) - exponents[0]

        def cut(index: int, rois: Tensor) -> Tensor:
            return roi_align(maps[index], rois, self.output_size, 0.5 ** exponents[index], self.sampling_ratio)

        return pool_by_level(cut, len(maps), rois, level)


def pool_by_level(cut: Callable[[int, Tensor], Tensor], levels: int, rois: Tensor, level: Tensor) -> Tensor:
    """cut(level, RoIs [K_l, 5]) -> [K_l, C, h, w], of each level's RoIs -> [K, C, h, w] in the order of `rois`.

    level: [K], of each RoI.
    """
    order, parts = [], []
    for index in range(levels):
        own = torch.where(level == index)[0]
        order.append(own)
        # Rows of channels-last maps are whole in memory: putting them back in order is then one fast copy.
        parts.append(cut(index, rois[own]).permute(0, 2, 3, 1))
    return torch.cat(parts).index_select(0, torch.cat(order).argsort()).permute(0, 3, 1, 2)
