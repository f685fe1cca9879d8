"""Instance segmentation: COCO's average precision and recall of masks, with bootstrap intervals over images."""

from collections.abc import Sequence

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from roibench.metric import Result
from roibench.metrics.detection import coco_result, true_areas
from roibench.metrics.fields import ImageError, Owner, by_image, check_size, checked_array, flags, present
from roibench.metrics.matching import Booleans, Floats, Pairing, match
from roibench.structures import Prediction, Target

_EXACT = 1 << 24  # pixels that float32 can count


def coco_mask_ap(predictions: Sequence[Prediction], targets: Sequence[Target], probe: None = None) -> Result:
    """The values of coco_ap, with the IoU of masks for that of boxes, as pycocotools' COCOeval gives them for segm.

    Pixels are counted, not polygons. A mask without a pixel overlaps nothing. Objects whose area is unknown have that
    of their mask.
    """
    return coco_result(match([_pair(*image) for image in by_image(predictions, targets)]))


def mask_similarity(masks: Booleans, true_masks: Booleans, crowd: Booleans) -> Floats:
    """IoU [D, G] of masks [D, H, W] and [G, H, W]; against a crowd, intersection over the detection's own area."""
    if not len(masks) or not len(true_masks):
        return np.zeros((len(masks), len(true_masks)))
    exact = np.float32 if masks[0].size <= _EXACT else np.float64
    flat, true_flat = (one.reshape(len(one), -1).astype(exact) for one in (masks, true_masks))
    overlap = (flat @ true_flat.T).astype(np.float64)
    own = masks.sum((1, 2))[:, None]
    union = np.where(crowd, own, own + true_masks.sum((1, 2)) - overlap)
    return np.divide(overlap, union, out=np.zeros_like(overlap), where=overlap > 0)


def _pair(owner: Owner, prediction: Prediction, true_owner: Owner, target: Target) -> Pairing:
    masks = _masks(owner, prediction.masks)
    true_masks = _masks(true_owner, target.masks)
    count, objects = len(masks), len(true_masks)
    if count and objects:
        check_size(owner, "masks", masks.shape[1:], true_masks.shape[1:])
    crowd = flags(true_owner, "crowd", target.crowd, objects, "masks")
    true_labels = checked_array(true_owner, "labels", target.labels, objects, "masks")
    return Pairing(
        similarity=mask_similarity(masks, true_masks, crowd),
        scores=checked_array(owner, "scores", prediction.scores, count, "masks"),
        labels=checked_array(owner, "labels", prediction.labels, count, "masks").astype(np.int64),
        areas=masks.sum((1, 2), dtype=np.float64),
        true_labels=true_labels.astype(np.int64),
        true_areas=true_areas(true_owner, target, true_masks.sum((1, 2), dtype=np.float64)),
        crowd=crowd,
        ignored=flags(true_owner, "ignored", target.ignored, objects, "masks"),
    )


def _masks(owner: Owner, value: Tensor | None) -> NDArray[np.bool_]:
    value = present(owner, "masks", value)
    if value.dtype != torch.bool or value.dim() != 3:
        raise ImageError(owner, f"masks are {value.dtype} {list(value.shape)}, want torch.bool [objects, H, W]")
    return value.numpy()
