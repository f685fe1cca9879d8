"""Losses of dense prediction."""

from typing import Literal

import torch
import torch.nn.functional as F
from torch import Tensor

from roibench.ops.boxes import box_iou

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


def softmax_focal_loss(
    inputs: Tensor, targets: Tensor, alpha: Tensor | None = None, gamma: float = 2.0, reduction: Reduction = "none"
) -> Tensor:
    """Focal loss (Lin et al. 2017, arXiv 1708.02002) over classes that exclude each other, by torch's own operators:
    -alpha[t] (1 - p[t]) ** gamma log p[t], with p = softmax(inputs) and t = targets.

    Args:
        inputs: logits [N, C], or [N, C, ...] for maps.
        targets: int64 [N], or [N, ...], of 0 ... C - 1; a negative one is ignored: its loss is 0.
        alpha: [C], weights of the classes; None: 1.
        gamma: how strongly easy examples are ignored, at least 0.
        reduction: ``none``, or the ``mean`` over those that aren't ignored, or ``sum``.

    Returns:
        The shape of ``targets``, or one number. Differentiable by ``inputs``.

    Raises:
        ValueError: a wrong shape, gamma or reduction.
    """
    if inputs.dim() < 2 or inputs.shape[:1] + inputs.shape[2:] != targets.shape:
        raise ValueError(f"want inputs [N, C, ...] and targets [N, ...], got {[*inputs.shape]} and {[*targets.shape]}")
    if gamma < 0:
        raise ValueError(f"gamma must be at least 0, got {gamma}")
    counts = targets >= 0
    true = torch.where(counts, targets, 0)
    log_p = F.log_softmax(inputs, 1).gather(1, true[:, None])[:, 0]
    # 1 - p, as exactly near 0 as log p is there. Where it is 0, a power below 2 has no finite derivative.
    wrong = -torch.expm1(log_p)
    factor = torch.where(wrong > 0, wrong.clamp(min=torch.finfo(wrong.dtype).tiny) ** gamma, float(gamma == 0))
    loss = torch.where(counts, -factor * log_p * (1 if alpha is None else alpha[true]), 0)
    if reduction == "mean":
        return loss.sum() / counts.sum().clamp(min=1)
    return _reduced(loss, reduction)


def generalized_box_iou_loss(boxes1: Tensor, boxes2: Tensor, reduction: Reduction = "none") -> Tensor:
    """1 - GIoU of pairs (Rezatofighi et al. 2019, arXiv 1902.09630): two sets of boxes [N, 4], xyxy -> [N], or one.

    Differentiable by both. Raises what :func:`roibench.ops.box_iou` raises, and ValueError for another reduction.
    """
    return _reduced(1 - box_iou(boxes1, boxes2, "giou", elementwise=True), reduction)


def distance_box_iou_loss(boxes1: Tensor, boxes2: Tensor, reduction: Reduction = "none") -> Tensor:
    """1 - DIoU of pairs (Zheng et al. 2020, arXiv 1911.08287), as :func:`generalized_box_iou_loss`."""
    return _reduced(1 - box_iou(boxes1, boxes2, "diou", elementwise=True), reduction)


def complete_box_iou_loss(boxes1: Tensor, boxes2: Tensor, reduction: Reduction = "none") -> Tensor:
    """1 - CIoU of pairs (Zheng et al. 2020, arXiv 1911.08287), as :func:`generalized_box_iou_loss`."""
    return _reduced(1 - box_iou(boxes1, boxes2, "ciou", elementwise=True), reduction)


def _reduced(loss: Tensor, reduction: Reduction) -> Tensor:
    """Of no losses the mean is 0, which has a derivative."""
    if reduction == "none":
        return loss
    if reduction == "sum":
        return loss.sum()
    if reduction == "mean":
        return loss.sum() / max(loss.numel(), 1)
    raise ValueError(f"reduction must be 'none', 'mean' or 'sum', got {reduction!r}")
