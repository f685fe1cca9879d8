"""Our kernels behind torchvision's operators: existing models get faster without a changed line."""

from collections.abc import Callable
from contextlib import AbstractContextManager

import torch
from torch import Tensor
from torch.library import Library

# Libraries whose kernels are in place. torch takes a library's kernels back as soon as nobody holds it.
_in_place: set[Library] = set()


def accelerate_torchvision() -> AbstractContextManager[None]:
    """Puts these kernels behind torchvision's nms, roi_align, roi_pool and ps_roi_pool, and behind their derivatives.

    As a plain call it holds until the process ends; as a context manager, until the block is left, also by an
    exception. Either may be repeated and nested, in any order: what was in place before is in place again.

        >>> with ops.accelerate_torchvision():
        ...     detections = torchvision.models.detection.fasterrcnn_resnet50_fpn()([image])

    Results differ from torchvision's by rounding, and where torchvision's are wrong. Every thread of the process is
    affected, and every device for which the operator is built. Models that were compiled before keep what they were
    compiled with, which calls the operators by name: they are affected, too.
    """
    import torchvision  # noqa: F401 - declares the operators that are overridden; slow to load

    library = Library("torchvision", "IMPL")
    for name, (ours, kernel) in KERNELS.items():
        for device in ("CPU", "CUDA"):
            if torch._C._dispatch_has_kernel_for_dispatch_key(f"roibench::{ours}", device):
                library.impl(name, kernel, device, allow_override=True)
    _in_place.add(library)
    return _InPlace(library)


class _InPlace(AbstractContextManager[None]):
    def __init__(self, library: Library) -> None:
        self._library = library

    def __exit__(self, *_: object) -> None:
        if self._library in _in_place:
            _in_place.remove(self._library)
            self._library._destroy()


# torchvision's operators return contiguous tensors whatever they are given, and compiled models rely on it.


def _roi_align(
    input: Tensor, rois: Tensor, scale: float, height: int, width: int, sampling_ratio: int, aligned: bool
) -> Tensor:
    return torch.ops.roibench.roi_align(input, rois, scale, height, width, sampling_ratio, aligned).contiguous()


def _roi_align_backward(
    grad: Tensor, rois: Tensor, scale: float, pooled_height: int, pooled_width: int, *size_ratio_aligned: int
) -> Tensor:
    *size, sampling_ratio, aligned = size_ratio_aligned
    return torch.ops.roibench.roi_align_backward(grad, rois, size, scale, sampling_ratio, bool(aligned), False)


def _roi_pool(input: Tensor, rois: Tensor, scale: float, height: int, width: int) -> tuple[Tensor, Tensor]:
    pooled, argmax = torch.ops.roibench.roi_pool(input, rois, scale, height, width, True)
    return pooled.contiguous(), argmax.transpose(1, 2).reshape(pooled.shape)


def _roi_pool_backward(
    grad: Tensor, rois: Tensor, argmax: Tensor, scale: float, height: int, width: int, *size: int
) -> Tensor:
    by_bin = argmax.flatten(2).transpose(1, 2).contiguous()
    return torch.ops.roibench.max_pool_backward(grad, by_bin, rois, scale, size, [height, width], False)


def _ps_roi_pool(input: Tensor, rois: Tensor, scale: float, height: int, width: int) -> tuple[Tensor, Tensor]:
    pooled = torch.ops.roibench.ps_roi_pool(input, rois, scale, height, width).contiguous()
    # Bin (y, x) of output channel c reads input channel (c * height + y) * width + x.
    mapping = torch.arange(input.size(1), dtype=torch.int32, device=input.device)
    return pooled, mapping.reshape(1, *pooled.shape[1:]).repeat(pooled.size(0), 1, 1, 1)


def _ps_roi_pool_backward(
    grad: Tensor, rois: Tensor, mapping: Tensor, scale: float, height: int, width: int, *size: int
) -> Tensor:
    return torch.ops.roibench.ps_roi_pool_backward(grad, rois, size, scale, False)


def _nms(boxes: Tensor, scores: Tensor, iou_threshold: float) -> Tensor:
    return torch.ops.roibench.nms(boxes, scores, iou_threshold)


# torchvision's operator -> the operator that must have a kernel for a device, and what calls it.
KERNELS: dict[str, tuple[str, Callable]] = {
    "nms": ("nms", _nms),
    "roi_align": ("roi_align", _roi_align),
    "_roi_align_backward": ("roi_align_backward", _roi_align_backward),
    "roi_pool": ("roi_pool", _roi_pool),
    "_roi_pool_backward": ("max_pool_backward", _roi_pool_backward),
    "ps_roi_pool": ("ps_roi_pool", _ps_roi_pool),
    "_ps_roi_pool_backward": ("ps_roi_pool_backward", _ps_roi_pool_backward),
}
