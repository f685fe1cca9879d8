"""From what a model answers, in its own classes, to predictions in the dataset's."""

from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor

from roibench.dataset import DatasetInfo
from roibench.outside.class_map import match_classes
from roibench.sources import CLASS_MAP
from roibench.structures import Prediction

RANDOM = "random_weights"  # a key of a model's config


def label_table(config: Mapping[str, Any], info: DatasetInfo) -> list[int]:
    """Of each of the model's own classes the dataset's index, or -1 where it has none.

    Of random weights nothing is scored, and any class will do: suppression has as much to do as in earnest. Raises
    ClassMapError where nothing matches.
    """
    own = config["classes"]
    if own is None:
        return list(range(len(info.classes)))
    if config.get(RANDOM):
        return [index % len(info.classes) for index in range(len(own))]
    return list(match_classes(own, info.classes, config.get(CLASS_MAP, {})).indices)


def detections(boxes: Tensor, scores: Tensor, labels: Tensor, table: Sequence[int], **more: Tensor) -> Prediction:
    """Of what the dataset has a class for, best first, on the host.

    more: other fields with an entry per object. Raises ValueError for a label that the model's classes don't have.
    """
    boxes, scores, labels = (part.detach().cpu() for part in (boxes, scores, labels))
    if len(labels) and not 0 <= int(labels.min()) <= int(labels.max()) < len(table):
        found = sorted({int(label) for label in labels if not 0 <= label < len(table)})
        raise ValueError(f"the model gave label {found[0]}; it has {len(table)} classes, 0 to {len(table) - 1}")
    mapped = torch.tensor(table, dtype=torch.int64)[labels.long()]
    order = scores.argsort(descending=True, stable=True)
    order = order[mapped[order] >= 0]
    others = {name: value.detach().cpu()[order] for name, value in more.items()}
    return Prediction(boxes=boxes[order].float(), scores=scores[order].float(), labels=mapped[order], **others)


def class_scores(probabilities: Tensor, table: Sequence[int], classes: int) -> Prediction:
    """A dataset's class is as likely as the model's classes for it are together; one without any has no chance."""
    if len(probabilities) != len(table):
        raise ValueError(f"the model gave {len(probabilities)} scores; it has {len(table)} classes")
    probabilities = probabilities.detach().float().cpu()
    known = torch.tensor(table) >= 0
    found = torch.zeros(classes).index_add_(0, torch.tensor(table)[known], probabilities[known])
    return Prediction(class_scores=found)


def semantic_map(labels: Tensor, table: Sequence[int]) -> Prediction:
    """labels: [H, W], the model's own. What the dataset has no class for is its background, 0."""
    lookup = torch.tensor([index + 1 for index in table], dtype=torch.uint8)
    return Prediction(semantic_map=lookup[labels.cpu().long()])
