"""U-Net (Ronneberger et al. 2015, arXiv 1505.04597): as many maps going up as going down, joined side by side.

The contracting path learns what there is; the expanding path doubles its maps back and, with the maps of the way down
beside them, learns where. The way down is a residual network here, as it is for FCN: what the two differ in is how they
come up again.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import torch
from torch import Tensor, nn

from roibench.dataset import DatasetInfo
from roibench.nn.upconvolution import UpConvolution
from roibench.plugins.segmentation.segmenter import Segmenter, SegmenterConfig, check_classes


@dataclass(frozen=True)
class Config(SegmenterConfig):
    finest: int = 16  # channels at the image's own resolution [64]


class DoubleConvolution(nn.Sequential):
    """3x3 convolution and ReLU, twice.

    Padded, where the paper's cut two pixels off: the maps of both paths have one size, and the image's border is
    labelled too. Batch norm, which the paper lacks, replaces its long training at a momentum of 0.99.
    """

    def __init__(self, in_channels: int, channels: int) -> None:
        layers: list[nn.Module] = []
        for before in (in_channels, channels):
            conv = nn.Conv2d(before, channels, 3, padding=1, bias=False)
            nn.init.kaiming_normal_(conv.weight, nonlinearity="relu")  # section 3: variance 2 / N
            layers += [conv, nn.BatchNorm2d(channels), nn.ReLU(inplace=True)]
        super().__init__(*layers)


class ExpandingPath(nn.Module):
    """channels, strides: of the maps on the way down, finest first, the image itself before them. On the way up there
    are as many channels at each stride, and `finest` at the image's own.
    """

    def __init__(self, channels: Sequence[int], strides: Sequence[int], finest: int, classes: int) -> None:
        super().__init__()
        widths = (finest, *channels)
        factors = [coarse // fine for fine, coarse in pairwise((1, *strides))]
        self.up = nn.ModuleList(
            UpConvolution(coarse, fine, factor, stride=factor)
            for (fine, coarse), factor in zip(pairwise(widths), factors, strict=True)
        )
        self.levels = nn.ModuleList(
            DoubleConvolution(skip + width, width) for skip, width in zip((3, *channels[:-1]), widths[:-1], strict=True)
        )
        self.scores = nn.Conv2d(finest, classes, 1)

    @property
    def last(self) -> nn.Module:
        return self.levels[0]

    def forward(self, pixels: Tensor, features: Sequence[Tensor]) -> Tensor:
        """[B, 3, H, W] and maps [B, channels[i], H / strides[i], W / strides[i]] -> scores [B, classes, H, W]."""
        *skips, x = pixels, *features
        for skip, up, level in zip(reversed(skips), reversed(self.up), reversed(self.levels), strict=True):
            enlarged = up(x)
            x = level(torch.cat([skip.to(enlarged.dtype), enlarged], dim=1))
        return self.scores(x)


class UNet(Segmenter):
    def __init__(self, classes: int, config: Config) -> None:
        super().__init__(config)
        backbone = self.backbone
        self.decoder = ExpandingPath(backbone.channels, backbone.strides, config.finest, 1 + classes)

    def decode(self, pixels: Tensor, maps: Sequence[Tensor]) -> Tensor:
        return self.decoder(pixels, maps)


def build(info: DatasetInfo, config: Mapping[str, Any]) -> UNet:
    return UNet(check_classes(info), Config(**config))
