"""R-CNN (Girshick et al. 2014, arXiv 1311.2524): a network for whole images looks at regions, one by one.

Each region that selective search proposes is warped to one size, with some context, and run through all of the network;
nothing is shared. It is slow on purpose: what came after it was about this.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from torch import Tensor

from roibench.dataset import DatasetInfo
from roibench.model import stage
from roibench.nn.images import ImageBatch
from roibench.plugins.two_stage.region_svm import RegionSVM, RegionSVMConfig
from roibench.plugins.two_stage.warped import last_maps, warp


@dataclass(frozen=True)
class Config(RegionSVMConfig):
    """size: pixels that a region is warped to [227]. context: of them, on each side, around the box [16]."""

    size: int = 64
    context: int = 5
    roi_samples: int = 16  # [a batch has 128 of two images, 32 of them positive]


class RCNN(RegionSVM):
    stages = ("preprocess", "selective_search", "warp", "backbone", "hidden", "svm", "ridge", "postprocess")

    def __init__(self, classes: int, config: Config) -> None:
        side = -(-config.size // config.strides[-1])
        super().__init__(config.widths[-1] * side**2, classes, config)

    def pool(self, batch: ImageBatch, boxes: Sequence[Tensor]) -> Tensor:
        with stage("warp"):
            regions = warp(batch.pixels, boxes, self.config.size, self.config.context)
        with stage("backbone"):
            return last_maps(self.backbone, regions).flatten(1)


def build(info: DatasetInfo, config: Mapping[str, Any]) -> RCNN:
    return RCNN(len(info.classes), Config(**config))
