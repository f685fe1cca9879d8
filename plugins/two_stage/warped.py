"""Regions that are warped to one size, each run through the whole network on its own (Girshick et al. 2014, arXiv
1311.2524, appendix A): what they share of an image is computed again for each.
"""

from collections.abc import Sequence

import torch
from torch import Tensor

from roibench import ops
from roibench.nn.backbones import Backbone

BATCH = 128  # regions at once


def warp(pixels: Tensor, boxes: Sequence[Tensor], size: int, context: int) -> Tensor:
    """Normalised [B, 3, H, W], xyxy boxes [K_i, 4] per image, in pixels -> [sum K_i, 3, size, size], channels-last.

    Aspects aren't kept. context: pixels of the warped region, on each side, that show what is around the box; beyond
    the image that is the mean colour, 0.
    """
    around = []
    for box in boxes:
        side = (box[:, 2:] - box[:, :2]) * (context / (size - 2 * context))
        around.append(torch.cat([box[:, :2] - side, box[:, 2:] + side], 1))
    # Of a small box pixels are interpolated, of a large one averaged.
    return ops.roi_align(pixels, around, size, aligned=True).contiguous(memory_format=torch.channels_last)


def last_maps(backbone: Backbone, regions: Tensor) -> Tensor:
    """[K, 3, size, size] -> the last maps [K, C, size / stride, size / stride], a batch of regions at a time."""
    return torch.cat([backbone(some)[-1] for some in regions.split(BATCH)])
