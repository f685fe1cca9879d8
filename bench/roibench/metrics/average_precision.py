"""Average precision and recall of matched detections, COCO's way, under many weightings of the images at once.

Follows pycocotools' COCOeval.accumulate, whose results are those of weight 1. A whole-number weight is that many copies
of the image, ranked side by side. Three facts make 1,000 weightings cheap. A class sees only
the images that have it and are drawn: weightings that agree there, as most do that leave out one image, are scored
once. Precision can only peak at a hit, so that the misses between two hits are summed, not visited: one sparse product
with the weights. And the mean precision over the recall points is a sum over hits of (best precision from here on) x
(share of the points that this hit is the first to reach).
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import sparse

from roibench.metrics.matching import Booleans, Floats, Integers, Matching

RECALL_POINTS = 101  # evenly from 0 to 1: COCO's; Pascal VOC had 11 until 2009
LIMITS = (1, 10, 100)  # detections per image and class, of recall
_BLOCK = 1 << 20  # numbers held per array while accumulating: keeps them in the cache, and memory small


@dataclass(frozen=True)
class ClassScores:
    """Scores of the K classes with ground truth, under R weightings; NaN where a weighting has no object that counts.

    labels: [K].
    precision: [K, T, R], average precision.
    recall: [K, M, T, R], the highest recall with at most so many detections per image and class.
    """

    labels: Integers
    precision: Floats
    recall: Floats


def accumulate(
    matching: Matching,
    weights: NDArray[np.number],
    area: str,
    limits: tuple[int, ...],
    points: int | None = RECALL_POINTS,
) -> ClassScores:
    """Score each class within an area range, for weights [R, N] >= 0; limits are those of recall [M].

    points: at how many values of recall the interpolated precision is averaged; None: at every one that occurs, which
    is the area under the curve (VOC since 2010).
    """
    a = matching.areas.index(area)
    required, true_label = matching.required[a], matching.true_label
    labels = np.unique(true_label[required])
    drawn = weights.any(axis=0)
    precision = np.empty((len(labels), len(matching.thresholds), len(weights)))
    recall = np.empty((len(labels), len(limits), *precision.shape[1:]))
    for k, label in enumerate(labels):
        of_class = matching.true_image[required & (true_label == label)]
        of_class = of_class[drawn[of_class]]
        mine = np.arange(*np.searchsorted(matching.label, [label, label + 1]))
        mine = mine[drawn[matching.image[mine]]]
        hit, miss = matching.hit[a][:, mine], matching.miss[a][:, mine]
        rank = matching.rank[mine]
        images, places = np.unique(np.concatenate([matching.image[mine], of_class]), return_inverse=True)
        image, of_class = np.split(places, [len(rank)])  # from here on, counted among the images that have the class
        different, alike = _distinct(weights[:, images])
        by_image = np.ascontiguousarray(different.T, np.float64)  # [N, R], of these images and weightings
        positives = np.bincount(of_class, minlength=len(images)) @ by_image
        positives[positives == 0] = np.nan
        precision[k] = _average_precision(hit, miss, image, by_image, positives, points)[:, alike]
        for m, limit in enumerate(limits):
            t, d = np.nonzero(hit & (rank < limit))
            recall[k, m] = (_sums(t, image[d], len(hit), by_image) / positives)[:, alike]
    return ClassScores(labels, precision, recall)


def _distinct(rows: NDArray[np.number]) -> tuple[NDArray[np.number], Integers]:
    """The rows that differ, and which of them each row is."""
    seen: dict[bytes, int] = {}
    which = np.array([seen.setdefault(row.tobytes(), len(seen)) for row in rows])
    return rows[np.unique(which, return_index=True)[1]], which


def _sums(rows: Integers, images: Integers, count: int, by_image: Floats) -> Floats:
    """[count, R]: the weights of `images`, summed into `rows`."""
    table = sparse.csr_array((np.ones(len(rows)), (rows, images)), shape=(count, len(by_image)))
    return table @ by_image


def _average_precision(
    hit: Booleans, miss: Booleans, image: Integers, by_image: Floats, positives: Floats, points: int | None
) -> Floats:
    """[T, R] from hit and miss [T, D], best score first, and the number of objects [R]."""
    hits_before = np.cumsum(hit, axis=1) - hit
    totals = hit.sum(axis=1)
    ends = np.cumsum(totals)
    _, d = np.nonzero(hit)
    hit_image = image[d]
    # A miss belongs to the next hit at its threshold; those after the last hit lower no precision that is used.
    t, d = np.nonzero(miss & (hits_before < totals[:, None]))
    next_hit, miss_image = (ends - totals)[t] + hits_before[t, d], image[d]

    precision = np.zeros((len(hit), len(positives)))
    step = max(1, _BLOCK // max(1, len(hit_image)))
    for start in range(0, len(positives), step):
        part = slice(start, start + step)
        hits = by_image[hit_image, part]
        misses = _sums(next_hit, miss_image, len(hit_image), by_image[:, part])
        for row, begin, end in zip(precision, ends - totals, ends, strict=True):
            row[part] = _area_under_curve(
                hits[begin:end].cumsum(0), misses[begin:end].cumsum(0), positives[part], points
            )
    return precision + 0 * positives  # NaN where nothing could be found


def _area_under_curve(hits: Floats, misses: Floats, positives: Floats, points: int | None) -> Floats:
    """[R] from the hits and misses up to each of P hits [P, R]: interpolated precision, averaged over recall points."""
    precision = hits / (misses + hits + np.spacing(1))
    best_from_here = np.maximum.accumulate(precision[::-1])[::-1]
    recall = np.nan_to_num(hits / positives)
    reached = recall if points is None else _points_reached(recall, points) / points
    return np.einsum("pr,pr->r", best_from_here, np.diff(reached, axis=0, prepend=0))


def _points_reached(recall: Floats, points: int) -> Integers:
    """How many recall points are <= recall: only the nearest one needs the exact comparison."""
    nearest = (recall * (points - 1) + 0.5).astype(np.intp)
    return nearest + (np.linspace(0, 1, points)[nearest] <= recall)


def coco_summary(matching: Matching, weights: NDArray[np.number]) -> dict[str, Floats]:
    """COCO's 12 numbers, [R] each, for weights [R, N]: means over classes with ground truth, NaN if there is none."""
    precision, recall = {}, {}
    for area in matching.areas:
        suffix = "" if area == "all" else area
        scores = accumulate(matching, weights, area, LIMITS)
        precision[f"AP{suffix}"] = _mean(scores.precision)
        if area == "all":
            for name, threshold in (("AP50", 0.5), ("AP75", 0.75)):
                precision[name] = _mean(scores.precision[:, np.isclose(matching.thresholds, threshold)])
            for m, limit in enumerate(LIMITS):
                recall[f"AR{limit}"] = _mean(scores.recall[:, m])
        else:
            recall[f"AR{suffix}"] = _mean(scores.recall[:, -1])
    return precision | recall


def mean_precision(matching: Matching, weights: NDArray[np.number]) -> dict[str, Floats]:
    """The AP of coco_summary alone, which is the fifth part of the work."""
    return {"AP": _mean(accumulate(matching, weights, "all", ()).precision)}


def _mean(scores: Floats) -> Floats:
    """[K, T, R] -> [R], over what is defined."""
    defined = ~np.isnan(scores)
    total, count = np.where(defined, scores, 0).sum((0, 1)), defined.sum((0, 1))
    return np.divide(total, count, out=np.full(scores.shape[2], np.nan), where=count > 0)
