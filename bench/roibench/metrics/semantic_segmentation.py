"""Semantic segmentation: intersections over unions, of all pixels and of those near an edge, and accuracies, with
bootstrap intervals over images.
"""

from collections.abc import Sequence

import numpy as np
import torch
from numpy.typing import NDArray
from scipy.ndimage import maximum_filter, minimum_filter
from torch import Tensor

from roibench.metric import Result
from roibench.metrics.bootstrap import Weights, bootstrap, fraction, per_image
from roibench.metrics.fields import ImageError, Owner, by_image, check_size, present
from roibench.metrics.matching import Floats, Integers
from roibench.structures import VOID, Prediction, Target

BOUNDARY = 0.02  # of the image's diagonal


def mean_iou(predictions: Sequence[Prediction], targets: Sequence[Target], probe: None = None) -> Result:
    """mIoU, boundary_mIoU, frequency_weighted_IoU, pixel_accuracy and mean_accuracy, fractions, of the pixels of all
    images together (Everingham et al. 2015; Long et al. 2015, arXiv 1411.4038, section 5).

    A class's IoU is its true positives over true positives, false positives and false negatives, each summed over the
    images before the division; mIoU is the mean over the classes that are in the ground truth or predicted anywhere,
    frequency_weighted_IoU the mean over true pixels of their class's. mean_accuracy is the mean over true classes of
    the share of their pixels that is right. boundary_mIoU (Cheng et al. 2021, arXiv 2103.16562) is the mIoU of what
    lies in a class no farther than 2 % of the image's diagonal, at least one pixel, from where it ends; at the image's
    border all of them do. Background (0) is a class like any other. Pixels whose ground truth is VOID count nowhere,
    whatever is predicted there. artefacts["IoU per class"]: value in the map (0 background, class index + 1) -> IoU,
    and the ends of its interval.
    """
    counts = np.array([_count(*image) for image in by_image(predictions, targets)]).reshape(-1, 2, 3, VOID)
    classes = np.flatnonzero(counts.any((0, 1, 2)))
    # Of a confusion matrix, IoU needs the diagonal and the sums of rows and columns: [N, C] each.
    (right, predicted, true), near = np.moveaxis(counts[..., classes].astype(np.float64), 0, 2)

    def statistic(weights: Weights) -> dict[str, Floats]:
        iou, totals = _class_iou(weights, right, predicted, true), weights @ true
        return {
            "mIoU": _mean(iou),
            "boundary_mIoU": _mean(_class_iou(weights, *near)),
            "frequency_weighted_IoU": fraction(np.nansum(iou * totals, axis=1), totals.sum(1)),
            "pixel_accuracy": fraction(weights @ right.sum(1), totals.sum(1)),
            "mean_accuracy": _mean(fraction(weights @ right, totals)),
        }

    def per_class(weights: Weights) -> dict[str, Floats]:
        return dict(zip(map(str, classes), _class_iou(weights, right, predicted, true).T, strict=True))

    of_images = per_image(statistic, len(counts))
    found = bootstrap(per_class, len(counts), of_images=per_image(per_class, len(counts)))
    return Result(
        bootstrap(statistic, len(counts), of_images=of_images),
        per_image=of_images,
        artefacts={"IoU per class": {int(name): (one.value, one.low, one.high) for name, one in found.items()}},
    )


def _class_iou(weights: NDArray[np.number], right: Floats, predicted: Floats, true: Floats) -> Floats:
    """[R, C] of counts [N, C], NaN where a resample lacks the class."""
    hits = weights @ right
    return fraction(hits, weights @ (predicted + true) - hits)


def _mean(values: Floats) -> Floats:
    """[R] of [R, C], over what isn't NaN."""
    return fraction(np.nansum(values, axis=1), (~np.isnan(values)).sum(1))


def _count(owner: Owner, prediction: Prediction, true_owner: Owner, target: Target) -> Integers:
    """[2, 3, VOID]: pixels of each class that are right, predicted, true; then of those near its boundaries."""
    predicted = _map(owner, prediction.semantic_map)
    true = _map(true_owner, target.semantic_map)
    check_size(owner, "semantic_map", predicted.shape, true.shape)
    valid = true != VOID
    if (predicted[valid] == VOID).any():
        raise ImageError(owner, f"{VOID} in semantic_map, which is no class")
    right, everywhere = valid & (predicted == true), np.ones_like(valid)
    edges = near_boundary(predicted), near_boundary(true)
    parts = [
        [true[right & one & other], predicted[valid & one], true[valid & other]]
        for one, other in ((everywhere, everywhere), edges)
    ]
    return np.array([[np.bincount(part, minlength=VOID) for part in three] for three in parts])


def near_boundary(labels: NDArray[np.uint8]) -> NDArray[np.bool_]:
    """Which pixels of a map [H, W] are at most 2 % of its diagonal from another label, or from what lies beyond the
    image: in a square around them, as repeated erosion by 3 x 3 has it.
    """
    reach = max(1, round(BOUNDARY * float(np.hypot(*labels.shape))))
    extremes = [
        chosen(labels.astype(np.int16), 2 * reach + 1, mode="constant", cval=-1)
        for chosen in (minimum_filter, maximum_filter)
    ]
    return extremes[0] != extremes[1]


def _map(owner: Owner, value: Tensor | None) -> NDArray[np.uint8]:
    value = present(owner, "semantic_map", value)
    if value.dtype != torch.uint8 or value.dim() != 2:
        raise ImageError(owner, f"semantic_map is {value.dtype} {list(value.shape)}, want torch.uint8 [H, W]")
    return value.numpy()
