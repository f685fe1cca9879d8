"""Keypoints: COCO's average precision by object keypoint similarity, and PCK, with bootstrap intervals over images."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import linear_sum_assignment
from torch import Tensor

from roibench.metric import Result
from roibench.metrics.average_precision import accumulate, mean_precision
from roibench.metrics.bootstrap import Weights, bootstrap, bootstrap_precision, fraction, per_image
from roibench.metrics.detection import box_areas, true_areas
from roibench.metrics.fields import ImageError, Owner, by_image, checked_array, flags, present
from roibench.metrics.matching import AREAS, Booleans, Floats, Matching, Pairing, match
from roibench.structures import Prediction, Target

# How far annotators stray from each joint, as a fraction of the root of the object's area; in COCO's order of joints,
# nose to ankles.
COCO_SIGMAS: Floats = (
    np.array([26, 25, 25, 35, 35, 79, 79, 72, 72, 62, 62, 107, 107, 87, 87, 89, 89], np.float64) / 1000
)
OTHER_SIGMA = 0.067  # of every joint of a skeleton that isn't COCO's: the mean of COCO's
PCK_FRACTION = 0.2
_MAX_DETECTIONS = 20  # per image, as in COCO's keypoint task
_AREAS = {name: AREAS[name] for name in ("all", "medium", "large")}  # COCO annotates no joints on small objects


@dataclass(frozen=True)
class _Joints:
    """One image with D predicted and G true sets of J joints.

    found: [D, J, 2], x and y.
    scores: [D].
    true: [G, J, 3], x, y and visibility.
    boxes: [G, 4].
    areas: [G], square pixels.
    crowd: [G].
    ignored: [G].
    """

    found: Floats
    scores: Floats
    true: Floats
    boxes: Floats
    areas: Floats
    crowd: Booleans
    ignored: Booleans


def oks_ap(predictions: Sequence[Prediction], targets: Sequence[Target], probe: None = None) -> Result:
    """AP and AR (also at OKS 0.5 and 0.75, and of medium and large objects), and PCK; fractions.

    AP and AR as pycocotools' COCOeval gives them for keypoints, with at most 20 predictions per image. The OKS of a
    prediction and an object is the mean of exp(-d² / (2 area (2 sigma)²)) over the object's joints, visible or
    occluded: d in pixels, COCO's 17 sigmas where there are 17 joints, else 0.067 for each. An object without such a
    joint is neither required nor wrong, nor is an ignored one or a crowd. Where objects have labels, those of a label
    that never has a joint in these targets are no part of the ground truth (a ball among persons), and no prediction of
    such a label counts. Objects whose area is unknown have that of their box. All others are of one kind: labels aren't
    scored, nor are the joints' scores.

    PCK: the fraction of joints, visible or occluded, found within 0.2 times the longer side of the object's box (Yang
    and Ramanan 2013). Of an image with G objects the G best-scored predictions are taken, and paired with the objects
    one to one so that the most joints are right; the joints of an object without a partner are wrong.
    artefacts["PCK per joint"]: one number per joint, in order, NaN where no object has it.
    """
    images = list(_read(predictions, targets))
    matching = match([_pair(image) for image in images], areas=_AREAS, max_detections=_MAX_DETECTIONS)
    counts = [_correct_joints(image) for image in images]
    sizes = sorted({one.shape[1] for one in counts if one.size}) or [0]
    if len(sizes) > 1:
        raise ValueError(f"targets of {' and '.join(map(str, sizes))} joints: want as many on all images")
    joints = sizes[0]
    right, shown = np.moveaxis([one if one.size else np.zeros((2, joints)) for one in counts], 1, 0)  # [N, J] each

    def pck(weights: Weights) -> dict[str, Floats]:
        return {"PCK": fraction(weights @ right.sum(1), weights @ shown.sum(1))}

    of_images = per_image(lambda weights: mean_precision(matching, weights) | pck(weights), len(images))
    return Result(
        bootstrap_precision(lambda weights: _summary(matching, weights), len(images))
        | bootstrap(pck, len(images), of_images=of_images),
        per_image=of_images,
        artefacts={"PCK per joint": fraction(right.sum(0), shown.sum(0)).tolist()},
    )


def oks(found: Floats, true: Floats, boxes: Floats, areas: Floats) -> Floats:
    """[D, G] of joints found [D, J, 2] and true [G, J, 3], boxes [G, 4] (xyxy) and areas [G].

    An object without joints is as far away as its box doubled to each side, as in COCOeval.
    """
    joints = true.shape[1]
    sigmas = COCO_SIGMAS if joints == len(COCO_SIGMAS) else np.full(joints, OTHER_SIGMA)
    shown = true[..., 2] > 0  # [G, J]
    bare = ~shown.any(1)
    away = found[:, None] - true[..., :2]  # [D, G, J, 2]
    corners, sides = boxes[bare, None, :2], boxes[bare, None, 2:] - boxes[bare, None, :2]
    point = found[:, None]
    away[:, bare] = np.maximum(corners - sides - point, 0) + np.maximum(point - corners - 2 * sides, 0)
    spread = 2 * (2 * sigmas) ** 2 * (areas[:, None] + np.spacing(1))  # [G, J]
    counted = shown | bare[:, None]
    likeness = np.exp(-(away**2).sum(3) / spread) * counted
    return likeness.sum(2) / counted.sum(1)


def _read(predictions: Sequence[Prediction], targets: Sequence[Target]) -> Iterator[_Joints]:
    jointless = _jointless_labels(targets)
    for owner, prediction, true_owner, target in by_image(predictions, targets):
        true = _joints(true_owner, target.keypoints)
        boxes = checked_array(true_owner, "boxes", target.boxes, len(true), "keypoints").reshape(-1, 4)
        found = _joints(owner, prediction.keypoints)
        if len(true) and len(found) and true.shape[1] != found.shape[1]:
            raise ImageError(owner, f"{found.shape[1]} joints, the ground truth has {true.shape[1]}")
        kept, counted = np.ones(len(true), bool), np.ones(len(found), bool)
        if target.labels is not None:
            kept = ~np.isin(checked_array(true_owner, "labels", target.labels, len(true)), jointless)
            if prediction.labels is not None:
                labels = checked_array(owner, "labels", prediction.labels, len(found), "keypoints")
                counted = ~np.isin(labels, jointless)
        yield _Joints(
            found=found[counted, :, :2],
            scores=checked_array(owner, "scores", prediction.scores, len(found), "keypoints")[counted],
            true=true[kept],
            boxes=boxes[kept],
            areas=true_areas(true_owner, target, box_areas(boxes))[kept],
            crowd=flags(true_owner, "crowd", target.crowd, len(true))[kept],
            ignored=flags(true_owner, "ignored", target.ignored, len(true))[kept],
        )


def _jointless_labels(targets: Sequence[Target]) -> list[float]:
    """Labels of which there are objects, but none with a joint."""
    labels: set[float] = set()
    jointed: set[float] = set()
    for target in targets:
        if target.labels is not None and target.keypoints is not None and len(target.labels) == len(target.keypoints):
            labels.update(target.labels.double().tolist())
            jointed.update(target.labels[(target.keypoints[..., 2] > 0).any(1)].double().tolist())
    return sorted(labels - jointed)


def _joints(owner: Owner, value: Tensor | None) -> Floats:
    keypoints = checked_array(owner, "keypoints", present(owner, "keypoints", value))
    if keypoints.ndim != 3 or keypoints.shape[2] != 3:
        raise ImageError(owner, f"keypoints are {list(keypoints.shape)}, want [objects, joints, 3]")
    return keypoints


def _pair(image: _Joints) -> Pairing:
    found, true = image.found, image.true
    extent = np.ptp(found, axis=1) if found.size else np.zeros((len(found), 2))
    similar = (
        oks(found, true, image.boxes, image.areas) if len(found) and len(true) else np.zeros((len(found), len(true)))
    )
    return Pairing(
        similarity=similar,
        scores=image.scores,
        labels=np.zeros(len(found), np.int64),
        areas=extent.prod(1),
        true_labels=np.zeros(len(true), np.int64),
        true_areas=image.areas,
        crowd=image.crowd,
        ignored=image.ignored | ~(true[..., 2] > 0).any(1),
    )


def _summary(matching: Matching, weights: NDArray[np.number]) -> dict[str, Floats]:
    """COCO's 10 numbers of keypoints, [R] each, for weights [R, N]; NaN where there is no object."""
    values = {}
    for area in matching.areas:
        scores = accumulate(matching, weights, area, (_MAX_DETECTIONS,))
        for name, table in (("AP", scores.precision), ("AR", scores.recall[:, 0])):
            by_threshold = table[0] if len(table) else np.full((len(matching.thresholds), len(weights)), np.nan)
            values[name + ("" if area == "all" else area)] = by_threshold.mean(0)
            if area == "all":
                for suffix, threshold in (("50", 0.5), ("75", 0.75)):
                    values[name + suffix] = by_threshold[np.isclose(matching.thresholds, threshold)][0]
    return values


def _correct_joints(image: _Joints) -> Floats:
    """[2, J]: how many of each joint are right, and how many there are."""
    counts = ~(image.crowd | image.ignored)
    true, boxes = image.true[counts], image.boxes[counts]
    shown = true[..., 2] > 0
    best = np.argsort(-image.scores, kind="stable")[: len(true)]
    there = shown.sum(0).astype(np.float64)
    if not len(best):
        return np.stack([np.zeros_like(there), there])
    distance = np.linalg.norm(image.found[best][:, None] - true[..., :2], axis=3)  # [D, G, J]
    reach = PCK_FRACTION * (boxes[:, 2:] - boxes[:, :2]).max(1)
    right = (distance <= reach[:, None]) & shown
    return np.stack([right[linear_sum_assignment(right.sum(2), maximize=True)].sum(0), there])
