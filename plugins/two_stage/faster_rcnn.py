"""Faster R-CNN (Ren et al. 2015, arXiv 1506.01497) on a feature pyramid (Lin et al. 2017, arXiv 1612.03144).

A region proposal network scores anchors at every location and refines them by box deltas; RoI align, or RoI pool as
published, cuts the best proposals out of the same features; a box head classifies each and refines it once more. Both
stages learn together, by four losses.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar, Literal, NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from roibench import ops
from roibench.dataset import DatasetInfo
from roibench.model import TrainableModel, listening, stage
from roibench.nn.anchors import AnchorGenerator
from roibench.nn.backbones import BackboneConfig, build_backbone
from roibench.nn.box_coder import BoxCoder, clip_boxes
from roibench.nn.images import ImageBatch, batch_images
from roibench.nn.matcher import match, sample
from roibench.nn.pyramid import FeaturePyramid, PyramidRoIAlign, PyramidRoIPool
from roibench.nn.targets import BoxTargets, batch_boxes
from roibench.plugins.two_stage.second_stage import (
    BoxHead,
    Regions,
    SecondStageConfig,
    box_head_losses,
    detect,
    sample_regions,
)
from roibench.structures import Input, Prediction, Target

POOLS = {"roi_align": PyramidRoIAlign, "roi_pool": PyramidRoIPool}


@dataclass(frozen=True)
class ProposingConfig(SecondStageConfig, BackboneConfig):
    """Hyperparameters, with the paper's values in brackets where small images want others. Lengths are pixels."""

    channels: int = 64  # of the pyramid [256]
    short_side: int | None = None  # images are resized to it [600]
    long_side: int = 1333
    anchor_sizes: tuple[tuple[float, ...], ...] = ((9, 14), (21, 32), (48, 70))  # per level
    aspect_ratios: tuple[float, ...] = (0.5, 1.0, 2.0)

    rpn_positive_iou: float = 0.7
    rpn_negative_iou: float = 0.3
    rpn_samples: int = 256  # anchors per image that the loss counts, at most half of them positive
    rpn_nms_iou: float = 0.7
    rpn_before_nms: int = 500  # per level [6000]
    proposals: int = 150  # per image, after suppression [300]
    training_proposals: int = 300  # [2000]


@dataclass(frozen=True)
class Config(ProposingConfig):
    pooling: Literal["roi_align", "roi_pool"] = "roi_align"  # ["roi_pool"]
    roi_size: int = 7  # of what it gives: 7 x 7
    canonical_size: float = 7.0  # of a RoI on its level, in locations [14]


class RegionProposals(nn.Module):
    """The RPN's head (section 3.1), shared by the levels: a 3x3 convolution, then objectness and deltas per anchor."""

    def __init__(self, channels: int, anchors_per_location: int) -> None:
        super().__init__()
        self.conv = nn.Conv2d(channels, channels, 3, padding=1)
        self.objectness = nn.Conv2d(channels, anchors_per_location, 1)
        self.deltas = nn.Conv2d(channels, anchors_per_location * 4, 1)
        for layer in (self.conv, self.objectness, self.deltas):
            nn.init.normal_(layer.weight, std=0.01)
            nn.init.zeros_(layer.bias)

    def forward(self, pyramid: Sequence[Tensor]) -> tuple[list[Tensor], list[Tensor]]:
        """Maps [B, C, h, w] -> per level, objectness logits [B, h*w*A] and deltas [B, h*w*A, 4], in anchor order."""
        logits, deltas = [], []
        for feature in pyramid:
            hidden = torch.relu(self.conv(feature))
            logits.append(self.objectness(hidden).float().permute(0, 2, 3, 1).flatten(1))
            deltas.append(self.deltas(hidden).float().permute(0, 2, 3, 1).reshape(len(feature), -1, 4))
        return logits, deltas


class Proposed(NamedTuple):
    """What the RPN proposes for an image, best first.

    boxes: xyxy [K, 4], in pixels of the batch.
    objectness: logits [K].
    """

    boxes: Tensor
    objectness: Tensor


class Classified(NamedTuple):
    """What the second stage says of K regions.

    logits: of the classes, 0 being background [K, C + 1].
    deltas: to the box of each class [K, C, 4].
    features: from which it says that [K, hidden]; None where regions have no layers of their own.
    """

    logits: Tensor
    deltas: Tensor
    features: Tensor | None = None


class Learned(NamedTuple):
    """What further heads learn from: the pyramid, regions of it, and their features (Classified)."""

    pyramid: list[Tensor]
    regions: Regions
    features: Tensor | None


