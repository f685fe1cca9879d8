"""CornerNet (Law & Deng 2018, arXiv 1808.01244): an object is a pair of corners, top-left and bottom-right.

A corner mostly lies outside its object, where nothing tells of it: corner pooling brings to each location what stands
farthest out in the row and the column that begin there. Every corner has an embedding besides, one number, alike for
the corners of one object (pull) and different for those of others (push): corners of a class are grouped by it.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from roibench import ops
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
from roibench.nn.pyramid import FeaturePyramid
from roibench.nn.targets import BoxTargets, batch_boxes, ignored_locations, learned_objects
from roibench.plugins.single_stage.detector import DetectorConfig, SingleStageDetector
from roibench.structures import Input, Prediction, Target


@dataclass(frozen=True)
class Config(DetectorConfig):
    """Hyperparameters, with the paper's values in brackets where small images want others."""

    channels: int = 48  # of the pyramid and the heads [256]
    pooled: int = 32  # channels that corner pooling sees [128]
    pull: float = 0.1  # alpha
    push: float = 0.1  # beta
    margin: float = 1.0  # Delta: by how much embeddings of two objects are to differ
    corners: int = 100  # of either kind, per image
    largest_distance: float = 0.5  # of the embeddings of a pair
    pairs: int = 200  # before suppression


class Output(NamedTuple):
    """Of one kind of corner, at stride 4: heat [B, C, H, W] as logits; embedding [B, 1, H, W]; offset [B, 2, H, W], x
    before y, in locations.
    """

    heat: Tensor
    embedding: Tensor
    offset: Tensor


def corner_pool(vertical: Tensor, horizontal: Tensor, top_left: bool) -> Tensor:
    """Maps [B, C, H, W] -> the largest of each column from a location on, plus the largest of each row from there on.

    top_left: looks down and to the right, where the object is; else up and to the left.
    """
    return _largest_so_far(vertical, 2, top_left) + _largest_so_far(horizontal, 3, top_left)


def _largest_so_far(x: Tensor, dim: int, backwards: bool) -> Tensor:
    return x.flip(dim).cummax(dim).values.flip(dim) if backwards else x.cummax(dim).values


class CornerModule(nn.Module):
    """Corner pooling with its convolutions (figure 7), then what is predicted of one kind of corner."""

    def __init__(self, channels: int, pooled: int, classes: int, top_left: bool) -> None:
        super().__init__()
        self.top_left = top_left
        self.vertical, self.horizontal = (nn.Sequential(*_normalised(channels, pooled, 3), nn.ReLU()) for _ in range(2))
        self.after = nn.Sequential(*_normalised(pooled, channels, 3))
        self.shortcut = nn.Sequential(*_normalised(channels, channels, 1))
        self.last = nn.Sequential(*_normalised(channels, channels, 3), nn.ReLU())
        self.heat = heat_head(channels, classes)
        self.embedding, self.offset = Head(channels, 1), Head(channels, 2)

    def forward(self, x: Tensor) -> Output:
        """Maps [B, channels, H, W]."""
        pooled = corner_pool(self.vertical(x), self.horizontal(x), self.top_left)
        x = self.last(torch.relu(self.after(pooled) + self.shortcut(x)))
        return Output(self.heat(x).float(), self.embedding(x).float(), self.offset(x).float())


