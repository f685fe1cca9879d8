"""Semantic segmentation: mean intersection over union and pixel accuracy, with bootstrap intervals over images."""

from collections.abc import Sequence

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from roibench.metric import Result
from roibench.metrics.bootstrap import Weights, bootstrap, fraction, per_image
from roibench.metrics.fields import ImageError, Owner, by_image, check_size, present
from roibench.metrics.matching import Floats, Integers
from roibench.structures import VOID, Prediction, Target


def mean_iou(predictions: Sequence[Prediction], targets: Sequence[Target], probe: None = None) -> Result:
    """mIoU and pixel_accuracy, fractions, of the pixels of all images together (Everingham et al. 2015).

    A class's IoU is its true positives over true positives, false positives and false negatives, each summed over the
    images before the division; mIoU is the mean over the classes that are in the ground truth or predicted anywhere.
    Background (0) is a class like any other. Pixels whose ground truth is VOID count nowhere, whatever is predicted
    there. artefacts["IoU per class"]: value in the map (0 background, class index + 1) -> IoU.
    """
    counts = np.array([_count(*image) for image in by_image(predictions, targets)]).reshape(-1, 3, VOID)
    classes = np.flatnonzero(counts.any((0, 1)))
    # Of the confusion matrix, IoU needs the diagonal and the sums of rows and columns: [N, C] each.
    right, predicted, true = np.moveaxis(counts[..., classes], 1, 0).astype(np.float64)

    def class_iou(weights: NDArray[np.number]) -> Floats:
        hits = weights @ right
        return fraction(hits, weights @ (predicted + true) - hits)  # [R, C], NaN where a resample lacks the class

    def statistic(weights: Weights) -> dict[str, Floats]:
        iou = class_iou(weights)
        return {
            "mIoU": fraction(np.nansum(iou, axis=1), (~np.isnan(iou)).sum(1)),
            "pixel_accuracy": fraction(weights @ right.sum(1), weights @ true.sum(1)),
        }

    of_images = per_image(statistic, len(counts))
    per_class = class_iou(np.ones((1, len(counts))))[0]
    return Result(
        bootstrap(statistic, len(counts), of_images=of_images),
        per_image=of_images,
        artefacts={"IoU per class": dict(zip(classes.tolist(), per_class.tolist(), strict=True))},
    )


def _count(owner: Owner, prediction: Prediction, true_owner: Owner, target: Target) -> Integers:
    """[3, VOID]: pixels of each class that are right, predicted, true."""
    predicted = _map(owner, prediction.semantic_map)
    true = _map(true_owner, target.semantic_map)
    check_size(owner, "semantic_map", predicted.shape, true.shape)
    valid = true != VOID
    predicted, true = predicted[valid], true[valid]
    if (predicted == VOID).any():
        raise ImageError(owner, f"{VOID} in semantic_map, which is no class")
    parts = (true[predicted == true], predicted, true)
    return np.stack([np.bincount(part, minlength=VOID) for part in parts])


def _map(owner: Owner, value: Tensor | None) -> NDArray[np.uint8]:
    value = present(owner, "semantic_map", value)
    if value.dtype != torch.uint8 or value.dim() != 2:
        raise ImageError(owner, f"semantic_map is {value.dtype} {list(value.shape)}, want torch.uint8 [H, W]")
    return value.numpy()