class ProposingDetector(TrainableModel):
    """A detector that finds its regions itself, by an RPN on the maps that its second stage looks at."""

    networks: tuple[str, ...] = ("network",)

    def __init__(self, config: ProposingConfig) -> None:
        super().__init__()
        self.config = config
        self.backbone = build_backbone(config)
        self.pyramid = FeaturePyramid(self.backbone.channels, config.channels)
        self.anchors = AnchorGenerator(config.anchor_sizes, config.aspect_ratios, config.strides)
        self.rpn = RegionProposals(config.channels, self.anchors.per_location)
        self.anchor_coder = BoxCoder()

    def initialize(self) -> None:
        self.backbone.load_pretrained()

    @torch.inference_mode()
    def predict(self, inputs: Sequence[Input]) -> list[Prediction]:
        with stage("preprocess"):
            batch = self.batch(inputs)
        _, found = self.find(batch)
        return found

    def find(self, batch: ImageBatch) -> tuple[list[Tensor], list[Prediction]]:
        """The pyramid, and what both stages find in it."""
        pyramid, proposals, found = self._classified(batch)
        with stage("postprocess"):
            scores = found.logits.softmax(-1)[:, 1:]
            return pyramid, detect(scores, found.deltas, proposals, batch, self.config)

    @property
    def feature_layer(self) -> nn.Module:
        return self.pyramid.last

    def class_scores(self, batch: ImageBatch) -> Tensor:
        """Logits [B, classes] of each class's highest-scoring region."""
        with listening(None):
            _, proposals, found = self._classified(batch)
        return strongest(found.logits[:, 1:], proposals)

    def _classified(self, batch: ImageBatch) -> tuple[list[Tensor], list[Tensor], Classified]:
        """The pyramid, the regions of each image, and what the second stage says of them."""
        pyramid, proposed = self.first_stage(batch, self.config.rpn_before_nms, self.config.proposals)
        proposals = [one.boxes for one in proposed]
        return pyramid, proposals, self.second_stage(pyramid, proposals)

    def second_stage(self, pyramid: Sequence[Tensor], boxes: Sequence[Tensor]) -> Classified:
        """Maps [B, C, h, w] per level, xyxy boxes [K_i, 4] per image, in pixels of the batch. It marks its stages."""
        raise NotImplementedError(f"{type(self).__name__} must implement second_stage(pyramid, boxes)")

    def first_stage(self, batch: ImageBatch, before_nms: int, count: int) -> tuple[list[Tensor], list[Proposed]]:
        """The pyramid, and what the RPN proposes for each image."""
        pyramid, logits, deltas = self.network(batch.pixels)
        with stage("proposals"):
            return pyramid, self.ranked(self.anchors(pyramid), logits, deltas, batch, before_nms, count)

    def network(self, pixels: Tensor) -> tuple[list[Tensor], list[Tensor], list[Tensor]]:
        """Normalised pixels [B, 3, H, W] -> per level, its map [B, C, h, w], and the RPN's logits and deltas."""
        with stage("backbone"):
            pyramid = self.pyramid(self.backbone(pixels))
        with stage("rpn"):
            return pyramid, *self.rpn(pyramid)

    def losses(self, inputs: Sequence[Input], targets: Sequence[Target]) -> dict[str, Tensor]:
        """Faster R-CNN's four: objectness and box of the RPN, class and box of the second stage."""
        batch = self.batch(inputs)
        losses, _ = self.learn(batch, batch_boxes(batch, targets))
        return losses

    def learn(self, batch: ImageBatch, objects: Sequence[BoxTargets]) -> tuple[dict[str, Tensor], Learned]:
        """The losses, and what further heads learn from."""
        config = self.config
        pyramid = self.pyramid(self.backbone(batch.pixels))
        logits, deltas = self.rpn(pyramid)
        anchors = self.anchors(pyramid)
        proposals = self.propose(anchors, logits, deltas, batch, config.training_proposals)
        rpn = self._rpn_losses(torch.cat(anchors), torch.cat(logits, 1), torch.cat(deltas, 1), objects)
        regions = sample_regions(proposals, objects, config)
        found = self.second_stage(pyramid, regions.boxes)
        return rpn | box_head_losses(found.logits, found.deltas, regions), Learned(pyramid, regions, found.features)

    def batch(self, inputs: Sequence[Input]) -> ImageBatch:
        config = self.config
        return batch_images(inputs, self.device, config.short_side, config.long_side, config.strides[-1])

    def propose(
        self, anchors: list[Tensor], logits: list[Tensor], deltas: list[Tensor], batch: ImageBatch, count: int
    ) -> list[Tensor]:
        """The boxes of `ranked`, of rpn_before_nms candidates per level."""
        ranked = self.ranked(anchors, logits, deltas, batch, self.config.rpn_before_nms, count)
        return [one.boxes for one in ranked]

    @torch.no_grad()
    def ranked(
        self,
        anchors: list[Tensor],
        logits: list[Tensor],
        deltas: list[Tensor],
        batch: ImageBatch,
        before_nms: int,
        count: int,
    ) -> list[Proposed]:
        """Per image, of the best `before_nms` boxes of each level the best `count` that suppression on it leaves.

        Per level: anchors [N, 4], objectness logits [B, N], box deltas [B, N, 4].
        """
        proposals = []
        for index, size in enumerate(batch.sizes):
            boxes, scores, levels = [], [], []
            for level, (anchor, logit, delta) in enumerate(zip(anchors, logits, deltas, strict=True)):
                top = logit[index].topk(min(before_nms, len(anchor)))
                boxes.append(self.anchor_coder.decode(delta[index, top.indices], anchor[top.indices]))
                scores.append(top.values)
                levels.append(torch.full_like(top.indices, level))
            box, score, level = clip_boxes(torch.cat(boxes), size), torch.cat(scores), torch.cat(levels)
            real = ((box[:, 2:] - box[:, :2]) >= 1).all(1)
            box, score, level = box[real], score[real], level[real]
            keep = ops.batched_nms(box, score, level, self.config.rpn_nms_iou)[:count]
            proposals.append(Proposed(box[keep], score[keep]))
        return proposals

    def _rpn_losses(
        self, anchors: Tensor, logits: Tensor, deltas: Tensor, objects: Sequence[BoxTargets]
    ) -> dict[str, Tensor]:
        """Equation 1: log loss over sampled anchors, smooth L1 over the positive ones."""
        config = self.config
        objectness, objectness_targets, predicted_deltas, delta_targets = [], [], [], []
        for index, (boxes, _, ignored) in enumerate(objects):
            iou = ops.box_iou(boxes, anchors)
            matched = match(iou, config.rpn_positive_iou, config.rpn_negative_iou, keep_best=True, ignored=ignored)
            chosen = sample(matched, config.rpn_samples, positive_fraction=0.5)
            positive = chosen[matched[chosen] >= 0]
            objectness.append(logits[index, chosen])
            objectness_targets.append((matched[chosen] >= 0).float())
            predicted_deltas.append(deltas[index, positive])
            delta_targets.append(self.anchor_coder.encode(boxes[matched[positive]], anchors[positive]))
        sampled = max(1, sum(map(len, objectness)))
        classification = F.binary_cross_entropy_with_logits(
            torch.cat(objectness), torch.cat(objectness_targets), reduction="sum"
        )
        regression = F.smooth_l1_loss(
            torch.cat(predicted_deltas), torch.cat(delta_targets), beta=1 / 9, reduction="sum"
        )
        return {"rpn_objectness": classification / sampled, "rpn_box": regression / sampled}


