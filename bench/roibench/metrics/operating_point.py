"""What a detector is worth at a score threshold: F1, precision and recall by class, and what is taken for what."""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from roibench.chart import Curves, Heatmap, Listing
from roibench.metric import Estimate, Result
from roibench.metrics.average_precision import LIMITS, accumulate
from roibench.metrics.bootstrap import Statistic, Weights, bootstrap, bootstrap_precision, fraction
from roibench.metrics.confusion import confusion_matrix
from roibench.metrics.detection import pair_boxes
from roibench.metrics.detection_errors import FOREGROUND
from roibench.metrics.fields import by_image
from roibench.metrics.matching import Booleans, Floats, Integers, Matching, match
from roibench.structures import Prediction, Target

STEPS = 101  # of a curve: thresholds, or values of recall
OPTIMISTIC = "The threshold was chosen on the images that it is scored on, which flatters it."


@dataclass(frozen=True)
class Point:
    """A score threshold, and what the detections at or above it are worth. Precision is NaN where there are none."""

    threshold: float
    f1: float
    precision: float
    recall: float


def operating_point(predictions: Sequence[Prediction], targets: Sequence[Target], probe: None = None) -> Result:
    """F1: the highest harmonic mean of precision and recall, of all classes' detections and objects together, that a
    score threshold reaches at IoU 0.5 (van Rijsbergen 1979). Detections and objects count as for AP50.

    The threshold is one of 101 even steps over the scores, chosen anew in each resample: its choice is in the interval.

    artefacts: "classes": of each class that has objects or detections their number, COCO's AP with its interval, AP50,
    AR100, and the threshold with the highest F1, the higher one of equals; "precision and recall" and "F1": curves;
    "confusion": the confusion matrix at the threshold of F1. Without objects there is nothing of this but "classes".
    """
    pairings = [pair_boxes(*image) for image in by_image(predictions, targets)]
    matching = match(pairings)
    labels = np.union1d(matching.label, matching.true_label[matching.required[0]])
    steps = thresholds(matching.score)
    values = bootstrap(_best_f1(matching, steps), matching.images)
    best = {int(label): best_point(*_outcomes(matching, label)) for label in labels}
    classes = _classes(matching, labels, best)
    if not values:
        return Result({}, artefacts={"classes": classes})
    everything = best_point(*_outcomes(matching), steps)
    found = [(label, point) for label, point in best.items() if point is not None]
    drawn = dict(sorted(found, key=lambda one: one[1].f1))
    return Result(
        values,
        artefacts={
            "classes": classes,
            "precision and recall": _precision_and_recall(matching, drawn),
            "F1": _f1_curves(matching, drawn, steps),
            "confusion": _confusion(*confusion_matrix(pairings, everything.threshold), everything),
        },
    )


def thresholds(scores: Floats) -> Floats:
    """[101] even steps over the scores: from 0 to 1 where they lie there."""
    low, high = min(0.0, scores.min(initial=0)), max(1.0, scores.max(initial=1))
    return np.linspace(low, high, STEPS)


def best_point(score: Floats, hit: Booleans, objects: int, steps: Floats | None = None) -> Point | None:
    """The threshold with the highest F1, of detections [D] in any order; None without objects.

    steps: the thresholds to choose from; None: every score that there is. The higher one of equals.
    """
    if not objects:
        return None
    steps = np.unique(score) if steps is None else steps
    points = [*points_at(score, hit, objects, steps)]
    return max(points, key=lambda point: (point.f1, point.threshold), default=Point(1.0, 0.0, np.nan, 0.0))


def points_at(score: Floats, hit: Booleans, objects: int, steps: Floats) -> list[Point]:
    """What detections [D] are worth at each threshold; objects: how many there are, at least one."""
    order = np.argsort(score)
    above = len(score) - np.searchsorted(score[order], steps)
    hits = hit.sum() - np.concatenate([[0], np.cumsum(hit[order])])[len(score) - above]
    rows = zip(steps, 2 * hits / (above + objects), fraction(hits, above), hits / objects, strict=True)
    return [Point(*map(float, row)) for row in rows]


def _outcomes(matching: Matching, label: int | None = None) -> tuple[Floats, Booleans, int]:
    """Of a class or of all: scores and hits at IoU 0.5 of the detections that count, and the number of objects."""
    hit, miss = (table[0, _level(matching)] for table in (matching.hit, matching.miss))
    counts, required = hit | miss, matching.required[0]
    if label is not None:
        counts = counts & (matching.label == label)
        required = required & (matching.true_label == label)
    return matching.score[counts], hit[counts], int(required.sum())


def _level(matching: Matching) -> int:
    """Which threshold is 0.5."""
    return int(np.flatnonzero(np.isclose(matching.thresholds, FOREGROUND))[0])


