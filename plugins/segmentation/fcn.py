"""FCN (Long et al. 2015, arXiv 1411.4038): a classifier's network, run over the whole image, names every pixel.

Each of the backbone's maps is scored by a 1x1 convolution. Going up, the coarse scores are enlarged by a transposed
convolution and added to the finer ones, which know better where things end.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any, Literal

from torch import Tensor, nn

from roibench.nn.backbones import MobileNetV2, SmallResNet
from roibench.nn.upconvolution import BilinearUpsampling
from roibench.plugins.segmentation.segmenter import Segmenter, check_classes
from roibench.tasks import DatasetInfo


@dataclass(frozen=True)
class Config:
    """Hyperparameters, with the paper's values in brackets where small images want others. Lengths are pixels."""

    backbone: Literal["small_resnet", "mobilenet_v2"] = "small_resnet"
    widths: tuple[int, ...] = (32, 48, 96, 128)  # small_resnet: stem, then one per stride
    blocks: tuple[int, ...] = (2, 2, 2)
    strides: tuple[int, ...] = (4, 8, 16)  # that are scored [8, 16, 32: FCN-8s]
    short_side: int | None = None  # images are resized to it
    long_side: int = 1333


class SkipDecoder(nn.Module):
    """Section 4.2: scores at every stride, summed from the coarsest to the finest, and enlarged to the image.

    All of the enlarging is learned; the paper keeps the last one bilinear.
    """

    def __init__(self, channels: Sequence[int], strides: Sequence[int], classes: int) -> None:
        super().__init__()
        self.scores = nn.ModuleList(nn.Conv2d(c, classes, 1) for c in channels)
        self.enlarge = nn.ModuleList(
            BilinearUpsampling(classes, coarse // fine) for fine, coarse in pairwise((1, *strides))
        )
        for score in self.scores[:-1]:  # the finer scores begin by changing nothing
            nn.init.zeros_(score.weight)
            nn.init.zeros_(score.bias)

    def forward(self, features: Sequence[Tensor]) -> Tensor:
        """Maps [B, channels[i], H / strides[i], W / strides[i]], finest first -> scores [B, classes, H, W]."""
        total = None
        for feature, score, enlarge in zip(
            reversed(features), reversed(self.scores), reversed(self.enlarge), strict=True
        ):
            own = score(feature)
            total = enlarge(own if total is None else total + own)
        return total


class FCN(Segmenter):
    def __init__(self, classes: int, config: Config) -> None:
        pretrained = config.backbone == "mobilenet_v2"
        backbone = MobileNetV2(config.strides) if pretrained else SmallResNet(config.widths, config.blocks)
        decoder = SkipDecoder(backbone.channels, config.strides, 1 + classes)
        super().__init__(backbone, decoder, config.strides[-1], config.short_side, config.long_side)

    def initialize(self) -> None:
        if isinstance(self.backbone, MobileNetV2):
            self.backbone.load_imagenet()


def build(info: DatasetInfo, config: Mapping[str, Any]) -> FCN:
    return FCN(check_classes(info), Config(**config))
