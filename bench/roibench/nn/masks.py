"""Masks of objects, as a region sees them and as an image does (He et al. 2017, arXiv 1703.06870, section 3)."""

import torch
from torch import Tensor

from roibench import ops


def crop_masks(masks: Tensor, boxes: Tensor, size: int) -> Tensor:
    """What a mask branch learns: which share of each of a region's cells its object's mask covers, float32
    [K, size, size].

    masks: bool [K, H, W]. boxes: xyxy [K, 4], in their pixels.
    """
    index = torch.arange(len(boxes), device=boxes.device, dtype=boxes.dtype)[:, None]
    return ops.roi_align(masks[:, None].float(), torch.cat([index, boxes], 1), size, aligned=True)[:, 0]


def paste_masks(probabilities: Tensor, boxes: Tensor, height: int, width: int, threshold: float = 0.5) -> Tensor:
    """The image's pixels, bool [K, height, width], where a region's mask reaches the threshold at their centre.

    Bilinear, with zeros beyond the region; on a grid along the axes that is two products of matrices.

    probabilities: [K, size, size]. boxes: xyxy [K, 4], in the image's pixels; one without an area has an empty mask.
    """
    size = probabilities.shape[-1]
    rows = _weights(boxes[:, 1], boxes[:, 3], height, size)
    columns = _weights(boxes[:, 0], boxes[:, 2], width, size)
    return rows @ probabilities.float() @ columns.transpose(1, 2) >= threshold


def _weights(low: Tensor, high: Tensor, length: int, size: int) -> Tensor:
    """[K, length, size]: how much each of a region's cells counts for each pixel of the image's side."""
    pixels = torch.arange(length, device=low.device, dtype=torch.float32) + 0.5
    extent = (high - low)[:, None]
    place = (pixels - low[:, None]) / extent.clamp(min=1e-6) * size - 0.5
    cells = torch.arange(size, device=low.device, dtype=torch.float32)
    return (1 - (place[..., None] - cells).abs()).clamp(min=0) * (extent > 0)[..., None]
