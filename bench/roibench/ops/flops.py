"""FLOP formulas for torch.utils.flop_counter: importing this module registers them.

It is not imported with the operators, because the counter loads Triton, which takes longer than everything else here.
"""

from collections.abc import Sequence

import torch
from torch.utils.flop_counter import conv_flop_count, register_flop_formula

from roibench import ops  # noqa: F401 - loads the operators


def samples(bins: int, sampling_ratio: int) -> int:
    """Bilinear samples of an operator call. Adaptive sampling depends on the boxes; 2 x 2 per bin stands for it."""
    per_axis = sampling_ratio if sampling_ratio > 0 else 2
    return bins * per_axis * per_axis


@register_flop_formula(torch.ops.roibench.roi_align)
def roi_align_flop(
    input_shape: Sequence[int],
    rois_shape: Sequence[int],
    spatial_scale: float,
    pooled_height: int,
    pooled_width: int,
    sampling_ratio: int,
    *args: object,
    **kwargs: object,
) -> int:
    """Four multiply-adds per sample, RoI and channel."""
    return 2 * 4 * rois_shape[0] * input_shape[1] * samples(pooled_height * pooled_width, sampling_ratio)


@register_flop_formula(torch.ops.roibench.roi_align_backward)
def roi_align_backward_flop(
    grad_shape: Sequence[int],
    rois_shape: Sequence[int],
    input_size: Sequence[int],
    spatial_scale: float,
    sampling_ratio: int,
    *args: object,
    **kwargs: object,
) -> int:
    """The same products as forward."""
    return roi_align_flop(input_size, rois_shape, spatial_scale, *grad_shape[2:], sampling_ratio)


@register_flop_formula(torch.ops.roibench.conv_transpose2d)
def conv_transpose2d_flop(
    input_shape: Sequence[int],
    weight_shape: Sequence[int],
    *args: object,
    out_shape: Sequence[int],
    **kwargs: object,
) -> int:
    """torch's own count: each pixel of the input meets each weight of its group. Backward is counted by torch."""
    return conv_flop_count(input_shape, weight_shape, out_shape, transposed=True)
