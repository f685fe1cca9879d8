"""What each operator returns, without computing it: shapes, dtypes and memory formats for torch.compile and meta."""

import torch
from torch import Tensor
from torch.library import register_fake


def _arithmetic(*tensors: Tensor) -> torch.dtype:
    return torch.float64 if any(t.dtype == torch.float64 for t in tensors) else torch.float32


@register_fake("roibench::box_iou")
def _(boxes1: Tensor, boxes2: Tensor, kind: str = "iou", elementwise: bool = False) -> Tensor:
    shape = (boxes1.size(0),) if elementwise else (boxes1.size(0), boxes2.size(0))
    return boxes1.new_empty(shape, dtype=_arithmetic(boxes1, boxes2))


@register_fake("roibench::box_iou_backward")
def _(grad: Tensor, boxes1: Tensor, boxes2: Tensor, kind: str, elementwise: bool) -> tuple[Tensor, Tensor]:
    return boxes1.new_empty(boxes1.shape), boxes2.new_empty(boxes2.shape)


def _kept(boxes: Tensor) -> Tensor:
    return boxes.new_empty(torch.library.get_ctx().new_dynamic_size(), dtype=torch.int64)


@register_fake("roibench::nms")
def _(boxes: Tensor, scores: Tensor, iou_threshold: float) -> Tensor:
    return _kept(boxes)


@register_fake("roibench::batched_nms")
def _(boxes: Tensor, scores: Tensor, idxs: Tensor, iou_threshold: float) -> Tensor:
    return _kept(boxes)


def _format(channels_last: bool) -> torch.memory_format:
    return torch.channels_last if channels_last else torch.contiguous_format


@register_fake("roibench::roi_align")
def _(
    input: Tensor,
    rois: Tensor,
    spatial_scale: float,
    pooled_height: int,
    pooled_width: int,
    sampling_ratio: int,
    aligned: bool,
) -> Tensor:
    channels_last = input.is_contiguous(memory_format=torch.channels_last) and not input.is_contiguous()
    shape = (rois.size(0), input.size(1), pooled_height, pooled_width)
    return torch.empty(shape, dtype=input.dtype, device=input.device, memory_format=_format(channels_last))


@register_fake("roibench::roi_align_backward")
def _(
    grad: Tensor,
    rois: Tensor,
    input_size: list[int],
    spatial_scale: float,
    sampling_ratio: int,
    aligned: bool,
    channels_last: bool,
) -> Tensor:
    return torch.empty(input_size, dtype=grad.dtype, device=grad.device, memory_format=_format(channels_last))
