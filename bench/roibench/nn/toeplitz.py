"""Convolutions as matrices: what a layer multiplies its flattened map by, and why "transposed" is its name.

Dumoulin and Visin 2016 (arXiv 1603.07285, section 4). Zero padding is part of the matrix.
"""

from collections.abc import Sequence
from itertools import product
from math import prod

import torch
from torch import Tensor


def convolution_matrix(weight: Tensor, size: Sequence[int], stride: int = 1, padding: int = 0) -> Tensor:
    """The matrix X of a convolution of maps of a size: flattened output = X @ flattened input.

    weight: [C_out, C_in, k] for rows of a length, [C_out, C_in, k, k] for maps of (height, width), as torch's layers
    have it; so many axes size must have. Returns [C_out * outputs, C_in * inputs] in weight's dtype: each row holds the
    kernel where that output looks, so that with one channel and stride 1 all its diagonals are constant (Toeplitz; of
    two axes, blocks of it). X.T is the matrix of the transposed convolution with the same weight, stride and padding,
    and the output padding that leads back to the size.

    Raises ValueError for another number of axes, a stride below 1, a negative padding, or a map smaller than the
    kernel.
    """
    sides = weight.shape[2:]
    if not 1 <= len(sides) == len(size) <= 2:
        raise ValueError(f"weight {list(weight.shape)} and size {list(size)}: want one or two axes, of both the same")
    if stride < 1 or padding < 0:
        raise ValueError(f"stride {stride}, padding {padding}: want a stride of 1 or more, and no negative padding")
    outputs = [(length + 2 * padding - side) // stride + 1 for length, side in zip(size, sides, strict=True)]
    if min(outputs) < 1:
        raise ValueError(f"size {list(size)} with padding {padding}: want at least the kernel's {list(sides)}")
    matrix = weight.new_zeros(weight.shape[0], *outputs, weight.shape[1], *size)
    for place in product(*map(range, outputs)):
        for tap in product(*map(range, sides)):
            seen = tuple(p * stride + t - padding for p, t in zip(place, tap, strict=True))
            if all(0 <= one < length for one, length in zip(seen, size, strict=True)):
                matrix[(slice(None), *place, slice(None), *seen)] = weight[(..., *tap)]
    return matrix.reshape(weight.shape[0] * prod(outputs), weight.shape[1] * prod(size))


def contributions(side: int, stride: int, length: int, padding: int = 0) -> Tensor:
    """How many inputs of a row reach each output of a transposed convolution, [outputs]: X.T of a kernel of ones, times
    ones. Where side isn't a multiple of stride, neighbouring outputs differ, which shows as a checkerboard (Odena et
    al. 2016).
    """
    outputs = (length - 1) * stride + side - 2 * padding
    return convolution_matrix(torch.ones(1, 1, side), [outputs], stride, padding).sum(0)
