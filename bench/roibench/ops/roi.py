"""Features of regions: what a box covers on a feature map, as a grid of fixed size.

Gradients are the same bits each time on the CPU, and on a GPU under ``torch.use_deterministic_algorithms(True)``;
without it, regions that overlap add up there in any order, which is faster.
"""

from collections.abc import Sequence

import torch
from torch import Tensor


def as_rois(boxes: Tensor | Sequence[Tensor]) -> Tensor:
    """[K, 5] RoIs ``(batch index, x1, y1, x2, y2)``, from such a tensor or one [L, 4] tensor of boxes per image."""
    if isinstance(boxes, Tensor):
        return boxes
    for i, b in enumerate(boxes):
        if b.dim() != 2 or b.size(1) != 4:
            raise ValueError(f"boxes[{i}] must have the shape [L, 4], got {list(b.shape)}")
    if not boxes:
        raise ValueError("boxes must hold a tensor for each image of the batch, got none")
    return torch.cat([torch.cat([b.new_full((b.size(0), 1), i), b], dim=1) for i, b in enumerate(boxes)])


def pair(name: str, value: int | Sequence[int]) -> tuple[int, int]:
    """(height, width) from one or two integers."""
    if isinstance(value, Sequence):
        if len(value) != 2:
            raise ValueError(f"{name} must be an integer or (height, width), got {value}")
        return value[0], value[1]
    return value, value


def roi_align(
    input: Tensor,
    boxes: Tensor | Sequence[Tensor],
    output_size: int | Sequence[int],
    spatial_scale: float = 1.0,
    sampling_ratio: int = -1,
    aligned: bool = False,
) -> Tensor:
    """RoI align (He et al. 2017, arXiv 1703.06870): the mean of bilinear samples in each bin of a grid over each box.

    A sample up to one pixel outside the map takes the border's value, one beyond takes 0; so do NaN and infinite boxes.

    Args:
        input: [N, C, H, W]; fastest in channels-last memory.
        boxes: [K, 5], ``(batch index, x1, y1, x2, y2)``, or a list of N tensors [L, 4]; any floating dtype.
        output_size: bins per axis, as an integer or (height, width); at most 32,768.
        spatial_scale: from the boxes' coordinates to the map's: 1/16 for boxes in image pixels and a map of stride 16.
        sampling_ratio: samples per bin and axis, at most 32,768; 0 or less: ceil(box size / bins), which is about one
            per pixel, or 2^20 where that is less. Samples beside the map cost nothing.
        aligned: coordinate 0 is a pixel's edge (the map moves by half a pixel, boxes may be smaller than 1), and not
            its centre.

    Returns:
        [K, C, height, width] in the dtype and the memory format of ``input``. Differentiable by ``input``, twice.

    Raises:
        ValueError: a wrong shape, size, sampling_ratio or device.
        TypeError: input or boxes that are no floating-point numbers.
        NotImplementedError: boxes with a tangent of forward mode, by which this is not differentiated.
        IndexError: a batch index that is none of 0 ... N-1. On a GPU results are NaN instead, and
            ROIBENCH_DEBUG=1 makes it an error: to look at boxes there, the host must wait for it.
    """
    height, width = pair("output_size", output_size)
    return torch.ops.roibench.roi_align(input, as_rois(boxes), spatial_scale, height, width, sampling_ratio, aligned)


def roi_pool(
    input: Tensor, boxes: Tensor | Sequence[Tensor], output_size: int | Sequence[int], spatial_scale: float = 1.0
) -> Tensor:
    """RoI pool (Girshick 2015, arXiv 1504.08083): the maximum of each bin in a grid over each box.

    A box's corners are rounded to pixels of the map, halves away from zero, and the pixel at (x2, y2) belongs to it.
    Bins divide its width, at least 1 pixel, evenly and grow outwards to whole pixels: bin j holds the columns from
    x1 + floor(j * w / bins) to x1 + ceil((j + 1) * w / bins), the last one left out, as far as they lie on the map.
    A bin beside the map gives 0, and so does a box of NaN or infinity. A NaN in a bin is its maximum.

    Args:
        input: [N, C, H, W], H * W below 2^31.
        boxes: [K, 5], ``(batch index, x1, y1, x2, y2)``, or a list of N tensors [L, 4]; any floating dtype.
        output_size: bins per axis, as an integer or (height, width); at most 32,768.
        spatial_scale: from the boxes' coordinates to the map's: 1/16 for boxes in image pixels and a map of stride 16.

    Returns:
        [K, C, height, width] in the dtype and the memory format of ``input``. Differentiable by ``input``, twice; the
        gradient goes to the first pixel that has the maximum.

    Raises:
        ValueError: a wrong shape, size or device.
        TypeError: input or boxes that are no floating-point numbers.
        IndexError: a batch index that is none of 0 ... N-1. On a GPU results are NaN instead, and
            ROIBENCH_DEBUG=1 makes it an error: to look at boxes there, the host must wait for it.
    """
    height, width = pair("output_size", output_size)
    return torch.ops.roibench.roi_pool(input, as_rois(boxes), spatial_scale, height, width)[0]


def ps_roi_pool(
    input: Tensor, boxes: Tensor | Sequence[Tensor], output_size: int | Sequence[int], spatial_scale: float = 1.0
) -> Tensor:
    """Position-sensitive RoI pool of R-FCN (Dai et al. 2016, arXiv 1605.06409).

    The map has a group of channels for each bin, and output channel c of bin (i, j) is the mean of that bin in channel
    (c * height + i) * width + j. Corners and bins are rounded as in :func:`roi_pool`, except that the pixel at
    (x2, y2) does not belong to the box. As in torchvision, the map's last row and last column are in no bin; its
    gradients disagree with that, these do not. An empty bin gives 0, and so does a box of NaN or infinity.

    Args:
        input: [N, C * height * width, H, W].
        boxes: [K, 5], ``(batch index, x1, y1, x2, y2)``, or a list of N tensors [L, 4]; any floating dtype.
        output_size: bins per axis, as an integer or (height, width); at most 32,768.
        spatial_scale: from the boxes' coordinates to the map's: 1/16 for boxes in image pixels and a map of stride 16.

    Returns:
        [K, C, height, width] in the dtype of ``input``. Differentiable by ``input``, any number of times.

    Raises:
        ValueError: a wrong shape, size or device; channels that are no multiple of height * width.
        TypeError: input or boxes that are no floating-point numbers.
        IndexError: a batch index that is none of 0 ... N-1. On a GPU results are NaN instead, and
            ROIBENCH_DEBUG=1 makes it an error: to look at boxes there, the host must wait for it.
    """
    height, width = pair("output_size", output_size)
    return torch.ops.roibench.ps_roi_pool(input, as_rois(boxes), spatial_scale, height, width)
