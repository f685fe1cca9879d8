"""Detection: COCO's and Pascal VOC's average precision of boxes, with bootstrap intervals over images."""

from collections.abc import Sequence

import numpy as np
from torch import Tensor

from roibench.metric import Result
from roibench.metrics.average_precision import LIMITS, accumulate, coco_summary, mean_precision
from roibench.metrics.bootstrap import Weights, bootstrap_precision, fraction, per_image
from roibench.metrics.fields import Owner, by_image, checked_array, flags
from roibench.metrics.matching import AREAS, Booleans, Floats, Integers, Matching, Pairing, match, nearest_object
from roibench.structures import Prediction, Target


def coco_ap(predictions: Sequence[Prediction], targets: Sequence[Target], probe: None = None) -> Result:
    """AP, AP50, AP75, AP and AR by area, AR1, AR10 and AR100, as pycocotools' COCOeval gives them for boxes.

    A number that the ground truth leaves undefined (COCOeval's -1) is not among the values. artefacts["AP per class"]:
    label -> AP, of the classes that have ground truth. Target.ignored is COCOeval's `ignore`: it absorbs one detection.
    Objects whose area is unknown have that of their box.
    """
    return coco_result(match_boxes(predictions, targets))


VOC_THRESHOLD = 0.5
VOC_POINTS = {"VOC07_AP50": 11, "VOC_AP50": None}  # of recall; None: all


def voc_ap(predictions: Sequence[Prediction], targets: Sequence[Target], probe: None = None) -> Result:
    """Pascal VOC's average precision at IoU 0.5, the mean over classes (Everingham et al. 2010).

    VOC07_AP50: interpolated at 11 values of recall, as until VOC 2009. VOC_AP50: the area under the interpolated curve,
    as since VOC 2010. They differ from COCO's AP50 in the matching, too (metrics.matching.nearest_object): a second
    detection of an object is wrong, even where a neighbour is still free. Target.ignored is VOC's `difficult`.
    artefacts["AP per class"]: label -> VOC_AP50, of the classes that have ground truth.

    VOC counts both end pixels of a box in: the same as here, where a box's right and lower edge lie behind its last
    pixel. The development kit requires IoU >= 0.5, and so does this; some copies of it require more than 0.5.
    """
    pairings = [pair_boxes(*image) for image in by_image(predictions, targets)]
    most = max((len(pairing.scores) for pairing in pairings), default=0)
    matching = match(pairings, np.array([VOC_THRESHOLD]), {"all": AREAS["all"]}, most, assign=nearest_object)

    def by_class(weights: Weights, points: int | None) -> tuple[Integers, Floats]:
        scores = accumulate(matching, weights, "all", (), points)
        return scores.labels, scores.precision[:, 0]

    def statistic(weights: Weights) -> dict[str, Floats]:
        means = {}
        for name, points in VOC_POINTS.items():
            _, precision = by_class(weights, points)
            defined = ~np.isnan(precision)
            means[name] = fraction(np.where(defined, precision, 0).sum(0), defined.sum(0))
        return means

    labels, precision = by_class(np.ones((1, matching.images)), None)
    per_class = {int(label): float(ap) for label, ap in zip(labels, precision[:, 0], strict=True)}
    return Result(bootstrap_precision(statistic, matching.images), artefacts={"AP per class": per_class})


def coco_result(matching: Matching) -> Result:
    """COCO's 12 numbers of whatever was matched, with intervals, and the AP of each class."""
    of_images = per_image(lambda weights: mean_precision(matching, weights), matching.images)
    values = bootstrap_precision(lambda weights: coco_summary(matching, weights), matching.images)
    scores = accumulate(matching, np.ones((1, matching.images)), "all", LIMITS)
    per_class = {int(k): float(ap) for k, ap in zip(scores.labels, scores.precision.mean((1, 2)), strict=True)}
    return Result(values, of_images, artefacts={"AP per class": per_class})


def match_boxes(predictions: Sequence[Prediction], targets: Sequence[Target]) -> Matching:
    """Match boxes by IoU; a prediction or a target that makes no sense is a ValueError that names its image."""
    return match([pair_boxes(*image) for image in by_image(predictions, targets)])


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


def pair_boxes(
    owner: Owner, prediction: Prediction, true_owner: Owner, target: Target, one_class: bool = False
) -> Pairing:
    """An image's boxes, compared by IoU. one_class: labels don't matter, and needn't be there."""
    boxes = checked_array(owner, "boxes", prediction.boxes).reshape(-1, 4)
    true_boxes = checked_array(true_owner, "boxes", target.boxes).reshape(-1, 4)
    count, objects = len(boxes), len(true_boxes)
    crowd = flags(true_owner, "crowd", target.crowd, objects)
    return Pairing(
        similarity=box_similarity(boxes, true_boxes, crowd),
        scores=checked_array(owner, "scores", prediction.scores, count),
        labels=_labels(owner, prediction.labels, count, one_class),
        areas=box_areas(boxes),
        true_labels=_labels(true_owner, target.labels, objects, one_class),
        true_areas=true_areas(true_owner, target, box_areas(true_boxes)),
        crowd=crowd,
        ignored=flags(true_owner, "ignored", target.ignored, objects),
    )


def _labels(owner: Owner, labels: Tensor | None, count: int, one_class: bool) -> Integers:
    return np.zeros(count, np.int64) if one_class else checked_array(owner, "labels", labels, count).astype(np.int64)


def true_areas(owner: Owner, target: Target, otherwise: Floats) -> Floats:
    """[G]: the objects' own areas, or those of what stands for them where the dataset doesn't know."""
    return otherwise if target.areas is None else checked_array(owner, "areas", target.areas, len(otherwise))
