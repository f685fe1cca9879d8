"""CenterNet (Zhou et al. 2019, arXiv 1904.07850): an object is the point at its centre, and knows its size.

Three heads on one map of stride 4: a heat map per class whose peaks are the centres, how far each centre lies from its
location's corner, and the object's width and height there. A peak is what no neighbour exceeds, so that there are no
anchors, and nothing is suppressed. Transposed convolutions bring what the coarse maps know to stride 4.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor

from roibench.dataset import DatasetInfo
from roibench.model import stage
from roibench.nn.heatmaps import (
    Head,
    gaussian_radius,
    heat_head,
    heat_loss,
    heat_targets,
    locations,
    offset_targets,
    peaks,
)
from roibench.nn.images import ImageBatch
from roibench.nn.pyramid import FinestMap
from roibench.nn.targets import BoxTargets, batch_boxes, ignored_locations, learned_objects
from roibench.plugins.single_stage.detector import DetectorConfig, SingleStageDetector
from roibench.structures import Input, Prediction, Target


@dataclass(frozen=True)
class Config(DetectorConfig):
    """Hyperparameters, with the paper's values in brackets where small images want others."""

    channels: int = 64  # of the neck and the heads [256]
    size_weight: float = 0.4  # lambda_size [0.1 on 512 px, where sizes are four times as large]
    offset_weight: float = 1.0  # lambda_off


class Output(NamedTuple):
    """Maps of stride 4: heat [B, C, H, W] as logits; offset and size, x before y, [B, 2, H, W], in locations."""

    heat: Tensor
    offset: Tensor
    size: Tensor


class CenterNet(SingleStageDetector):
    stages = ("preprocess", "backbone", "head", "postprocess")
    networks = ("network",)

    def __init__(self, classes: int, config: Config) -> None:
        super().__init__(config)
        self.stride = self.backbone.strides[0]
        self.neck = FinestMap(self.backbone.channels, config.channels)
        self.heat = heat_head(config.channels, classes)
        self.offset = Head(config.channels, 2)
        self.size = Head(config.channels, 2)

    @torch.inference_mode()
    def predict(self, inputs: Sequence[Input]) -> list[Prediction]:
        with stage("preprocess"):
            batch = self.batch(inputs)
        output = self.network(batch.pixels)
        with stage("postprocess"):
            return self._detect(output, batch)

    def network(self, pixels: Tensor) -> Output:
        """Of normalised pixels [B, 3, H, W]."""
        with stage("backbone"):
            features = self.neck(self.backbone(pixels))
        with stage("head"):
            return self._heads(features)

    def losses(self, inputs: Sequence[Input], targets: Sequence[Target]) -> dict[str, Tensor]:
        batch = self.batch(inputs)
        features = self.neck(self.backbone(batch.pixels))
        return self._errors(self._heads(features), batch_boxes(batch, targets))

    def _heads(self, features: Tensor) -> Output:
        return Output(self.heat(features).float(), self.offset(features).float(), self.size(features).float())

    def _errors(self, output: Output, objects: Sequence[BoxTargets]) -> dict[str, Tensor]:
        """Equations 1 to 4: focal loss of the heat maps, L1 of offset and size at the centres."""
        config, shape = self.config, output.heat.shape
        image, boxes, labels = learned_objects(objects)
        low, high = boxes[:, :2] / self.stride, boxes[:, 2:] / self.stride
        centres, sizes = (low + high) / 2, high - low
        rows, columns = locations(centres, shape[2:])
        heat = heat_targets(image, labels, rows, columns, gaussian_radius(sizes), shape)
        undecided = torch.stack([ignored_locations(one, self.stride, shape[2:]) for one in objects])
        offsets = offset_targets(centres, rows, columns)
        offset_error = F.l1_loss(output.offset[image, :, rows, columns], offsets, reduction="sum")
        size_error = F.l1_loss(output.size[image, :, rows, columns], sizes, reduction="sum")
        count = max(1, len(labels))
        return {
            "heat": heat_loss(output.heat, heat, undecided),
            "offset": config.offset_weight * offset_error / count,
            "size": config.size_weight * size_error / count,
        }

    def _detect(self, output: Output, batch: ImageBatch) -> list[Prediction]:
        config, predictions = self.config, []
        found = peaks(output.heat.sigmoid(), config.max_detections)
        centres, half = found.points(output.offset), found.read(output.size).clamp(min=0) / 2
        boxes = torch.cat([centres - half, centres + half], dim=-1) * self.stride
        for index in range(len(batch.sizes)):
            kept = found.scores[index] > config.score_threshold
            predictions.append(
                Prediction(
                    boxes=batch.to_image(index, boxes[index, kept]).cpu(),
                    scores=found.scores[index, kept].cpu(),
                    labels=found.labels[index, kept].cpu(),
                )
            )
        return predictions


def build(info: DatasetInfo, config: Mapping[str, Any]) -> CenterNet:
    return CenterNet(len(info.classes), Config(**config))
