"""Ways up without weights: a map becomes a whole factor larger.

These are put together from torch's operators: beside filling the result they cost little, so that nothing is compiled
for them. The bed of nails, which torch lacks, is padding of blocks of one value: of its gradient only the nails are
read. Max unpooling is a scatter, because torch's own refuses to run where deterministic algorithms are asked for.
"""

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor

from roibench.ops.roi import pair


def nearest_unpool(input: Tensor, factor: int | Sequence[int]) -> Tensor:
    """Each value repeated: [N, C, H, W] -> [N, C, H * factor, W * factor].

    factor: a whole number, or (y, x). The memory format stays. Raises ValueError for a wrong shape or factor.
    """
    _check(input)
    y, x = _factors(factor)
    return F.interpolate(input, (input.shape[2] * y, input.shape[3] * x), mode="nearest")


def bed_of_nails(input: Tensor, factor: int | Sequence[int]) -> Tensor:
    """Each value in the upper left corner of a block that is 0 otherwise: [N, C, H, W] -> [N, C, H * y, W * x].

    factor: a whole number, or (y, x). A convolution after it is a transposed convolution (Dumoulin and Visin 2016,
    arXiv 1603.07285). Differentiable any number of times; the memory format stays. Raises ValueError for a wrong shape
    or factor.
    """
    _check(input)
    y, x = _factors(factor)
    if _layout(input) is torch.channels_last:
        blocks = F.pad(input.permute(0, 2, 3, 1)[:, :, None, :, None], (0, 0, 0, x - 1, 0, 0, 0, y - 1))
        return blocks.flatten(3, 4).flatten(1, 2).permute(0, 3, 1, 2)
    return F.pad(input[:, :, :, None, :, None], (0, x - 1, 0, 0, 0, y - 1)).flatten(4, 5).flatten(2, 3)


def max_unpool(input: Tensor, indices: Tensor, size: Sequence[int]) -> Tensor:
    """Each value where max pooling found the maximum, and 0 elsewhere (Zeiler and Fergus 2013, arXiv 1311.2901; Noh et
    al. 2015, arXiv 1505.04366): [N, C, H, W] -> [N, C, *size].

    indices: int64 [N, C, H, W], as torch.nn.functional.max_pool2d(..., return_indices=True) gives them: in the
    flattened map of the size that was pooled. Where windows overlapped, of values with one place one is kept. Raises
    ValueError for a wrong shape, and torch's error for an index beyond the map.
    """
    _check(input)
    if indices.shape != input.shape:
        raise ValueError(f"indices: want the input's shape {list(input.shape)}, got {list(indices.shape)}")
    (images, channels), (height, width) = input.shape[:2], size
    if _layout(input) is torch.channels_last:
        values, places = (one.permute(0, 2, 3, 1).flatten(1, 2) for one in (input, indices))
        flat = input.new_zeros(images, height * width, channels).scatter_(1, places, values)
        return flat.view(images, height, width, channels).permute(0, 3, 1, 2)
    flat = input.new_zeros(images, channels, height * width).scatter_(2, indices.flatten(2), input.flatten(2))
    return flat.view(images, channels, height, width)


def _layout(input: Tensor) -> torch.memory_format:
    last = input.is_contiguous(memory_format=torch.channels_last) and not input.is_contiguous()
    return torch.channels_last if last else torch.contiguous_format


def _check(input: Tensor) -> None:
    if input.dim() != 4:
        raise ValueError(f"input: want [N, C, H, W], got {list(input.shape)}")


def _factors(factor: int | Sequence[int]) -> tuple[int, int]:
    y, x = pair("factor", factor)
    if min(y, x) < 1:
        raise ValueError(f"factor {factor}: want 1 or more")
    return y, x
