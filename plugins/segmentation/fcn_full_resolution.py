"""Segmentation without a way down: 3x3 convolutions with zero padding, all at the image's own resolution.

What FCN replaces: nothing is lost on the way, and nothing is seen from afar. Every layer's maps are as large as the
image, which takes memory and time, and a pixel's view grows by two pixels a layer.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from torch import Tensor, nn

from roibench.dataset import DatasetInfo
from roibench.model import stage
from roibench.plugins.segmentation.segmenter import PixelClassifier, PixelConfig, check_classes


@dataclass(frozen=True)
class Config(PixelConfig):
    """channels: of every layer. depth: how many layers."""

    channels: int = 16
    depth: int = 6


class FullResolution(PixelClassifier):
    def __init__(self, classes: int, config: Config) -> None:
        super().__init__(config)
        layers: list[nn.Module] = []
        before = 3
        for _ in range(config.depth):
            conv = nn.Conv2d(before, config.channels, 3, padding=1, bias=False)
            nn.init.kaiming_normal_(conv.weight, mode="fan_out", nonlinearity="relu")
            layers += [conv, nn.BatchNorm2d(config.channels), nn.ReLU()]
            before = config.channels
        self.network = nn.Sequential(*layers, nn.Conv2d(before, 1 + classes, 1))

    def scores(self, pixels: Tensor) -> Tensor:
        with stage("network"):
            return self.network(pixels)


def build(info: DatasetInfo, config: Mapping[str, Any]) -> FullResolution:
    return FullResolution(check_classes(info), Config(**config))
