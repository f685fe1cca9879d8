"""A classifier of images as a detector, by brute force: it is asked of every window, of many sizes, what that shows.

What detection was before proposals (Sermanet et al. 2013, arXiv 1312.6229, begin with it). Windows are warped to one
size and classified, with a class for background; boxes are the windows themselves.
"""

import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from roibench.dataset import DatasetInfo
from roibench.model import TrainableModel, stage
from roibench.nn.backbones import BackboneConfig, build_backbone
from roibench.nn.images import ImageBatch, batch_images
from roibench.nn.targets import batch_boxes
from roibench.plugins.proposals.sliding_window import Config as WindowConfig
from roibench.plugins.proposals.sliding_window import SlidingWindow
from roibench.plugins.two_stage.second_stage import SecondStageConfig, detect, sample_regions
from roibench.plugins.two_stage.warped import last_maps, warp
from roibench.structures import Input, Prediction, Target


@dataclass(frozen=True)
class Config(SecondStageConfig, BackboneConfig):
    """Lengths are pixels.

    size: that a window is warped to. context: of it, on each side, around the window.
    stride: between windows, as a share of their sides. aspect_ratios: of windows, height over width.
    """

    long_side: int = 1333
    size: int = 48
    context: int = 4
    stride: float = 0.4
    aspect_ratios: tuple[float, ...] = (1.0,)
    roi_samples: int = 16


class SlidingWindowDetector(TrainableModel):
    stages = ("preprocess", "windows", "warp", "backbone", "head", "postprocess")

    def __init__(self, classes: int, config: Config) -> None:
        super().__init__()
        self.config = config
        self.windows = SlidingWindow(
            WindowConfig(aspect_ratios=config.aspect_ratios, stride=config.stride, proposals=sys.maxsize)
        )
        self.backbone = build_backbone(config)
        self.logits = nn.Linear(self.backbone.channels[-1], classes + 1)

    def initialize(self) -> None:
        self.backbone.load_pretrained()

    @torch.inference_mode()
    def predict(self, inputs: Sequence[Input]) -> list[Prediction]:
        with stage("preprocess"):
            batch = self.batch(inputs)
        with stage("windows"):
            windows = self.propose(batch)
        with stage("warp"):
            regions = warp(batch.pixels, windows, self.config.size, self.config.context)
        with stage("backbone"):
            maps = last_maps(self.backbone, regions)
        with stage("head"):
            scores = self.logits(maps.mean((2, 3))).float().softmax(-1)[:, 1:]
        with stage("postprocess"):
            unmoved = scores.new_zeros(1).expand(*scores.shape, 4)
            return detect(scores, unmoved, windows, batch, self.config)

    def losses(self, inputs: Sequence[Input], targets: Sequence[Target]) -> dict[str, Tensor]:
        config, batch = self.config, self.batch(inputs)
        regions = sample_regions(self.propose(batch), batch_boxes(batch, targets), config)
        maps = last_maps(self.backbone, warp(batch.pixels, regions.boxes, config.size, config.context))
        return {"class": F.cross_entropy(self.logits(maps.mean((2, 3))).float(), regions.classes)}

    def batch(self, inputs: Sequence[Input]) -> ImageBatch:
        return batch_images(inputs, self.device, None, self.config.long_side, 1)

    def propose(self, batch: ImageBatch) -> list[Tensor]:
        """Per image, xyxy boxes [N, 4] in pixels of the batch."""
        return [self.windows.propose(*size).boxes.to(self.device) for size in batch.sizes]


def build(info: DatasetInfo, config: Mapping[str, Any]) -> SlidingWindowDetector:
    return SlidingWindowDetector(len(info.classes), Config(**config))
