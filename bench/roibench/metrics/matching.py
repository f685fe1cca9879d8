"""Matching of detections with ground truth: greedy by score, once per image, for whatever similarity.

Follows pycocotools' COCOeval.evaluateImg. The similarity is box IoU, mask IoU or keypoint OKS; all area ranges and IoU
thresholds are matched side by side, and all classes of an image in one go, since no detection sees another class.
Pascal VOC differs in which object a detection is held against: `nearest_object`.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
Integers = NDArray[np.int64]
Booleans = NDArray[np.bool_]
Assignment = Callable[[Floats, Floats, Booleans, Booleans], Integers]

IOU_THRESHOLDS: Floats = np.linspace(0.5, 0.95, 10)
# Square pixels of the object; an area on a border belongs to both ranges, as in COCOeval.
AREAS: Mapping[str, tuple[float, float]] = {
    "all": (0.0, 1e10),
    "small": (0.0, 32.0**2),
    "medium": (32.0**2, 96.0**2),
    "large": (96.0**2, 1e10),
}
MAX_DETECTIONS = 100  # of one class on one image


@dataclass(frozen=True)
class Pairing:
    """One image with D detections and G true objects.

    similarity: [D, G], in the unit interval; against a crowd it is over the detection's own area.
    scores: [D].
    labels: [D].
    areas: [D], square pixels.
    true_labels: [G].
    true_areas: [G], square pixels.
    crowd: [G], matches any number of detections, none of which counts.
    ignored: [G], neither required nor wrong.
    """

    similarity: Floats
    scores: Floats
    labels: Integers
    areas: Floats
    true_labels: Integers
    true_areas: Floats
    crowd: Booleans
    ignored: Booleans


@dataclass(frozen=True)
class Matching:
    """What became of each detection and which objects count, under A area ranges and T thresholds.

    The D detections stand by label, then by score, best first; equal scores in the order of the images.

    images: how many.
    areas: the ranges' names.
    thresholds: [T].
    image: [D], by index.
    label: [D].
    score: [D].
    rank: [D], place among the detections of that class on that image, from 0.
    hit: [A, T, D], found an object that counts.
    miss: [A, T, D], found nothing and counts against the model; one that is neither is left out.
    true_image: [G], by index.
    true_label: [G].
    required: [A, G], the objects that count.
    """

    images: int
    areas: tuple[str, ...]
    thresholds: Floats
    image: Integers
    label: Integers
    score: Floats
    rank: Integers
    hit: Booleans
    miss: Booleans
    true_image: Integers
    true_label: Integers
    required: Booleans


def match(
    pairings: Sequence[Pairing],
    thresholds: Floats = IOU_THRESHOLDS,
    areas: Mapping[str, tuple[float, float]] = AREAS,
    max_detections: int = MAX_DETECTIONS,
    assign: Assignment | None = None,
) -> Matching:
    """Match every image of a dataset; assign: best_free_object (COCO's, the default) or nearest_object (VOC's)."""
    assign = assign or best_free_object
    if not pairings:
        raise ValueError("there is no image to match")
    low, high = np.array(list(areas.values())).T[..., None]  # [A, 1] each
    image, label, rank, score, hit, miss, required = ([] for _ in range(7))
    for index, pairing in enumerate(pairings):
        # Python's and numpy's stable sorts agree with COCOeval's mergesort: of equal scores the first one given leads.
        order = np.lexsort((-pairing.scores, pairing.labels))
        labels = pairing.labels[order]
        ranks = np.arange(len(order)) - np.searchsorted(labels, labels)
        order, labels, ranks = (x[ranks < max_detections] for x in (order, labels, ranks))

        similarity = np.where(labels[:, None] == pairing.true_labels, pairing.similarity[order], -1.0)
        outside = (pairing.true_areas < low) | (pairing.true_areas > high)
        needless = outside | pairing.ignored | pairing.crowd
        matched = assign(similarity, thresholds, needless, pairing.crowd)

        found = matched >= 0
        counts = ~np.take_along_axis(needless[:, None], matched, 2) if needless.size else np.zeros_like(found)
        inside = (pairing.areas[order] >= low) & (pairing.areas[order] <= high)
        image.append(np.full(len(order), index))
        label.append(labels)
        rank.append(ranks)
        score.append(pairing.scores[order])
        hit.append(found & counts)
        miss.append(~found & inside[:, None])
        required.append(~needless)

    label, score = np.concatenate(label), np.concatenate(score)
    order = np.lexsort((-score, label))
    return Matching(
        images=len(pairings),
        areas=tuple(areas),
        thresholds=thresholds,
        image=np.concatenate(image)[order],
        label=label[order],
        score=score[order],
        rank=np.concatenate(rank)[order],
        hit=np.concatenate(hit, 2)[..., order],
        miss=np.concatenate(miss, 2)[..., order],
        true_image=np.repeat(np.arange(len(pairings)), [len(pairing.true_labels) for pairing in pairings]),
        true_label=np.concatenate([pairing.true_labels for pairing in pairings]),
        required=np.concatenate(required, 1),
    )


def best_free_object(similarity: Floats, thresholds: Floats, needless: Booleans, crowd: Booleans) -> Integers:
    """COCO's assignment: the object that each detection takes, int [A, T, D], -1 for none. similarity [D, G], best
    score first, negative where the classes differ; thresholds [T]; needless [A, G]; crowd [G].

    Of the objects that are still free and similar enough, an object that counts goes before one that doesn't, then the
    more similar, then the later one.
    """
    detections, objects = similarity.shape
    ranges, levels = len(needless), len(thresholds)
    matched = np.full((ranges, levels, detections), -1)
    if objects == 0:
        return matched
    closeness = np.argsort(np.argsort(similarity, axis=1, kind="stable"), axis=1)  # [D, G], equals by position
    preference = closeness + objects * ~needless[:, None]  # [A, D, G]
    enough = similarity[:, None] >= np.minimum(thresholds, 1 - 1e-10)[:, None]  # [D, T, G]
    free = np.ones((ranges, levels, objects), bool)
    a, t = np.ogrid[:ranges, :levels]
    for d in np.flatnonzero(enough.any((1, 2))):
        wish = np.where(free & enough[d], preference[:, None, d], -1)  # [A, T, G]
        best = wish.argmax(2)
        found = wish[a, t, best] >= 0
        matched[:, :, d] = np.where(found, best, -1)
        free[a, t, best] &= ~found | crowd[best]
    return matched


def nearest_object(similarity: Floats, thresholds: Floats, needless: Booleans, crowd: Booleans) -> Integers:
    """Pascal VOC's assignment (Everingham et al. 2010, section 4.2), arguments and result as best_free_object's.

    A detection is held against the object that it overlaps most, the first of equals, and no other: if that one is
    taken already, the detection is a duplicate, and wrong. One that needn't be found (difficult) absorbs any number.
    """
    detections, objects = similarity.shape
    matched = np.full((len(needless), len(thresholds), detections), -1)
    if objects == 0:
        return matched
    nearest = similarity.argmax(1)
    enough = similarity.max(1) >= thresholds[:, None]  # [T, D]
    for a, unneeded in enumerate(needless):
        free = np.ones((len(thresholds), objects), bool)
        for d in np.flatnonzero(enough.any(0)):
            g = nearest[d]
            found = enough[:, d] & (free[:, g] | unneeded[g])
            matched[a, found, d] = g
            free[found, g] = False
    return matched
