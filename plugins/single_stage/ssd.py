"""SSD (Liu et al. 2016, arXiv 1512.02325): default boxes of many sizes and shapes, each on the map that suits it.

The backbone's maps, and smaller ones that extra layers make of the last, each predict for k default boxes per location
C + 1 classes and four box deltas: (C + 1 + 4) k filters. Fine maps find small objects and coarse ones large objects;
nothing flows back from coarse to fine. Of the background only the hardest default boxes are learned, three for each
that an object has.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from roibench import ops
from roibench.dataset import DatasetInfo
from roibench.model import stage
from roibench.nn.anchors import BoxGrid
from roibench.nn.box_coder import BoxCoder
from roibench.nn.images import ImageBatch
from roibench.nn.matcher import BACKGROUND, match
from roibench.nn.targets import BoxTargets, batch_boxes
from roibench.plugins.single_stage.detector import DetectorConfig, SingleStageDetector, candidates
from roibench.structures import Input, Prediction, Target


@dataclass(frozen=True)
class Config(DetectorConfig):
    """Hyperparameters, with the paper's values in brackets where small images want others. Lengths are pixels."""

    extra_layers: int = 2  # maps after the backbone's, each half as large [4]
    extra_channels: int = 96  # [512 and 256]
    channels: int = 64  # of the convolution before each map's predictions [none]
    # Of the maps' default boxes, and one more, which the last map's second square lies on the way to.
    scales: tuple[float, ...] = (9, 18, 36, 60, 92, 128)  # [30, 60, 111, 162, 213, 264, 315 on 300 px]
    aspect_ratios: tuple[float, ...] = (2.0,)  # and their inverses, beside 1 [2 and 3]
    positive_iou: float = 0.5
    negatives: int = 3  # of the background per default box of an object, at most
    top_candidates: int = 400  # per image, before suppression
    delta_weights: tuple[float, float, float, float] = (10.0, 10.0, 5.0, 5.0)


