"""Overlap of boxes, and the suppression of boxes that overlap."""

from typing import Literal

import torch
from torch import Tensor

IouKind = Literal["iou", "giou", "diou", "ciou"]
Decay = Literal["linear", "gaussian"]
BoxFormat = Literal["xyxy", "xywh", "cxcywh"]


def box_iou(
    boxes1: Tensor, boxes2: Tensor, kind: IouKind = "iou", elementwise: bool = False, fmt: BoxFormat = "xyxy"
) -> Tensor:
    r"""How well boxes overlap: intersection over union, or one of its relatives.

    With I the area of the intersection, U that of the union, C and d area and diagonal of the enclosing box, r the
    distance of their centres:

    - ``iou``: I / U
    - ``giou``: IoU - (C - U) / C, which also tells apart boxes that do not touch (Rezatofighi et al. 2019,
      arXiv 1902.09630)
    - ``diou``: IoU - r² / d² (Zheng et al. 2020, arXiv 1911.08287)
    - ``ciou``: DIoU - v² / (1 - IoU + v), v = 4/π² (arctan w₁/h₁ - arctan w₂/h₂)² (the same paper)

    Boxes without an area overlap nothing: their IoU is 0. With a box that has a NaN or infinite corner, or a side too
    long for its dtype, every kind is 0, a constant: gradients are those without this box. No kind is ever NaN.

    Args:
        boxes1: [N, 4], of floating-point numbers or integers.
        boxes2: [M, 4].
        kind: which overlap.
        elementwise: compare ``boxes1[i]`` with ``boxes2[i]`` only; N must be M.
        fmt: what both hold: ``(x1, y1, x2, y2)``, ``(x1, y1, width, height)`` or ``(centre x, centre y, width,
            height)``.

    Returns:
        [N, M], or [N] where elementwise. float64 where an argument is, else float32, as in torchvision. Of integers
        beyond 2^24, which float32 doesn't have, it is computed in float64 first.

    Differentiable once by both sets. The weight v / (1 - IoU + v) of CIoU is differentiated too; torchvision holds it
    constant.

    Raises:
        ValueError: a wrong shape, device, kind or fmt.
        TypeError: boxes that are complex or boolean.
    """
    if fmt not in ("xyxy", "xywh", "cxcywh"):
        raise ValueError(f"box_iou: fmt must be 'xyxy', 'xywh' or 'cxcywh', got {fmt!r}")
    first, second = (_corners(boxes, fmt) for boxes in (boxes1, boxes2))
    found = torch.ops.roibench.box_iou(first, second, kind, elementwise)
    return found if torch.float64 in (boxes1.dtype, boxes2.dtype) else found.float()


def _corners(boxes: Tensor, fmt: BoxFormat) -> Tensor:
    """Floating-point xyxy; what isn't boxes stays as it is, for the operator to refuse."""
    if boxes.dtype in (torch.uint8, torch.int8, torch.int16, torch.int32, torch.int64):
        boxes = boxes.double()
    if fmt == "xyxy" or boxes.dim() != 2:
        return boxes
    place, size = boxes[:, :2], boxes[:, 2:]
    return torch.cat([place, place + size] if fmt == "xywh" else [place - size / 2, place + size / 2], 1)


def nms(boxes: Tensor, scores: Tensor, iou_threshold: float) -> Tensor:
    """Greedy non-maximum suppression: keep the best box, drop all that overlap it by more, go on with the next best.

    Exactly the textbook's algorithm: a box is dropped where its IoU with a box kept before, computed in the boxes'
    precision (float32 for half types), is greater than the threshold. Equal scores go by index; NaN scores come last.

    Args:
        boxes: [N, 4], ``(x1, y1, x2, y2)``.
        scores: [N].
        iou_threshold: overlap above which a box is dropped.

    Returns:
        int64 indices of the boxes kept, best first.

    Raises:
        ValueError: a wrong shape or device.
        TypeError: boxes or scores that are no floating-point numbers.
    """
    return torch.ops.roibench.nms(boxes, scores, iou_threshold)


def batched_nms(boxes: Tensor, scores: Tensor, idxs: Tensor, iou_threshold: float) -> Tensor:
    """:func:`nms` within each class: boxes of different classes never suppress each other.

    Classes are kept apart as such, not by moving their boxes to different places, so that the result is exact for any
    coordinates.

    Args:
        boxes: [N, 4], ``(x1, y1, x2, y2)``.
        scores: [N].
        idxs: [N], integers: each box's class, or image, or feature level.
        iou_threshold: overlap above which a box is dropped.

    Returns:
        int64 indices of the boxes kept, best first over all classes.

    Raises:
        ValueError: a wrong shape or device.
        TypeError: a wrong dtype.
    """
    return torch.ops.roibench.batched_nms(boxes, scores, idxs, iou_threshold)


def soft_nms(
    boxes: Tensor,
    scores: Tensor,
    method: Decay = "linear",
    iou_threshold: float = 0.3,
    sigma: float = 0.5,
    score_threshold: float = 1e-3,
) -> tuple[Tensor, Tensor]:
    """Soft-NMS (Bodla et al. 2017, arXiv 1704.04503): overlapping boxes lose score instead of being dropped.

    Keep the best box, multiply the score of every other one by a factor of their IoU, go on with the best of the rest:

    - ``linear``: 1 - IoU where IoU > ``iou_threshold``, else 1
    - ``gaussian``: exp(-IoU² / ``sigma``)

    In the precision of boxes and scores, the wider of the two; half types in float32. Equal scores go by index. Boxes
    whose score is, or falls, below ``score_threshold`` are dropped, and so are NaN scores. A negative score stays as it
    is, because a factor would raise it. NaN and infinite boxes overlap nothing.

    Args:
        boxes: [N, 4], ``(x1, y1, x2, y2)``.
        scores: [N].
        method: which factor.
        iou_threshold: overlap up to which the linear factor is 1.
        sigma: width of the Gaussian factor, positive.
        score_threshold: lowest score to keep; -inf keeps all that are numbers.

    Returns:
        int64 indices of the boxes kept and their new scores in the dtype of ``scores``, best first. Not differentiable:
        backward mode takes it for a constant, forward mode refuses it.

    Raises:
        ValueError: a wrong shape, device, method or sigma.
        TypeError: boxes or scores that are no floating-point numbers.
    """
    return torch.ops.roibench.soft_nms(boxes, scores, method, iou_threshold, sigma, score_threshold)
