"""Ways up, compared: one encoder, one shape of decoder, and between its maps a way to double them.

The encoder is VGG-like, because its max pooling can remember where the maxima were, which one of the ways needs. It
stays as the classifier of icons left it; what is learned is the decoder: at each of four strides a convolution, then
the way up. No map of the encoder is handed over, so that all that is fine in the result has come by that way.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal, NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from roibench import ops
from roibench.dataset import DatasetInfo
from roibench.nn.backbones import SmallVGG
from roibench.nn.upconvolution import UpConvolution
from roibench.plugins.segmentation.segmenter import Segmenter, SegmenterConfig, check_classes

Way = Literal["nearest", "bed_of_nails", "max_unpool", "transposed_3x3", "transposed_4x4", "transposed_2x2", "bilinear"]


@dataclass(frozen=True)
class Config(SegmenterConfig):
    """way: how maps are doubled."""

    way: Way = "nearest"


class Pooled(NamedTuple):
    """Where max pooling found its maxima. places: int64 [B, C, h, w], in the flattened map. size: of that map."""

    places: Tensor
    size: torch.Size


class Encoded(NamedTuple):
    """The coarsest maps, and what each pooling remembers, finest first."""

    features: Tensor
    poolings: list[Pooled]


class RememberingVGG(SmallVGG):
    """SmallVGG, whose poolings tell where the maxima were. pooled: the channels of the maps that each pooled."""

    def __init__(self, widths: Sequence[int], blocks: Sequence[int]) -> None:
        super().__init__(widths, blocks)
        self.pooled = (widths[0] // 2, *widths[:-1])

    def forward(self, pixels: Tensor) -> Encoded:
        x, poolings = pixels, []
        for layer in (layer for part in (self.stem, *self.stages) for layer in part):
            if isinstance(layer, nn.MaxPool2d):
                size = x.shape[2:]
                x, places = F.max_pool2d(x, layer.kernel_size, layer.stride, return_indices=True)
                poolings.append(Pooled(places, size))
            else:
                x = layer(x)
        return Encoded(x, poolings)


class Up(nn.Module):
    """Doubles maps [B, C, h, w] in one of the ways."""

    def __init__(self, way: Way, channels: int) -> None:
        super().__init__()
        self.way = way
        kernels = {"transposed_3x3": (3, 1, 1), "transposed_4x4": (4, 1, 0), "transposed_2x2": (2, 0, 0)}
        if way in kernels:
            side, padding, more = kernels[way]
            self.convolution = UpConvolution(
                channels, channels, side, stride=2, padding=padding, output_padding=more, bias=False
            )
            nn.init.kaiming_normal_(self.convolution.weight, nonlinearity="linear")

    def forward(self, x: Tensor, pooled: Pooled) -> Tensor:
        match self.way:
            case "nearest":
                return ops.nearest_unpool(x, 2)
            case "bed_of_nails":
                return ops.bed_of_nails(x, 2)
            case "max_unpool":
                return ops.max_unpool(x, pooled.places, pooled.size)
            case "bilinear":
                return F.interpolate(x, scale_factor=2, mode="bilinear", align_corners=False)
            case _:
                return self.convolution(x)


class Decoder(nn.Module):
    """From the coarsest maps to scores of every pixel.

    channels: of the coarsest maps. widths: of the maps after each way up, finest first. level: makes the convolutions
    before a way up, from so many channels to so many.
    """

    def __init__(
        self, way: Way, channels: int, widths: Sequence[int], classes: int, level: Callable[[int, int], nn.Module]
    ) -> None:
        super().__init__()
        coarsest_first = [*reversed(widths)]
        before = [channels, *coarsest_first[:-1]]
        self.levels = nn.ModuleList(level(*pair) for pair in zip(before, coarsest_first, strict=True))
        self.ways = nn.ModuleList(Up(way, width) for width in coarsest_first)
        self.last = level(widths[0], widths[0])
        self.scores = nn.Conv2d(widths[0], classes, 1)

    def forward(self, encoded: Encoded) -> Tensor:
        x = encoded.features
        for level, up, pooled in zip(self.levels, self.ways, reversed(encoded.poolings), strict=True):
            x = up(level(x), pooled)
        return self.scores(self.last(x))


class UpsamplingSegmenter(Segmenter):
    backbone: RememberingVGG

    def __init__(self, classes: int, config: Config) -> None:
        super().__init__(config, RememberingVGG(config.widths, config.blocks))
        self.decoder = Decoder(config.way, self.backbone.channels[-1], self.backbone.pooled, 1 + classes, convolution)
        self.backbone.requires_grad_(False)

    def train(self, mode: bool = True) -> "UpsamplingSegmenter":
        super().train(mode)
        self.backbone.eval()  # its statistics stay, too
        return self


def convolution(before: int, channels: int) -> nn.Sequential:
    conv = nn.Conv2d(before, channels, 3, padding=1, bias=False)
    nn.init.kaiming_normal_(conv.weight, mode="fan_out", nonlinearity="relu")
    return nn.Sequential(conv, nn.BatchNorm2d(channels), nn.ReLU())


def build(info: DatasetInfo, config: Mapping[str, Any]) -> UpsamplingSegmenter:
    return UpsamplingSegmenter(check_classes(info), Config(**config))