class CornerNet(SingleStageDetector):
    stages = ("preprocess", "backbone", "head", "postprocess")
    networks = ("network",)

    def __init__(self, classes: int, config: Config) -> None:
        super().__init__(config)
        self.stride = self.backbone.strides[0]
        self.pyramid = FeaturePyramid(self.backbone.channels, config.channels, levels=1)
        self.top_left = CornerModule(config.channels, config.pooled, classes, top_left=True)
        self.bottom_right = CornerModule(config.channels, config.pooled, classes, top_left=False)

    @torch.inference_mode()
    def predict(self, inputs: Sequence[Input]) -> list[Prediction]:
        with stage("preprocess"):
            batch = self.batch(inputs)
        corners = self.network(batch.pixels)
        with stage("postprocess"):
            return self._detect(*corners, batch)

    def network(self, pixels: Tensor) -> tuple[Output, Output]:
        """Normalised pixels [B, 3, H, W] -> both kinds of corners."""
        with stage("backbone"):
            [features] = self.pyramid(self.backbone(pixels))
        with stage("head"):
            return self.top_left(features), self.bottom_right(features)

    def losses(self, inputs: Sequence[Input], targets: Sequence[Target]) -> dict[str, Tensor]:
        batch = self.batch(inputs)
        [features] = self.pyramid(self.backbone(batch.pixels))
        corners = self.top_left(features), self.bottom_right(features)
        return self._errors(*corners, batch_boxes(batch, targets))

    def _errors(self, top_left: Output, bottom_right: Output, objects: Sequence[BoxTargets]) -> dict[str, Tensor]:
        """Section 3.5: focal loss of the heat maps, pull and push of the embeddings, smooth L1 of the offsets."""
        config, shape = self.config, top_left.heat.shape
        image, boxes, labels = learned_objects(objects)
        boxes = boxes / self.stride
        radius = gaussian_radius(boxes[:, 2:] - boxes[:, :2])
        undecided = torch.stack([ignored_locations(one, self.stride, shape[2:]) for one in objects])
        count = max(1, len(labels))
        heat, offset, embeddings = [], [], []
        for output, points in ((top_left, boxes[:, :2]), (bottom_right, boxes[:, 2:])):
            rows, columns = locations(points, shape[2:])
            heat.append(heat_loss(output.heat, heat_targets(image, labels, rows, columns, radius, shape), undecided))
            offsets = offset_targets(points, rows, columns)
            offset.append(F.smooth_l1_loss(output.offset[image, :, rows, columns], offsets, reduction="sum") / count)
            embeddings.append(output.embedding[image, 0, rows, columns])
        pull, push = grouping_losses(*embeddings, image, config.margin)
        return {
            "heat": sum(heat),
            "pull": config.pull * pull / len(objects),
            "push": config.push * push / len(objects),
            "offset": sum(offset),
        }

    def _detect(self, top_left: Output, bottom_right: Output, batch: ImageBatch) -> list[Prediction]:
        """Pairs of corners of a class that lie the right way round and whose embeddings are close; a pair scores the
        mean of its corners, and soft suppression thins out what overlaps.
        """
        config, predictions = self.config, []
        first, second = (peaks(one.heat.sigmoid(), config.corners) for one in (top_left, bottom_right))
        low, high = first.points(top_left.offset), second.points(bottom_right.offset)
        begin, end = first.read(top_left.embedding), second.read(bottom_right.embedding)
        matched = (first.labels[:, :, None] == second.labels[:, None]) & (
            (begin - end.transpose(1, 2)).abs() <= config.largest_distance
        )
        matched &= (low[:, :, None] < high[:, None]).all(-1)
        scores = (first.scores[:, :, None] + second.scores[:, None]) / 2
        scores = scores.masked_fill(~matched, -1)
        for index in range(len(batch.sizes)):
            score, pair = scores[index].flatten().topk(min(config.pairs, scores[index].numel()))
            pair = pair[score > config.score_threshold]
            one, other = pair // scores.shape[2], pair % scores.shape[2]
            boxes = batch.to_image(index, torch.cat([low[index, one], high[index, other]], -1) * self.stride)
            predictions.append(self._thin(boxes, score[: len(pair)], first.labels[index, one]))
        return predictions

    def _thin(self, boxes: Tensor, scores: Tensor, labels: Tensor) -> Prediction:
        """Soft suppression within each class: classes are moved apart."""
        apart = boxes + labels[:, None] * (boxes.amax() + 1 if len(boxes) else 1)
        keep, scores = ops.soft_nms(apart, scores, "gaussian", score_threshold=self.config.score_threshold)
        keep, scores = keep[: self.config.max_detections], scores[: self.config.max_detections]
        return Prediction(boxes=boxes[keep].cpu(), scores=scores.cpu(), labels=labels[keep].cpu())


def grouping_losses(begin: Tensor, end: Tensor, image: Tensor, margin: float) -> tuple[Tensor, Tensor]:
    """Equations 4 and 5, summed over images: pull and push.

    begin, end: embeddings [K] of the corners of K objects. image: int64 [K], whose they are.
    """
    middle = (begin + end) / 2
    together = image[:, None] == image
    count = together.sum(1)
    pull = (((begin - middle) ** 2 + (end - middle) ** 2) / count).sum()
    others = together & ~torch.eye(len(image), dtype=torch.bool, device=image.device)
    near = (margin - (middle[:, None] - middle).abs()).clamp(min=0) * others
    push = (near / (count * (count - 1)).clamp(min=1)[:, None]).sum()
    return pull, push


def _normalised(before: int, after: int, side: int) -> tuple[nn.Module, ...]:
    conv = nn.Conv2d(before, after, side, padding=side // 2, bias=False)
    nn.init.kaiming_normal_(conv.weight, mode="fan_out", nonlinearity="relu")
    return conv, nn.BatchNorm2d(after)


def build(info: DatasetInfo, config: Mapping[str, Any]) -> CornerNet:
    return CornerNet(len(info.classes), Config(**config))
