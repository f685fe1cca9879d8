"""What naming every pixel is learned by."""

import torch
import torch.nn.functional as F
from torch import Tensor

from roibench.nn.truth import VOID


def pixel_losses(scores: Tensor, wanted: Tensor) -> dict[str, Tensor]:
    """Cross entropy and soft Dice of scores [B, C, H, W] for a batch's maps, int64 [B, H, W] with VOID.

    Together, as in nnU-Net (Isensee et al. 2021): the one is the mean over pixels, most of which are background; the
    other, 1 - 2 |A B| / (|A| + |B|) (Milletari et al. 2016, arXiv 1606.04797, without the squares), the mean over the
    classes that the batch holds. Both are 0 where nothing but void is wanted.
    """
    classes = scores.shape[1]
    log_probabilities = scores.float().contiguous().log_softmax(1)  # faster in planes than with classes side by side
    asked = wanted != VOID
    surprise = F.nll_loss(log_probabilities, wanted, ignore_index=VOID, reduction="none")
    bins = torch.where(asked, wanted, classes).flatten()  # the last one is void's
    true = torch.bincount(bins, minlength=classes + 1)[:classes]
    right = surprise.new_zeros(classes + 1).scatter_add(0, bins, (-surprise).exp().flatten())[:classes]
    predicted = (log_probabilities.exp() * asked[:, None]).flatten(2).sum((0, 2))
    dice = 1 - 2 * right / (predicted + true).clamp(min=1)
    held = true > 0
    return {
        "cross_entropy": surprise.sum() / asked.sum().clamp(min=1),
        "dice": dice[held].sum() / held.sum().clamp(min=1),
    }