class FasterRCNN(ProposingDetector):
    networks = ("network", "classify")
    # Parameters' former names, which files of weights may have (roibench.weights).
    renamed_parameters: ClassVar = {"rpn.offsets": "rpn.deltas", "box_head.offsets": "box_head.deltas"}

    def __init__(self, classes: int, config: Config) -> None:
        super().__init__(config)
        self.stages = ("preprocess", "backbone", "rpn", "proposals", config.pooling, "box_head", "postprocess")
        self.pool = POOLS[config.pooling](config.roi_size, config.strides, config.canonical_size)
        self.box_head = BoxHead(config.channels * config.roi_size**2, config.hidden, classes)

    def second_stage(self, pyramid: Sequence[Tensor], boxes: Sequence[Tensor]) -> Classified:
        with stage(self.config.pooling):
            pooled = self.pool(pyramid, boxes)
        with stage("box_head"):
            return self.classify(pooled)

    def classify(self, pooled: Tensor) -> Classified:
        """What was cut out of the maps, [K, C, roi_size, roi_size]."""
        features = self.box_head.hidden(pooled)
        return Classified(*self.box_head.outputs(features), features)


def strongest(values: Tensor, regions: Sequence[Tensor]) -> Tensor:
    """Values [sum K_i, N] of each image's K_i regions -> their maxima [B, N]; 0 where an image has no region."""
    parts = values.split([len(one) for one in regions])
    return torch.stack([one.amax(0) if len(one) else one.sum(0) for one in parts])


def build(info: DatasetInfo, config: Mapping[str, Any]) -> FasterRCNN:
    return FasterRCNN(len(info.classes), Config(**config))
