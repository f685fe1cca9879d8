"""The losses that networks which classify every pixel learn by."""

import torch
import torch.nn.functional as F
from torch import Tensor

from roibench.structures import VOID


def pixel_losses(scores: Tensor, targets: Tensor) -> dict[str, Tensor]:
    """Cross entropy and soft Dice of scores [B, C, H, W] for a batch's maps, int64 [B, H, W] with VOID.

    Together, as in nnU-Net (Isensee et al. 2021): the one is the mean over pixels, most of which are background; the
    other, 1 - 2 |A B| / (|A| + |B|) (Milletari et al. 2016, arXiv 1606.04797, without the squares), the mean over the
    classes that the batch holds. Both are 0 where all pixels are void.
    """
    classes = scores.shape[1]
    log_probabilities = scores.float().contiguous().log_softmax(1)  # faster in planes than with classes side by side
    valid = targets != VOID
    cross_entropy = F.nll_loss(log_probabilities, targets, ignore_index=VOID, reduction="none")
    bins = torch.where(valid, targets, classes).flatten()  # the last one is void's
    true = torch.bincount(bins, minlength=classes + 1)[:classes]
    intersection = cross_entropy.new_zeros(classes + 1).scatter_add(0, bins, (-cross_entropy).exp().flatten())[:classes]
    predicted = (log_probabilities.exp() * valid[:, None]).flatten(2).sum((0, 2))
    dice = 1 - 2 * intersection / (predicted + true).clamp(min=1)
    present = true > 0
    return {
        "cross_entropy": cross_entropy.sum() / valid.sum().clamp(min=1),
        "dice": dice[present].sum() / present.sum().clamp(min=1),
    }
