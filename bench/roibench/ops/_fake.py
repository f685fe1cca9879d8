"""What each operator returns, without computing it: shapes, dtypes and memory formats for torch.compile and meta.

Devices are checked here too: where one of the arguments is a meta tensor, nothing else looks at the others.
"""

from collections.abc import Sequence

import torch
from torch import Tensor
from torch.library import register_fake


def _check_devices(op: str, first: Tensor, **others: Tensor | None) -> None:
    for name, t in others.items():
        if t is not None and t.device != first.device:
            raise ValueError(f"{op}: {name} must be on {first.device}, as the first argument is, got {t.device}")


def _arithmetic(*tensors: Tensor) -> torch.dtype:
    return torch.float64 if any(t.dtype == torch.float64 for t in tensors) else torch.float32


@register_fake("roibench::box_iou")
def _(boxes1: Tensor, boxes2: Tensor, kind: str = "iou", elementwise: bool = False) -> Tensor:
    _check_devices("box_iou", boxes1, boxes2=boxes2)
    shape = (boxes1.size(0),) if elementwise else (boxes1.size(0), boxes2.size(0))
    return boxes1.new_empty(shape, dtype=_arithmetic(boxes1, boxes2))


@register_fake("roibench::box_iou_backward")
def _(grad: Tensor, boxes1: Tensor, boxes2: Tensor, kind: str, elementwise: bool) -> tuple[Tensor, Tensor]:
    _check_devices("box_iou_backward", boxes1, boxes2=boxes2, grad=grad)
    return boxes1.new_empty(boxes1.shape), boxes2.new_empty(boxes2.shape)


def _kept(boxes: Tensor) -> Tensor:
    return boxes.new_empty(torch.library.get_ctx().new_dynamic_size(), dtype=torch.int64)


@register_fake("roibench::nms")
def _(boxes: Tensor, scores: Tensor, iou_threshold: float) -> Tensor:
    _check_devices("nms", boxes, scores=scores)
    return _kept(boxes)


@register_fake("roibench::batched_nms")
def _(boxes: Tensor, scores: Tensor, idxs: Tensor, iou_threshold: float) -> Tensor:
    _check_devices("batched_nms", boxes, scores=scores, idxs=idxs)
    return _kept(boxes)


@register_fake("roibench::soft_nms")
def _(
    boxes: Tensor,
    scores: Tensor,
    method: str = "linear",
    iou_threshold: float = 0.3,
    sigma: float = 0.5,
    score_threshold: float = 0.001,
) -> tuple[Tensor, Tensor]:
    _check_devices("soft_nms", boxes, scores=scores)
    kept = _kept(boxes)
    return kept, scores.new_empty(kept.shape)


def _format(channels_last: bool) -> torch.memory_format:
    return torch.channels_last if channels_last else torch.contiguous_format


def _format_of(input: Tensor) -> torch.memory_format:
    return _format(input.is_contiguous(memory_format=torch.channels_last) and not input.is_contiguous())


def _pooled(input: Tensor, rois: Tensor, height: int, width: int) -> Tensor:
    shape = (rois.size(0), input.size(1), height, width)
    return torch.empty(shape, dtype=input.dtype, device=input.device, memory_format=_format_of(input))


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
    _check_devices("roi_align", input, rois=rois)
    return _pooled(input, rois, pooled_height, pooled_width)


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
    _check_devices("roi_align_backward", grad, rois=rois)
    return torch.empty(input_size, dtype=grad.dtype, device=grad.device, memory_format=_format(channels_last))


def _argmax(input: Tensor, windows: int, bins: int, wanted: bool) -> Tensor:
    return input.new_empty((windows, bins, input.size(1)) if wanted else (0,), dtype=torch.int32)


@register_fake("roibench::roi_pool")
def _(
    input: Tensor,
    rois: Tensor,
    spatial_scale: float,
    pooled_height: int,
    pooled_width: int,
    with_argmax: bool = False,
) -> tuple[Tensor, Tensor]:
    _check_devices("roi_pool", input, rois=rois)
    argmax = _argmax(input, rois.size(0), pooled_height * pooled_width, with_argmax)
    return _pooled(input, rois, pooled_height, pooled_width), argmax


