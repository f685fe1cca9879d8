"""DeconvNet (Noh et al. 2015, arXiv 1505.04366): the way up mirrors the way down.

Each max pooling has an unpooling that puts values back where the maxima were, and each convolution a transposed one of
stride 1, which fills in what unpooling leaves empty. All of it learns; the paper's two fully connected layers in the
middle, 7 x 7 for a person-sized view, are left out: scenes have no single object to see whole.
"""

from collections.abc import Mapping
from typing import Any

from torch import nn

from roibench.dataset import DatasetInfo
from roibench.nn.upconvolution import UpConvolution
from roibench.plugins.segmentation.segmenter import Segmenter, SegmenterConfig, check_classes
from roibench.plugins.segmentation.upsampling import Decoder, RememberingVGG


class DeconvNet(Segmenter):
    backbone: RememberingVGG

    def __init__(self, classes: int, config: SegmenterConfig) -> None:
        super().__init__(config, RememberingVGG(config.widths, config.blocks))
        self.decoder = Decoder("max_unpool", self.backbone.channels[-1], self.backbone.pooled, 1 + classes, mirrored)


def mirrored(before: int, channels: int) -> nn.Sequential:
    """Two transposed convolutions, of which the second changes the number of channels, as the first does going down."""
    return nn.Sequential(*_transposed(before, before), *_transposed(before, channels))


def _transposed(before: int, channels: int) -> tuple[nn.Module, ...]:
    layer = UpConvolution(before, channels, 3, padding=1, bias=False)
    nn.init.kaiming_normal_(layer.weight, nonlinearity="relu")
    return layer, nn.BatchNorm2d(channels), nn.ReLU()


def build(info: DatasetInfo, config: Mapping[str, Any]) -> DeconvNet:
    return DeconvNet(check_classes(info), SegmenterConfig(**config))
