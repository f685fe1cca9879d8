"""U-Net (Ronneberger et al. 2015, arXiv 1505.04597): as many maps going up as going down, joined side by side.

The contracting path halves the image and learns what there is; the expanding path doubles it back and, with the maps
of the way down beside it, learns where.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from roibench.nn.upconvolution import UpConvolution
from roibench.plugins.segmentation.segmenter import Segmenter, check_classes
from roibench.tasks import DatasetInfo


@dataclass(frozen=True)
class Config:
    """Hyperparameters, with the paper's values in brackets where small images want others. Lengths are pixels."""

    widths: tuple[int, ...] = (8, 16, 64, 112, 160)  # channels at the strides 1, 2, 4, ... [64 to 1024]
    short_side: int | None = None  # images are resized to it
    long_side: int = 1333


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


class ContractingPath(nn.Module):
    def __init__(self, widths: Sequence[int]) -> None:
        super().__init__()
        self.levels = nn.ModuleList(DoubleConvolution(before, after) for before, after in pairwise((3, *widths)))

    @property
    def last(self) -> nn.Module:
        """What gives the coarsest maps."""
        return self.levels[-1]

    def forward(self, pixels: Tensor) -> list[Tensor]:
        """Normalised pixels [B, 3, H, W] -> maps [B, widths[i], H / 2**i, W / 2**i]."""
        features: list[Tensor] = []
        for level in self.levels:
            features.append(level(F.max_pool2d(features[-1], 2) if features else pixels))
        return features


class ExpandingPath(nn.Module):
    def __init__(self, widths: Sequence[int], classes: int) -> None:
        super().__init__()
        self.up = nn.ModuleList(UpConvolution(coarse, fine, 2, stride=2) for fine, coarse in pairwise(widths))
        self.levels = nn.ModuleList(DoubleConvolution(2 * fine, fine) for fine in widths[:-1])
        self.scores = nn.Conv2d(widths[0], classes, 1)
        nn.init.kaiming_normal_(self.scores.weight)

    def forward(self, features: Sequence[Tensor]) -> Tensor:
        """Maps of the contracting path, finest first -> scores [B, classes, H, W]."""
        *skips, x = features
        for skip, up, level in zip(reversed(skips), reversed(self.up), reversed(self.levels), strict=True):
            x = level(torch.cat([skip, up(x)], dim=1))
        return self.scores(x)


class UNet(Segmenter):
    def __init__(self, classes: int, config: Config) -> None:
        widths = config.widths
        super().__init__(
            ContractingPath(widths),
            ExpandingPath(widths, 1 + classes),
            2 ** (len(widths) - 1),
            config.short_side,
            config.long_side,
        )


def build(info: DatasetInfo, config: Mapping[str, Any]) -> UNet:
    return UNet(check_classes(info), Config(**config))
