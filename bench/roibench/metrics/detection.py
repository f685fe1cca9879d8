"""Detection: COCO's average precision and recall of boxes, with bootstrap intervals over images."""

from collections.abc import Sequence
from functools import partial

import numpy as np
import torch
from torch import Tensor

from roibench.metrics.average_precision import LIMITS, accumulate, coco_summary
from roibench.metrics.bootstrap import bootstrap
from roibench.metrics.matching import Booleans, Floats, Matching, Pairing, match
from roibench.structures import Prediction, Target
from roibench.tasks import Result


def coco_ap(predictions: Sequence[Prediction], targets: Sequence[Target], probe: None = None) -> Result:
    """AP, AP50, AP75, AP and AR by area, AR1, AR10 and AR100, as pycocotools' COCOeval gives them for boxes.

    A number that the ground truth leaves undefined (COCOeval's -1) is not among the values. artefacts["AP per class"]:
    label -> AP, of the classes that have ground truth. Target.ignored is COCOeval's `ignore`: it absorbs one detection.
    Objects whose area is unknown have that of their box.
    """
    matching = match_boxes(predictions, targets)
    values = bootstrap(lambda weights: coco_summary(matching, weights), matching.images)
    scores = accumulate(matching, np.ones((1, matching.images)), "all", LIMITS)
    per_class = {int(k): float(ap) for k, ap in zip(scores.labels, scores.precision.mean((1, 2)), strict=True)}
    return Result(values, artefacts={"AP per class": per_class})


def match_boxes(predictions: Sequence[Prediction], targets: Sequence[Target]) -> Matching:
    """Match boxes by IoU; a prediction or a target that makes no sense is a ValueError that names its image."""
    if len(predictions) != len(targets):
        raise ValueError(f"{len(predictions)} predictions for {len(targets)} targets")
    return match([_pair(i, *pair) for i, pair in enumerate(zip(predictions, targets, strict=True))])


def box_similarity(boxes: Floats, true_boxes: Floats, crowd: Booleans) -> Floats:
    """IoU [D, G] of boxes [D, 4] and [G, 4] (xyxy); against a crowd, intersection over the detection's own area.

    In float64, as pycocotools computes it: a similarity exactly on a threshold must fall on the same side.
    """
    top_left = np.maximum(boxes[:, None, :2], true_boxes[:, :2])
    bottom_right = np.minimum(boxes[:, None, 2:], true_boxes[:, 2:])
    width, height = np.moveaxis(bottom_right - top_left, 2, 0)
    overlap = np.where((width > 0) & (height > 0), width * height, 0.0)
    own = box_areas(boxes)[:, None]
    union = np.where(crowd, own, own + box_areas(true_boxes) - overlap)
    return np.divide(overlap, union, out=np.zeros_like(overlap), where=overlap > 0)


def box_areas(boxes: Floats) -> Floats:
    """[N] from boxes [N, 4] (xyxy)."""
    return (boxes[:, 2] - boxes[:, 0]) * (boxes[:, 3] - boxes[:, 1])


def _pair(index: int, prediction: Prediction, target: Target) -> Pairing:
    field = partial(_field, f"prediction of image {index}")
    boxes = field("boxes", prediction.boxes).reshape(-1, 4)
    scores = field("scores", prediction.scores, len(boxes))
    labels = field("labels", prediction.labels, len(boxes)).astype(np.int64)

    field = partial(_field, f"target of image {index}")
    true_boxes = field("boxes", target.boxes).reshape(-1, 4)
    objects = len(true_boxes)
    none = torch.zeros(objects)
    crowd = field("crowd", none if target.crowd is None else target.crowd, objects).astype(bool)
    return Pairing(
        similarity=box_similarity(boxes, true_boxes, crowd),
        scores=scores,
        labels=labels,
        areas=box_areas(boxes),
        true_labels=field("labels", target.labels, objects).astype(np.int64),
        true_areas=box_areas(true_boxes) if target.areas is None else field("areas", target.areas, objects),
        crowd=crowd,
        ignored=field("ignored", none if target.ignored is None else target.ignored, objects).astype(bool),
    )


def _field(owner: str, name: str, value: Tensor | None, length: int | None = None) -> Floats:
    """A checked copy in float64, which holds every label and every float32 exactly."""
    if value is None:
        raise ValueError(f"{owner}: no {name}")
    if length is not None and len(value) != length:
        raise ValueError(f"{owner}: {len(value)} {name} for {length} boxes")
    if not torch.isfinite(value).all():
        raise ValueError(f"{owner}: NaN or infinite {name}")
    return value.detach().double().numpy()