def _best_f1(matching: Matching, steps: Floats) -> Statistic:
    """The highest F1 over the steps, of each weighting."""
    hit, miss = (table[0, _level(matching)] for table in (matching.hit, matching.miss))
    step = np.searchsorted(steps, matching.score, side="right") - 1  # the highest that the detection reaches
    hits, detections = (np.zeros((matching.images, STEPS)) for _ in range(2))
    for table, counts in ((hits, hit), (detections, hit | miss)):
        np.add.at(table, (matching.image[counts], step[counts]), 1)
    hits, detections = (table[:, ::-1].cumsum(1) for table in (hits, detections))
    objects = np.bincount(matching.true_image[matching.required[0]], minlength=matching.images)

    def statistic(weights: Weights) -> dict[str, Floats]:
        true = weights @ objects
        f1 = 2 * (weights @ hits) / np.maximum(weights @ detections + true[:, None], 1)
        return {"F1": np.where(true > 0, f1.max(1), np.nan)}

    return statistic


def _classes(matching: Matching, labels: Integers, best: dict[int, Point | None]) -> Listing:
    def precision(weights: Weights) -> dict[str, Floats]:
        scores = accumulate(matching, weights, "all", ())
        return {str(label): ap.mean(0) for label, ap in zip(scores.labels, scores.precision, strict=True)}

    ap = bootstrap_precision(precision, matching.images)
    scores = accumulate(matching, np.ones((1, matching.images)), "all", LIMITS)
    at = {int(label): place for place, label in enumerate(scores.labels)}
    rows = {}
    for label in map(int, labels):
        score, _, objects = _outcomes(matching, label)
        point, numbers = best[label], (None,) * 7
        if point is not None:
            ap50 = float(scores.precision[at[label], _level(matching), 0])
            recall = float(scores.recall[at[label], -1].mean())
            # Where no detection is right, one threshold is as good as another.
            chosen = (point.threshold, point.f1, point.precision) if point.f1 > 0 else (None, 0.0, None)
            numbers = (_with_interval(matching, label, ap[str(label)]), ap50, recall, *chosen, point.recall)
        rows[label] = (objects, len(score), *numbers)
    units = {"objects": "", "detections": ""} | dict.fromkeys(("AP", "AP50", "AR100"), "%") | {"best threshold": ""}
    units |= dict.fromkeys(("F1", "precision", "recall"), "%")
    about = (
        "AP, AP50 and AR100 are COCO's; F1, precision and recall those of IoU 0.5 at the score threshold with the "
        f"class's highest F1. {OPTIMISTIC} An interval of few images is rough, and of one image there is none."
    )
    return Listing(about, units, rows)


def _with_interval(matching: Matching, label: int, ap: Estimate) -> Estimate | float:
    """Resamples of a class that is on one image alone hold what that one has, or nothing: they tell of no spread."""
    images = np.unique(matching.true_image[matching.required[0] & (matching.true_label == label)])
    return replace(ap, resampled=()) if len(images) > 1 else ap.value


def _precision_and_recall(matching: Matching, best: dict[int, Point]) -> Curves:
    """Interpolated precision, as AP50 is the mean of, at 101 values of recall."""
    recalls = np.linspace(0, 1, STEPS)
    lines = {}
    for label in best:
        score, hit, objects = _outcomes(matching, label)
        found = points_at(score, hit, objects, np.unique(score)[::-1])
        precision = np.maximum.accumulate([point.precision for point in found][::-1])[::-1]
        reached = np.searchsorted([point.recall for point in found], recalls)
        # A list that ends: the line falls to the axis where no detection reaches the recall.
        lines[label] = [
            (float(recall), float(precision[place]) if place < len(found) else 0.0)
            for recall, place in zip(recalls, reached, strict=True)
        ]
    marks = {label: (point.recall, point.precision) for label, point in best.items() if not np.isnan(point.precision)}
    about = f"At IoU 0.5; precision is interpolated. Marked: each class's highest F1, by which they stand. {OPTIMISTIC}"
    return Curves(about, "recall", "precision", lines, marks)


def _f1_curves(matching: Matching, best: dict[int, Point], steps: Floats) -> Curves:
    lines = {}
    for label, point in best.items():
        found = [*points_at(*_outcomes(matching, label), steps), point]
        lines[label] = sorted((one.threshold, one.f1) for one in found)
    marks = {label: (point.threshold, point.f1) for label, point in best.items() if point.f1 > 0}
    about = f"At IoU 0.5. Marked: each class's best threshold; classes stand by its F1. {OPTIMISTIC}"
    return Curves(about, "score threshold", "F1", lines, marks, (float(steps[0]), float(steps[-1])))


def _confusion(labels: Integers, counts: Integers, at: Point) -> Heatmap:
    names = (*map(int, labels), "background")
    about = (
        f"At IoU 0.5, of detections with a score of at least {at.threshold:.2f}, where the F1 of all classes together "
        "is highest. Each detection and each object counts once; duplicates are taken from background."
    )
    return Heatmap(about, "true class", "predicted class", names, names, counts.tolist())
