"""The second stage that two-stage detectors share (Girshick 2015, arXiv 1504.08083): which regions it learns from, its
layers and losses, and how what it says of regions becomes detections.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from roibench import ops
from roibench.nn.box_coder import BoxCoder
from roibench.nn.images import ImageBatch
from roibench.nn.matcher import match, sample
from roibench.nn.targets import BoxTargets
from roibench.structures import Prediction
from roibench.tasks.objects import MAX_DETECTIONS, SCORE_THRESHOLD

BOX_CODER = BoxCoder(weights=(10.0, 10.0, 5.0, 5.0))


@dataclass(frozen=True)
class SecondStageConfig:
    """Hyperparameters, with the paper's values in brackets where small images want others.

    roi_samples: regions per image that the losses count, at most a quarter of them positive.
    """

    hidden: int = 128  # of the box head [4096; Faster R-CNN on a pyramid: 1024]
    roi_positive_iou: float = 0.5
    roi_samples: int = 128
    nms_iou: float = 0.5
    score_threshold: float = SCORE_THRESHOLD
    max_detections: int = MAX_DETECTIONS


class BoxHead(nn.Module):
    """Two hidden layers, then C + 1 class logits (0 is background) and C boxes."""

    def __init__(self, features: int, hidden: int, classes: int) -> None:
        super().__init__()
        self.hidden = hidden_layers(features, hidden)
        self.logits = nn.Linear(hidden, classes + 1)
        self.deltas = nn.Linear(hidden, classes * 4)
        nn.init.normal_(self.logits.weight, std=0.01)
        nn.init.normal_(self.deltas.weight, std=0.001)
        for layer in (self.logits, self.deltas):
            nn.init.zeros_(layer.bias)

    def forward(self, pooled: Tensor) -> tuple[Tensor, Tensor]:
        """[K, ...], of `features` numbers each -> logits [K, C + 1], box deltas [K, C, 4]."""
        return self.outputs(self.hidden(pooled))

    def outputs(self, hidden: Tensor) -> tuple[Tensor, Tensor]:
        """The same from what the hidden layers make of them, [K, hidden]."""
        return self.logits(hidden).float(), self.deltas(hidden).float().unflatten(1, (-1, 4))


def hidden_layers(features: int, hidden: int) -> nn.Sequential:
    """[K, ...], of `features` numbers each -> [K, hidden].

    Normalised over the batch's regions, which the papers' pretrained layers have no need of: ones that start from
    random weights learn more slowly without it (He et al. 2018, arXiv 1811.08883).
    """
    return nn.Sequential(
        nn.Flatten(),
        nn.Linear(features, hidden, bias=False),
        nn.BatchNorm1d(hidden),
        nn.ReLU(),
        nn.Linear(hidden, hidden, bias=False),
        nn.BatchNorm1d(hidden),
        nn.ReLU(),
    )


class Regions(NamedTuple):
    """What the second stage learns from.

    boxes: per image, xyxy [K_i, 4] in pixels of the batch.
    classes: int64 [sum K_i], 0 for background, else the label + 1.
    deltas: to their objects, of the regions that have a class, in order: [P, 4].
    objects: which of their image's objects these regions show, per image int64 [P_i].
    """

    boxes: list[Tensor]
    classes: Tensor
    deltas: Tensor
    objects: list[Tensor]

    @property
    def positive(self) -> list[Tensor]:
        """Per image, the boxes of the regions that have a class: [P_i, 4]."""
        shown = (self.classes > 0).split([len(one) for one in self.boxes])
        return [one[which] for one, which in zip(self.boxes, shown, strict=True)]


def sample_regions(proposals: Sequence[Tensor], objects: Sequence[BoxTargets], config: SecondStageConfig) -> Regions:
    """Draws regions from proposals [K, 4], and from the objects, which are proposed too."""
    boxes, classes, deltas, shown = [], [], [], []
    for proposed, (true_boxes, labels, ignored) in zip(proposals, objects, strict=True):
        learned = true_boxes if ignored is None else true_boxes[~ignored]
        candidates = torch.cat([proposed, learned])
        iou, at_least = ops.box_iou(true_boxes, candidates), config.roi_positive_iou
        matched = match(iou, at_least, at_least, keep_best=False, ignored=ignored)
        chosen = sample(matched, config.roi_samples, positive_fraction=0.25)
        index = matched[chosen]
        positive = index >= 0
        boxes.append(candidates[chosen])
        classes.append(torch.where(positive, _take(labels, index) + 1, 0))
        shown.append(index[positive])
        deltas.append(BOX_CODER.encode(true_boxes[index[positive]], candidates[chosen][positive]))
    return Regions(boxes, torch.cat(classes), torch.cat(deltas), shown)


def box_head_losses(logits: Tensor, deltas: Tensor, regions: Regions) -> dict[str, Tensor]:
    """The multi-task loss over sampled regions: log loss of the class, and smooth L1 of the own class's box.

    logits [K, C + 1], box deltas [K, C, 4].
    """
    positive = torch.where(regions.classes > 0)[0]
    own_deltas = deltas[positive, regions.classes[positive] - 1]
    count = max(1, len(regions.classes))
    return {
        "head_class": F.cross_entropy(logits, regions.classes, reduction="sum") / count,
        "head_box": F.smooth_l1_loss(own_deltas, regions.deltas, beta=1 / 9, reduction="sum") / count,
    }


def detect(
    scores: Tensor, deltas: Tensor, proposals: Sequence[Tensor], batch: ImageBatch, config: SecondStageConfig
) -> list[Prediction]:
    """Each region may become one detection per class; suppression is per class.

    scores [K, C] and box deltas [K, C, 4] of all images' regions [K_i, 4].
    """
    counts = [len(one) for one in proposals]
    boxes = BOX_CODER.decode(deltas, torch.cat(list(proposals))[:, None]).split(counts)
    predictions = []
    for index, (score, box) in enumerate(zip(scores.split(counts), boxes, strict=True)):
        row, label = torch.where(score > config.score_threshold)
        box, score = batch.to_image(index, box[row, label]), score[row, label]
        keep = ops.batched_nms(box, score, label, config.nms_iou)[: config.max_detections]
        predictions.append(Prediction(boxes=box[keep].cpu(), scores=score[keep].cpu(), labels=label[keep].cpu()))
    return predictions


def _take(values: Tensor, index: Tensor) -> Tensor:
    """values[index] where index >= 0, and 0 elsewhere; `values` may be empty."""
    padded = torch.cat([values, values.new_zeros(1)])
    return padded[torch.where(index >= 0, index, len(values))]
