"""Losses of dense prediction."""

from typing import Literal

import torch
from torch import Tensor

Reduction = Literal["none", "mean", "sum"]


def sigmoid_focal_loss(
    inputs: Tensor, targets: Tensor, alpha: float = 0.25, gamma: float = 2.0, reduction: Reduction = "none"
) -> Tensor:
    r"""Focal loss (Lin et al. 2017, arXiv 1708.02002): cross entropy that falls off where the prediction is right.

    With p = sigmoid(inputs), t = targets, and alpha weighing positives against negatives::

        (alpha t + (1 - alpha) (1 - t)) * (p (1 - t) + (1 - p) t) ** gamma * -(t log p + (1 - t) log(1 - p))

    It is computed from exp(-\|inputs\|), so that no logit is too large: of an infinite one that is right the loss is 0,
    and its derivatives are finite for every gamma. Relative error below 2e-6 in float32, 1e-14 in float64, as long as
    the result is a normal number; exp(-\|inputs\|) below the smallest of those counts as 0. NaN gives NaN.

    Args:
        inputs: logits, of any shape.
        targets: labels in [0, 1], soft or hard, of the same shape and any real dtype.
        alpha: weight of the positive class, in [0, 1]; -1: both classes weigh 1.
        gamma: how strongly easy examples are ignored, at least 0; 0 is the weighted cross entropy.
        reduction: ``none``, or the ``mean`` or ``sum`` over all elements. Sums don't depend on the number of threads.

    Returns:
        The shape of ``inputs``, or one number. The dtype that inputs' and targets' promote to; half types are computed
        and summed in float32; float32 under autocast.

    Differentiable by ``inputs``, twice. ``targets`` is a constant.

    Raises:
        ValueError: a wrong shape, device, alpha, gamma or reduction.
        TypeError: inputs that are no floating-point numbers, or complex targets.
        NotImplementedError: targets that require a gradient or have a tangent.
    """
    return torch.ops.roibench.sigmoid_focal_loss(inputs, targets, alpha, gamma, reduction)
