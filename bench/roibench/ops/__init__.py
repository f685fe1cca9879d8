"""Operators on boxes and regions of interest: compiled, differentiable, with torchvision's signatures.

    >>> import torch
    >>> from roibench import ops
    >>> boxes = torch.tensor([[0.0, 0.0, 4.0, 4.0], [1.0, 0.0, 5.0, 4.0], [9.0, 9.0, 12.0, 12.0]])
    >>> ops.nms(boxes, torch.tensor([0.8, 0.9, 0.7]), iou_threshold=0.5)
    tensor([1, 2])

Boxes are ``(x1, y1, x2, y2)`` with ``x1 <= x2`` and ``y1 <= y2``, in any unit. Every operator is also
``torch.ops.roibench.*``, works under ``torch.compile(fullgraph=True)`` and autocast, takes float32, float64, float16
and bfloat16, and computes in float32 or better. NaN and infinite boxes never raise.

Derivatives are for torch.autograd, in backward and in forward mode (torch.autograd.forward_ad, torch.func.jvp and
jacfwd). torch.func.vmap calls an operator once for each example. torch.func's grad, vjp and jacrev are refused by
torch, as they are for torchvision's operators.
"""

import torch  # noqa: F401 - the extension needs torch's libraries loaded

try:
    from roibench import _C
except ImportError as error:
    raise ImportError(
        "roibench's compiled operators are missing or were built for another torch "
        f"({error}). In a checkout: pip install -r requirements-build.txt && "
        "pip install --no-build-isolation -e . (ROIBENCH_CUDA=0 leaves CUDA out)"
    ) from error

from roibench.ops import _fake  # noqa: F401 - registers itself
from roibench.ops.accelerate import accelerate_torchvision
from roibench.ops.boxes import batched_nms, box_iou, nms, soft_nms
from roibench.ops.convolution import conv_transpose2d
from roibench.ops.losses import (
    complete_box_iou_loss,
    distance_box_iou_loss,
    generalized_box_iou_loss,
    sigmoid_focal_loss,
    softmax_focal_loss,
)
from roibench.ops.modules import (
    MultiScaleRoIAlign,
    PSRoIPool,
    RoIAlign,
    RoIPool,
    RoISpatialPyramidPool,
    SigmoidFocalLoss,
    SpatialPyramidPool,
)
from roibench.ops.pyramid import roi_spatial_pyramid_pool, spatial_pyramid_pool
from roibench.ops.roi import ps_roi_pool, roi_align, roi_pool
from roibench.ops.unpooling import bed_of_nails, max_unpool, nearest_unpool

build_info = _C.build_info
simd_level = _C.simd_level

__all__ = [
    "MultiScaleRoIAlign",
    "PSRoIPool",
    "RoIAlign",
    "RoIPool",
    "RoISpatialPyramidPool",
    "SigmoidFocalLoss",
    "SpatialPyramidPool",
    "accelerate_torchvision",
    "batched_nms",
    "bed_of_nails",
    "box_iou",
    "build_info",
    "complete_box_iou_loss",
    "conv_transpose2d",
    "distance_box_iou_loss",
    "generalized_box_iou_loss",
    "max_unpool",
    "nearest_unpool",
    "nms",
    "ps_roi_pool",
    "roi_align",
    "roi_pool",
    "roi_spatial_pyramid_pool",
    "sigmoid_focal_loss",
    "simd_level",
    "soft_nms",
    "softmax_focal_loss",
    "spatial_pyramid_pool",
]
