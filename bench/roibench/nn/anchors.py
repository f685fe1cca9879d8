"""Anchors: boxes of fixed sizes and shapes at every location of every feature map (Ren et al. 2015, section 3.1.1)."""

from collections.abc import Sequence

import torch
from torch import Tensor, nn


class BoxGrid(nn.Module):
    """Boxes of a pyramid, centred on the locations of each level.

    shapes: per level, (width, height) of the boxes in pixels; equally many for every level.
    strides: pixels between the locations of each level.
    """

    def __init__(self, shapes: Sequence[Sequence[tuple[float, float]]], strides: Sequence[int]) -> None:
        super().__init__()
        if len(shapes) != len(strides) or len({len(level) for level in shapes}) != 1:
            raise ValueError(f"every one of {len(strides)} levels must have equally many boxes, got {shapes}")
        self.strides = tuple(strides)
        self.per_location = len(shapes[0])
        self._base_names = [f"base{level}" for level in range(len(shapes))]
        for name, level in zip(self._base_names, shapes, strict=True):
            half = torch.tensor([(width / 2, height / 2) for width, height in level], dtype=torch.float32)
            self.register_buffer(name, torch.cat([-half, half], dim=1), persistent=False)

    def forward(self, pyramid: Sequence[Tensor]) -> list[Tensor]:
        """Feature maps [B, C, h, w] -> per level, float32 xyxy anchors [h * w * per_location, 4], row by row."""
        return self.on([(feature.shape[2], feature.shape[3]) for feature in pyramid])

    def on(self, sizes: Sequence[tuple[int, int]]) -> list[Tensor]:
        """The same from the maps' (height, width)."""
        anchors = []
        for (height, width), stride, name in zip(sizes, self.strides, self._base_names, strict=True):
            base = getattr(self, name)
            y = (torch.arange(height, device=base.device) + 0.5) * stride
            x = (torch.arange(width, device=base.device) + 0.5) * stride
            centre_y, centre_x = torch.meshgrid(y, x, indexing="ij")
            centres = torch.stack([centre_x, centre_y, centre_x, centre_y], dim=-1).reshape(-1, 1, 4)
            anchors.append((centres + base).reshape(-1, 4))
        return anchors


class AnchorGenerator(BoxGrid):
    """Every size in every aspect ratio.

    sizes: per level, square roots of the anchors' areas in pixels.
    aspect_ratios: height over width.
    strides: as in BoxGrid.
    """

    def __init__(
        self, sizes: Sequence[Sequence[float]], aspect_ratios: Sequence[float], strides: Sequence[int]
    ) -> None:
        shapes = [[(s * r**-0.5, s * r**0.5) for s in level for r in aspect_ratios] for level in sizes]
        super().__init__(shapes, strides)