class SSD(SingleStageDetector):
    stages = ("preprocess", "backbone", "head", "postprocess")
    networks = ("network",)

    def __init__(self, classes: int, config: Config) -> None:
        super().__init__(config)
        channels = [*self.backbone.channels, *[config.extra_channels] * config.extra_layers]
        strides = [*self.backbone.strides]
        strides += [strides[-1] * 2 ** (level + 1) for level in range(config.extra_layers)]
        self.divisor = strides[-1]
        self.extra = nn.ModuleList(
            nn.Sequential(*_normalised(before, after // 2, 1), *_normalised(after // 2, after, 3, stride=2))
            for before, after in pairwise(channels[len(self.backbone.channels) - 1 :])
        )
        self.default_boxes = BoxGrid(default_shapes(config.scales, config.aspect_ratios), strides)
        self.values = classes + 1 + 4
        self.heads = nn.ModuleList(
            nn.Sequential(
                *_normalised(before, config.channels, 3),
                nn.Conv2d(config.channels, self.values * self.default_boxes.per_location, 3, padding=1),
            )
            for before in channels
        )
        for head in self.heads:
            nn.init.normal_(head[-1].weight, std=0.01)
            nn.init.zeros_(head[-1].bias)
        self.coder = BoxCoder(config.delta_weights)

    @torch.inference_mode()
    def predict(self, inputs: Sequence[Input]) -> list[Prediction]:
        with stage("preprocess"):
            batch = self.batch(inputs)
        maps, logits, deltas = self.network(batch.pixels)
        with stage("postprocess"):
            return self._detect(torch.cat(self.default_boxes(maps)), logits, deltas, batch)

    def network(self, pixels: Tensor) -> tuple[list[Tensor], Tensor, Tensor]:
        """Normalised pixels [B, 3, H, W] -> the maps, and what the heads say of them."""
        with stage("backbone"):
            maps = self._maps(pixels)
        with stage("head"):
            return maps, *self._heads(maps)

    def losses(self, inputs: Sequence[Input], targets: Sequence[Target]) -> dict[str, Tensor]:
        batch = self.batch(inputs)
        maps = self._maps(batch.pixels)
        logits, deltas = self._heads(maps)
        return self._multibox(torch.cat(self.default_boxes(maps)), logits, deltas, batch_boxes(batch, targets))

    def _maps(self, pixels: Tensor) -> list[Tensor]:
        """The backbone's, then those of the extra layers."""
        maps = self.backbone(pixels)
        for layers in self.extra:
            maps.append(layers(maps[-1]))
        return maps

    def _heads(self, maps: Sequence[Tensor]) -> tuple[Tensor, Tensor]:
        """Logits [B, N, 1 + C], background first, and deltas [B, N, 4], in the default boxes' order."""
        outputs = [
            head(x).float().permute(0, 2, 3, 1).reshape(len(x), -1, self.values)
            for head, x in zip(self.heads, maps, strict=True)
        ]
        return torch.cat(outputs, 1).tensor_split([self.values - 4], dim=-1)

    def _multibox(
        self, boxes: Tensor, logits: Tensor, deltas: Tensor, objects: Sequence[BoxTargets]
    ) -> dict[str, Tensor]:
        """Equation 1: softmax loss and smooth L1, both per matched default box of the batch."""
        class_targets = torch.zeros(logits.shape[:2], dtype=torch.int64, device=logits.device)
        undecided = torch.zeros_like(class_targets, dtype=torch.bool)
        delta_targets = []
        for index, one in enumerate(objects):
            matched = self._match(boxes, one)
            chosen = torch.where(matched >= 0)[0]
            class_targets[index, chosen] = 1 + one.labels[matched[chosen]]
            undecided[index] = matched < BACKGROUND
            delta_targets.append(self.coder.encode(one.boxes[matched[chosen]], boxes[chosen]))
        positive = class_targets > 0
        errors = F.cross_entropy(logits.flatten(0, 1), class_targets.flatten(), reduction="none").view_as(class_targets)
        hard = hardest(errors.detach(), positive, undecided, self.config.negatives)
        count = max(1, int(positive.sum()))
        return {
            "class": errors[positive | hard].sum() / count,
            "box": F.smooth_l1_loss(deltas[positive], torch.cat(delta_targets), reduction="sum") / count,
        }

    def _match(self, boxes: Tensor, objects: BoxTargets) -> Tensor:
        """Section 2.2: an object has its best default box, and all that overlap it by more than the threshold."""
        iou, least = ops.box_iou(objects.boxes, boxes), self.config.positive_iou
        return match(iou, least, least, keep_best=True, ignored=objects.ignored)

    def _detect(self, boxes: Tensor, logits: Tensor, deltas: Tensor, batch: ImageBatch) -> list[Prediction]:
        config, predictions = self.config, []
        scores = logits.softmax(-1)[..., 1:]
        for index in range(len(batch.sizes)):
            score, row, label = candidates(scores[index], config.score_threshold, config.top_candidates)
            found = batch.to_image(index, self.coder.decode(deltas[index, row], boxes[row]))
            predictions.append(self.suppress(found, score, label))
        return predictions


def default_shapes(scales: Sequence[float], aspect_ratios: Sequence[float]) -> list[list[tuple[float, float]]]:
    """Section 2.2, (width, height) per map: a square of its scale, one on the way to the next scale, then each aspect
    ratio and its inverse.
    """
    shapes = []
    for scale, following in pairwise(scales):
        between = math.sqrt(scale * following)
        sides = [(scale * math.sqrt(ratio), scale / math.sqrt(ratio)) for ratio in aspect_ratios]
        stretched = [shape for width, height in sides for shape in ((width, height), (height, width))]
        shapes.append([(scale, scale), (between, between), *stretched])
    return shapes


def hardest(errors: Tensor, positive: Tensor, undecided: Tensor, ratio: int) -> Tensor:
    """Hard negative mining: of each image's background, what has the largest errors; `ratio` per positive at most.

    All [B, N]; returns bool.
    """
    background = ~(positive | undecided)
    rank = torch.where(background, errors, -torch.inf).argsort(1, descending=True).argsort(1)
    return background & (rank < ratio * positive.sum(1, keepdim=True))


def _normalised(before: int, after: int, side: int, stride: int = 1) -> tuple[nn.Module, ...]:
    conv = nn.Conv2d(before, after, side, stride, side // 2, bias=False)
    nn.init.kaiming_normal_(conv.weight, mode="fan_out", nonlinearity="relu")
    return conv, nn.BatchNorm2d(after), nn.ReLU()


def build(info: DatasetInfo, config: Mapping[str, Any]) -> SSD:
    return SSD(len(info.classes), Config(**config))