def _pyramid(input: Tensor, windows: int, levels: list[int], with_argmax: bool) -> tuple[Tensor, Tensor]:
    bins = sum(level * level for level in levels)
    return input.new_empty(windows, input.size(1) * bins), _argmax(input, windows, bins, with_argmax)


@register_fake("roibench::spatial_pyramid_pool")
def _(input: Tensor, levels: list[int], with_argmax: bool = False) -> tuple[Tensor, Tensor]:
    return _pyramid(input, input.size(0), levels, with_argmax)


@register_fake("roibench::roi_spatial_pyramid_pool")
def _(
    input: Tensor, rois: Tensor, levels: list[int], spatial_scale: float, with_argmax: bool = False
) -> tuple[Tensor, Tensor]:
    _check_devices("roi_spatial_pyramid_pool", input, rois=rois)
    return _pyramid(input, rois.size(0), levels, with_argmax)


@register_fake("roibench::max_pool_backward")
def _(
    grad: Tensor,
    argmax: Tensor,
    rois: Tensor | None,
    spatial_scale: float,
    input_size: list[int],
    grids: list[int],
    channels_last: bool,
) -> Tensor:
    _check_devices("max_pool_backward", grad, argmax=argmax, rois=rois)
    return torch.empty(input_size, dtype=grad.dtype, device=grad.device, memory_format=_format(channels_last))


@register_fake("roibench::ps_roi_pool")
def _(input: Tensor, rois: Tensor, spatial_scale: float, pooled_height: int, pooled_width: int) -> Tensor:
    _check_devices("ps_roi_pool", input, rois=rois)
    return input.new_empty(rois.size(0), input.size(1) // (pooled_height * pooled_width), pooled_height, pooled_width)


@register_fake("roibench::ps_roi_pool_backward")
def _(grad: Tensor, rois: Tensor, input_size: list[int], spatial_scale: float, channels_last: bool) -> Tensor:
    _check_devices("ps_roi_pool_backward", grad, rois=rois)
    return torch.empty(input_size, dtype=grad.dtype, device=grad.device, memory_format=_format(channels_last))


@register_fake("roibench::conv_transpose2d")
def _(
    input: Tensor,
    weight: Tensor,
    bias: Tensor | None = None,
    stride: Sequence[int] = (1, 1),
    padding: Sequence[int] = (0, 0),
    output_padding: Sequence[int] = (0, 0),
    groups: int = 1,
    dilation: Sequence[int] = (1, 1),
) -> Tensor:
    _check_devices("conv_transpose2d", input, weight=weight, bias=bias)
    size = [
        (input.size(2 + i) - 1) * stride[i]
        - 2 * padding[i]
        + dilation[i] * (weight.size(2 + i) - 1)
        + output_padding[i]
        + 1
        for i in (0, 1)
    ]
    shape = (input.size(0), weight.size(1) * groups, *size)
    return torch.empty(shape, dtype=input.dtype, device=input.device, memory_format=_format_of(input))


@register_fake("roibench::sigmoid_focal_loss")
def _(inputs: Tensor, targets: Tensor, alpha: float = 0.25, gamma: float = 2.0, reduction: str = "none") -> Tensor:
    _check_devices("sigmoid_focal_loss", inputs, targets=targets)
    dtype = torch.promote_types(inputs.dtype, targets.dtype)
    if reduction != "none":
        return inputs.new_empty((), dtype=dtype)
    return torch.empty_like(inputs, dtype=dtype, memory_format=_format_of(inputs))


@register_fake("roibench::sigmoid_focal_loss_backward")
def _(grad: Tensor, inputs: Tensor, targets: Tensor, alpha: float, gamma: float, order: int) -> Tensor:
    _check_devices("sigmoid_focal_loss_backward", inputs, targets=targets, grad=grad)
    return torch.empty_like(inputs, memory_format=_format_of(inputs))
