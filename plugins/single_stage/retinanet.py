"""RetinaNet (Lin et al. 2017, arXiv 1708.02002): one stage, a feature pyramid, and a loss that ignores easy background.

Two small convolutional subnets, shared by the levels of the pyramid, classify every anchor and predict its box deltas.
Nearly all anchors are background that is recognised at once; focal loss takes their weight away, so that no stage has
to sort them out.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from roibench import ops
from roibench.dataset import DatasetInfo
from roibench.model import stage
from roibench.nn.anchors import AnchorGenerator
from roibench.nn.box_coder import BoxCoder
from roibench.nn.images import ImageBatch
from roibench.nn.matcher import UNDECIDED, match
from roibench.nn.pyramid import FeaturePyramid
from roibench.nn.targets import BoxTargets, batch_boxes
from roibench.plugins.single_stage.detector import DetectorConfig, SingleStageDetector, candidates
from roibench.structures import Input, Prediction, Target


@dataclass(frozen=True)
class Config(DetectorConfig):
    """Hyperparameters, with the paper's values in brackets where small images want others. Lengths are pixels."""

    strides: tuple[int, ...] = (4, 8, 16)  # of the maps that are used [8 to 128]
    channels: int = 64  # of the pyramid and the subnets [256]
    depth: int = 2  # hidden convolutions of a subnet [4]
    anchor_base: float = 2.5  # an anchor's smallest side over its level's stride [4]
    anchor_octaves: tuple[float, ...] = (0, 1 / 2)  # [0, 1/3, 2/3]
    aspect_ratios: tuple[float, ...] = (1.0,)  # [0.5, 1, 2]

    positive_iou: float = 0.4  # [0.5]
    negative_iou: float = 0.3  # [0.4]
    focal_alpha: float = 0.25  # weight of the positive class; -1: both weigh 1
    focal_gamma: float = 2.0  # how fast the weight of what is easy falls; 0: cross entropy
    prior: float = 0.01  # pi: the probability of every class at the start of training
    top_candidates: int = 1000  # per level, before suppression


class Subnet(nn.Module):
    """A head that the levels share: hidden 3x3 convolutions, then one that gives `values` numbers per anchor.

    Each level has batch norm of its own, because the levels' statistics differ; the paper, which starts from a
    pretrained backbone, has none.
    """

    def __init__(self, channels: int, depth: int, levels: int, anchors_per_location: int, values: int) -> None:
        super().__init__()
        self.values = values
        self.hidden = nn.ModuleList(nn.Conv2d(channels, channels, 3, padding=1, bias=False) for _ in range(depth))
        self.norms = nn.ModuleList(nn.ModuleList(nn.BatchNorm2d(channels) for _ in range(depth)) for _ in range(levels))
        self.last = nn.Identity()  # the output of the hidden convolutions passes here, level by level
        self.output = nn.Conv2d(channels, anchors_per_location * values, 3, padding=1)
        for conv in self.hidden:
            nn.init.kaiming_normal_(conv.weight, mode="fan_out", nonlinearity="relu")
        nn.init.normal_(self.output.weight, std=0.01)
        nn.init.zeros_(self.output.bias)

    def forward(self, pyramid: Sequence[Tensor]) -> list[Tensor]:
        """Maps [B, C, h, w] -> per level, float32 [B, h * w * anchors, values], in anchor order."""
        outputs = []
        for x, norms in zip(pyramid, self.norms, strict=True):
            for conv, norm in zip(self.hidden, norms, strict=True):
                x = torch.relu(norm(conv(x)))
            outputs.append(self.output(self.last(x)).float().permute(0, 2, 3, 1).reshape(len(x), -1, self.values))
        return outputs


