"""Fast R-CNN (Girshick 2015, arXiv 1504.08083): convolutions once per image, and everything after them in one network.

Selective search proposes regions; RoI pool cuts each out of the last map; a box head classifies it and refines its box.
One loss trains it all, from the pixels on.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from roibench import ops
from roibench.dataset import Dataset, DatasetInfo
from roibench.model import Trainer, stage
from roibench.nn.targets import batch_boxes
from roibench.plugins.two_stage.proposed import SearchedConfig, SearchedDetector, WithProposals
from roibench.plugins.two_stage.second_stage import BoxHead, box_head_losses, detect, sample_regions
from roibench.structures import Input, Prediction, Target


@dataclass(frozen=True)
class Config(SearchedConfig):
    """Hyperparameters, with the paper's values in brackets where small images want others. Lengths are pixels."""

    short_side: int | None = 256  # images are resized to it [600]
    roi_size: int = 5  # of what RoI pool gives: 5 x 5 [7]


class FastRCNN(SearchedDetector):
    stages = ("preprocess", "selective_search", "backbone", "roi_pool", "box_head", "postprocess")

    def __init__(self, classes: int, config: Config) -> None:
        super().__init__(config)
        self.box_head = BoxHead(self.backbone.channels[-1] * config.roi_size**2, config.hidden, classes)

    @torch.inference_mode()
    def predict(self, inputs: Sequence[Input]) -> list[Prediction]:
        with stage("preprocess"):
            batch = self.batch(inputs)
        with stage("selective_search"):
            proposals = self.propose(inputs, batch)
        with stage("backbone"):
            features = self.backbone(batch.pixels)[-1]
        with stage("roi_pool"):
            pooled = self.roi_pool(features, proposals)
        with stage("box_head"):
            logits, deltas = self.box_head(pooled)
        with stage("postprocess"):
            return detect(logits.softmax(-1)[:, 1:], deltas, proposals, batch, self.config)

    def losses(self, inputs: Sequence[Input], targets: Sequence[Target]) -> dict[str, Tensor]:
        batch = self.batch(inputs)
        regions = sample_regions(self.proposed(inputs, targets, batch), batch_boxes(batch, targets), self.config)
        pooled = self.roi_pool(self.backbone(batch.pixels)[-1], regions.boxes)
        return box_head_losses(*self.box_head(pooled), regions)

    def fit(self, data: Dataset, trainer: Trainer) -> None:
        trainer.fit(self, WithProposals(data, self.search, self.config.training_images))

    def roi_pool(self, features: Tensor, boxes: Sequence[Tensor]) -> Tensor:
        """The last map [B, C, h, w], boxes [K_i, 4] per image in pixels -> [sum K_i, C, size, size]."""
        return ops.roi_pool(features, boxes, self.config.roi_size, 1 / self.backbone.strides[-1])


def build(info: DatasetInfo, config: Mapping[str, Any]) -> FastRCNN:
    return FastRCNN(len(info.classes), Config(**config))
