"""Objects that stand close to another one of their class, where suppression has to decide, and those that don't."""

import dataclasses
from collections.abc import Callable, Sequence

import numpy as np

from roibench.metric import Result
from roibench.metrics.bootstrap import Weights, bootstrap, fraction, per_image
from roibench.metrics.detection import box_similarity, pair_boxes
from roibench.metrics.fields import by_image
from roibench.metrics.matching import AREAS, Booleans, Floats, Pairing, match
from roibench.structures import Prediction, Target

NEAR = 0.2  # IoU of an object with its neighbour
FOUND = 0.5  # and of a detection with its object


def neighbour_recall(predictions: Sequence[Prediction], targets: Sequence[Target], probe: None = None) -> Result:
    """near, apart: recall at IoU 0.5 of the objects that do, and that don't, overlap another object of their class by
    an IoU of 0.2 or more.

    Detections are matched with objects as for COCO's AP: best score first, one to one, at most 100 of an image.
    """
    images = by_image(predictions, targets)
    pairings = [pair_boxes(*image) for image in images]
    near = [_near(target, pairing) for target, pairing in zip(targets, pairings, strict=True)]
    recalls = {"near": _recall(pairings, near), "apart": _recall(pairings, [~one for one in near])}

    def statistic(weights: Weights) -> dict[str, Floats]:
        return {name: recall(weights) for name, recall in recalls.items()}

    of_images = per_image(statistic, len(pairings))
    return Result(bootstrap(statistic, len(pairings), of_images=of_images), per_image=of_images)


def _near(target: Target, pairing: Pairing) -> Booleans:
    """[G]: which objects have a neighbour. Regions of uncountable objects are none."""
    boxes = target.boxes.numpy().astype(np.float64)
    iou = box_similarity(boxes, boxes, np.zeros(len(boxes), bool))
    np.fill_diagonal(iou, 0.0)
    alike = (pairing.true_labels[:, None] == pairing.true_labels) & ~pairing.crowd
    return np.where(alike, iou, 0.0).max(1, initial=0.0) >= NEAR


def _recall(pairings: Sequence[Pairing], counted: Sequence[Booleans]) -> Callable[[Weights], Floats]:
    """Of the objects that are counted; the others take their detections, which count neither way."""
    asked = [
        dataclasses.replace(pairing, ignored=pairing.ignored | ~one)
        for pairing, one in zip(pairings, counted, strict=True)
    ]
    matching = match(asked, np.array([FOUND]), {"all": AREAS["all"]})
    objects = np.bincount(matching.true_image[matching.required[0]], minlength=matching.images)
    found = np.bincount(matching.image[matching.hit[0, 0]], minlength=matching.images)
    return lambda weights: fraction(weights @ found, weights @ objects)
