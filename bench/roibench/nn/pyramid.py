"""A feature pyramid (Lin et al. 2017, arXiv 1612.03144), and RoI align and RoI pool that pick the level by size."""

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from roibench import ops
from roibench.nn.upconvolution import UpConvolution
from roibench.ops.modules import pool_by_level
from roibench.ops.roi import as_rois


class FeaturePyramid(nn.Module):
    """Top-down path with lateral 1x1 convolutions, summed, then a 3x3 convolution per level.

    in_channels: of each backbone map, finest first. Every convolution is followed by batch norm, which the paper lacks:
    a pyramid that starts from random weights learns more slowly without it (He et al. 2018, arXiv 1811.08883).
    levels: how many maps it gives, of the finest; all if None.
    """

    def __init__(self, in_channels: Sequence[int], channels: int, levels: int | None = None) -> None:
        super().__init__()
        self.lateral = nn.ModuleList(_normalised(nn.Conv2d(c, channels, 1, bias=False)) for c in in_channels)
        self.smooth = nn.ModuleList(
            _normalised(nn.Conv2d(channels, channels, 3, padding=1, bias=False)) for _ in in_channels[:levels]
        )
        self.last = nn.Identity()  # the maps pass here, level by level

    def forward(self, features: Sequence[Tensor]) -> list[Tensor]:
        """Maps [B, C_i, h_i, w_i], finest first -> maps [B, channels, h_i, w_i]."""
        merged: list[Tensor] = []
        for feature, lateral in zip(reversed(features), reversed(self.lateral), strict=True):
            top = lateral(feature)
            if merged:
                top = top + F.interpolate(merged[0], size=top.shape[-2:], mode="nearest")
            merged.insert(0, top)
        return [self.last(smooth(one)) for smooth, one in zip(self.smooth, merged, strict=False)]


class FinestMap(nn.Module):
    """One map, at the finest stride: up from the coarsest by transposed convolutions, as detectors of points have
    it (Xiao et al. 2018, arXiv 1804.06208; Zhou et al. 2019, arXiv 1904.07850).

    Each, 4x4 with stride 2, is followed by a convolution of its sum with the backbone's map of that stride.

    in_channels: of each backbone map, finest first; each has twice the resolution of the next one.
    """

    def __init__(self, in_channels: Sequence[int], channels: int) -> None:
        super().__init__()
        *finer, coarsest = in_channels
        self.first = _rectified(nn.Conv2d(coarsest, channels, 3, padding=1, bias=False))
        self.up = nn.ModuleList(
            _rectified(UpConvolution(channels, channels, 4, stride=2, padding=1, bias=False)) for _ in finer
        )
        self.lateral = nn.ModuleList(_normalised(nn.Conv2d(c, channels, 1, bias=False)) for c in finer)
        self.merge = nn.ModuleList(_rectified(nn.Conv2d(channels, channels, 3, padding=1, bias=False)) for _ in finer)

    def forward(self, features: Sequence[Tensor]) -> Tensor:
        """Maps [B, C_i, h_i, w_i], finest first -> [B, channels, h_0, w_0]."""
        *finer, coarsest = features
        x = self.first(coarsest)
        layers = zip(reversed(finer), reversed(self.up), reversed(self.lateral), reversed(self.merge), strict=True)
        for feature, up, lateral, merge in layers:
            x = merge(up(x) + lateral(feature))
        return x


class PyramidRoIs(nn.Module):
    """RoIs cut out of the level on which a RoI's side is once to twice the canonical size, which is counted in
    locations.

    Equation 1 has 14: a RoI of 224 px belongs to stride 16. RoIs beyond either end take the last level there.
    """

    def __init__(self, output_size: int, strides: Sequence[int], canonical_size: float = 14.0) -> None:
        super().__init__()
        self.output_size = output_size
        self.strides = tuple(strides)
        self.canonical_size = canonical_size

    def cut(self, feature: Tensor, rois: Tensor, scale: float) -> Tensor:
        """A level [B, C, h, w], RoIs [K, 5] in pixels, from which `scale` leads to it -> [K, C, size, size]."""
        raise NotImplementedError(f"{type(self).__name__} must implement cut(feature, rois, scale)")

    def forward(self, pyramid: Sequence[Tensor], boxes: Sequence[Tensor]) -> Tensor:
        """Maps [B, C, h, w] per level, xyxy boxes [K_i, 4] per image, in pixels -> [sum K_i, C, size, size]."""
        rois = as_rois(boxes)
        if len(pyramid) != len(self.strides):
            raise ValueError(f"want a map for each of {len(self.strides)} strides, got {len(pyramid)}")

        def cut(level: int, rois: Tensor) -> Tensor:
            return self.cut(pyramid[level], rois, 1 / self.strides[level])

        return pool_by_level(cut, len(self.strides), rois, self._levels(rois[:, 1:]))

    def _levels(self, boxes: Tensor) -> Tensor:
        side = ((boxes[:, 2] - boxes[:, 0]) * (boxes[:, 3] - boxes[:, 1])).clamp(min=1e-6).sqrt()
        level = torch.floor(torch.log2(side / (self.canonical_size * self.strides[0])) + 1e-6)
        return level.clamp(0, len(self.strides) - 1).to(torch.int64)


class PyramidRoIAlign(PyramidRoIs):
    def cut(self, feature: Tensor, rois: Tensor, scale: float) -> Tensor:
        return ops.roi_align(feature, rois, self.output_size, scale, sampling_ratio=2, aligned=True)


class PyramidRoIPool(PyramidRoIs):
    """Corners are rounded to the nearest location as published, with location i at pixel i * stride: there lies the
    centre of what convolutions of stride 2 see.
    """

    def cut(self, feature: Tensor, rois: Tensor, scale: float) -> Tensor:
        return ops.roi_pool(feature, rois, self.output_size, scale)


def _rectified(conv: nn.Conv2d | nn.ConvTranspose2d) -> nn.Sequential:
    nn.init.kaiming_normal_(conv.weight, mode="fan_out", nonlinearity="relu")
    return nn.Sequential(conv, nn.BatchNorm2d(conv.out_channels), nn.ReLU())


def _normalised(conv: nn.Conv2d) -> nn.Sequential:
    nn.init.kaiming_uniform_(conv.weight, a=1)
    return nn.Sequential(conv, nn.BatchNorm2d(conv.out_channels))