class RetinaNet(SingleStageDetector):
    stages = ("preprocess", "backbone", "head", "postprocess")
    networks = ("network",)

    def __init__(self, classes: int, config: Config) -> None:
        super().__init__(config)
        self.pyramid = FeaturePyramid(self.backbone.channels, config.channels)
        sizes = [
            [config.anchor_base * stride * 2**octave for octave in config.anchor_octaves] for stride in config.strides
        ]
        self.anchors = AnchorGenerator(sizes, config.aspect_ratios, config.strides)
        head = (config.channels, config.depth, len(config.strides), self.anchors.per_location)
        self.class_subnet = Subnet(*head, values=classes)
        self.box_subnet = Subnet(*head, values=4)
        # Section 4.1: a network that begins by calling everything rare isn't swamped by the background's loss.
        nn.init.constant_(self.class_subnet.output.bias, -math.log((1 - config.prior) / config.prior))
        self.coder = BoxCoder()

    @torch.inference_mode()
    def predict(self, inputs: Sequence[Input]) -> list[Prediction]:
        with stage("preprocess"):
            batch = self.batch(inputs)
        logits, deltas = self.network(batch.pixels)
        with stage("postprocess"):
            height, width = batch.pixels.shape[2:]
            anchors = self.anchors.on([(height // stride, width // stride) for stride in self.config.strides])
            return self._detect(anchors, logits, deltas, batch)

    def network(self, pixels: Tensor) -> tuple[list[Tensor], list[Tensor]]:
        """Normalised pixels [B, 3, H, W] -> per level, class logits and box deltas of the anchors, as Subnet."""
        with stage("backbone"):
            pyramid = self.pyramid(self.backbone(pixels))
        with stage("head"):
            return self.class_subnet(pyramid), self.box_subnet(pyramid)

    def losses(self, inputs: Sequence[Input], targets: Sequence[Target]) -> dict[str, Tensor]:
        """Section 4.1: focal loss over all anchors, smooth L1 over the positive ones, both per positive anchor."""
        batch = self.batch(inputs)
        pyramid = self.pyramid(self.backbone(batch.pixels))
        logits, deltas = torch.cat(self.class_subnet(pyramid), 1), torch.cat(self.box_subnet(pyramid), 1)
        anchors = torch.cat(self.anchors(pyramid))
        objects = batch_boxes(batch, targets)
        matched = torch.stack([self._match(anchors, one) for one in objects])
        image, anchor = torch.where(matched >= 0)
        index = matched[image, anchor]
        first = torch.tensor([0, *(len(one.labels) for one in objects[:-1])], device=index.device).cumsum(0)
        index = index + first[image]  # among the objects of the whole batch
        class_targets = torch.zeros_like(logits)
        class_targets[image, anchor, torch.cat([one.labels for one in objects])[index]] = 1
        decided = matched != UNDECIDED
        delta_targets = self.coder.encode(torch.cat([one.boxes for one in objects])[index], anchors[anchor])
        count = max(1, len(index))
        config = self.config
        return {
            "class": ops.sigmoid_focal_loss(
                logits[decided], class_targets[decided], config.focal_alpha, config.focal_gamma, reduction="sum"
            )
            / count,
            "box": F.smooth_l1_loss(deltas[image, anchor], delta_targets, beta=1 / 9, reduction="sum") / count,
        }

    @property
    def feature_layer(self) -> nn.Module:
        return self.class_subnet.last

    def class_scores(self, batch: ImageBatch) -> Tensor:
        """Logits [B, classes] of each class's highest-scoring anchor: the detection that suppression keeps first."""
        logits = torch.cat(self.class_subnet(self.pyramid(self.backbone(batch.pixels))), 1)
        return logits.max(1).values

    def _match(self, anchors: Tensor, objects: BoxTargets) -> Tensor:
        """Every anchor's object, int64 [N]: all of them learn, none is drawn by lot."""
        config = self.config
        iou = ops.box_iou(objects.boxes, anchors)
        return match(iou, config.positive_iou, config.negative_iou, keep_best=True, ignored=objects.ignored)

    def _detect(
        self, anchors: Sequence[Tensor], logits: Sequence[Tensor], deltas: Sequence[Tensor], batch: ImageBatch
    ) -> list[Prediction]:
        """The best candidates of each level, decoded; suppression is per class, over all levels."""
        config = self.config
        predictions = []
        for index in range(len(batch.sizes)):
            boxes, scores, labels = [], [], []
            for anchor, logit, delta in zip(anchors, logits, deltas, strict=True):
                score, row, label = candidates(logit[index].sigmoid(), config.score_threshold, config.top_candidates)
                boxes.append(self.coder.decode(delta[index, row], anchor[row]))
                scores.append(score)
                labels.append(label)
            box = batch.to_image(index, torch.cat(boxes))
            predictions.append(self.suppress(box, torch.cat(scores), torch.cat(labels)))
        return predictions


def build(info: DatasetInfo, config: Mapping[str, Any]) -> RetinaNet:
    return RetinaNet(len(info.classes), Config(**config))
