"""SPPnet (He et al. 2014, arXiv 1406.4729): R-CNN that runs its convolutions once per image.

A spatial pyramid (4x4, 2x2 and 1x1 maxima) over the last map gives every region as many features, whatever its size.
The convolutions stay as they were: the paper's training ends at the pyramid, and only what follows is fine-tuned.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Self

from torch import Tensor

from roibench import ops
from roibench.dataset import DatasetInfo
from roibench.model import stage
from roibench.nn.images import ImageBatch
from roibench.plugins.two_stage.region_svm import RegionSVM, RegionSVMConfig


@dataclass(frozen=True)
class Config(RegionSVMConfig):
    """short_side: pixels that images are resized to [688]."""

    short_side: int | None = 256
    levels: tuple[int, ...] = (4, 2, 1)  # bins per axis [6, 3, 2, 1]


class SPPNet(RegionSVM):
    stages = ("preprocess", "selective_search", "backbone", "pyramid_pool", "hidden", "svm", "ridge", "postprocess")

    def __init__(self, classes: int, config: Config) -> None:
        bins = sum(level**2 for level in config.levels)
        super().__init__(config.widths[-1] * bins, classes, config)
        self.backbone.requires_grad_(False)

    def train(self, mode: bool = True) -> Self:
        super().train(mode)
        self.backbone.eval()
        return self

    def pool(self, batch: ImageBatch, boxes: Sequence[Tensor]) -> Tensor:
        with stage("backbone"):
            features = self.backbone(batch.pixels)[-1]
        with stage("pyramid_pool"):
            return ops.roi_spatial_pyramid_pool(features, boxes, self.config.levels, 1 / self.backbone.strides[-1])


def build(info: DatasetInfo, config: Mapping[str, Any]) -> SPPNet:
    return SPPNet(len(info.classes), Config(**config))
