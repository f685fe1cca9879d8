"""Features of fixed length from maps or regions of any size: pooled at several resolutions, one after another."""

from collections.abc import Sequence

import torch
from torch import Tensor

from roibench.ops.roi import as_rois


def spatial_pyramid_pool(input: Tensor, levels: Sequence[int] = (4, 2, 1), kind: str = "max") -> Tensor:
    """Spatial pyramid pooling (He et al. 2014, arXiv 1406.4729): each map pooled to l x l bins, for each level l.

    Bin (i, j) of a level holds the rows from floor(i * H / l) to ceil((i + 1) * H / l), the last one left out, and
    columns likewise: ``torch.nn.functional.adaptive_max_pool2d``, flattened and concatenated in the order of levels. A
    NaN in a bin is its maximum.

    Args:
        input: [N, C, H, W]; for kind "max", H * W below 2^31.
        levels: bins per axis of each level, at most 32,768; maps may be smaller.
        kind: "max" or "avg".

    Returns:
        [N, C * sum(l * l)] in the dtype of ``input``. Differentiable, twice; the gradient of a maximum goes to the
        first pixel that has it. Maps without pixels give zeros.

    Raises:
        ValueError: a wrong shape, level or kind.
        TypeError: input that is no floating-point numbers.
    """
    if kind not in ("max", "avg"):
        raise ValueError(f"spatial_pyramid_pool: kind must be 'max' or 'avg', got {kind!r}")
    if kind == "max":
        return torch.ops.roibench.spatial_pyramid_pool(input, levels)[0]
    return torch.ops.roibench.spatial_pyramid_avg_pool(input, levels)


def roi_spatial_pyramid_pool(
    input: Tensor, boxes: Tensor | Sequence[Tensor], levels: Sequence[int] = (4, 2, 1), spatial_scale: float = 1.0
) -> Tensor:
    """The pyramid of SPP-net (He et al. 2014, arXiv 1406.4729) over each box, so that one map serves all regions.

    Each level is :func:`roibench.ops.roi_pool` with l x l bins, which says how boxes and bins are rounded.

    Args:
        input: [N, C, H, W], H * W below 2^31.
        boxes: [K, 5], ``(batch index, x1, y1, x2, y2)``, or a list of N tensors [L, 4]; any floating dtype.
        levels: bins per axis of each level, at most 32,768.
        spatial_scale: from the boxes' coordinates to the map's: 1/16 for boxes in image pixels and a map of stride 16.

    Returns:
        [K, C * sum(l * l)] in the dtype of ``input``: levels in their order, each [C, l, l]. Differentiable by
        ``input``, twice.

    Raises:
        ValueError: a wrong shape, level or device.
        TypeError: input or boxes that are no floating-point numbers.
        IndexError: a batch index that is none of 0 ... N-1. On a GPU results are NaN instead, and
            ROIBENCH_DEBUG=1 makes it an error: to look at boxes there, the host must wait for it.
    """
    return torch.ops.roibench.roi_spatial_pyramid_pool(input, as_rois(boxes), levels, spatial_scale)[0]
