"""conv_transpose2d.cu against the sum that it is, in float64, by torch."""

import ctypes
import math

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

CONTIGUOUS, CHANNELS_LAST = torch.contiguous_format, torch.channels_last
each_format = pytest.mark.parametrize("memory_format", [CONTIGUOUS, CHANNELS_LAST], ids=["nchw", "nhwc"])
each_kernel = pytest.mark.parametrize(("size", "padding"), [(2, 0), (3, 1), (4, 1)])


class ConvTranspose2d(ctypes.Structure):
    _fields_ = [
        *((name, ctypes.c_int64) for name in ("batch", "channels", "height", "width")),
        *((name, ctypes.c_int64) for name in ("out_channels", "out_height", "out_width")),
        *((name, ctypes.c_int) for name in ("kernel", "padding")),
        ("channels_last", ctypes.c_bool),
    ]


def convolve(kernels, x: Tensor, weight: Tensor, bias: Tensor | None, padding: int, output_padding: int = 0) -> Tensor:
    """As csrc/cuda/conv_transpose2d.cpp does."""
    last = x.is_contiguous(memory_format=CHANNELS_LAST) and not x.is_contiguous()
    size = [(n - 1) * 2 - 2 * padding + weight.size(2) + output_padding for n in x.shape[2:]]
    shape = x.size(0), weight.size(1), *size
    out = torch.full(shape, math.nan).contiguous(memory_format=CHANNELS_LAST if last else CONTIGUOUS)
    in_memory = (lambda t: t.permute(0, 2, 3, 1)) if last else (lambda t: t)
    by_tap = weight.permute(2, 3, 0, 1).contiguous()
    how = ConvTranspose2d(*x.shape, *shape[1:], weight.size(2), padding, last)
    kernels.conv_transpose2d(how, in_memory(x), by_tap, bias, in_memory(out))
    return out


def random(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed))


def assert_right(got: Tensor, x: Tensor, weight: Tensor, bias: Tensor | None, padding: int, output_padding=0) -> None:
    exact = [None if t is None else t.double() for t in (x, weight, bias)]
    expected = F.conv_transpose2d(*exact, stride=2, padding=padding, output_padding=output_padding)
    torch.testing.assert_close(got.double(), expected, rtol=1e-5, atol=1e-5)


@each_format
@each_kernel
@pytest.mark.parametrize(("channels", "out_channels"), [(1, 1), (5, 7), (16, 4), (18, 68)])
def test_is_the_transposed_convolution(kernels, memory_format, size, padding, channels, out_channels):
    x = random(2, channels, 5, 9).contiguous(memory_format=memory_format)
    weight, bias = random(channels, out_channels, size, size, seed=1), random(out_channels, seed=2)
    for offset in (bias, None):
        assert_right(convolve(kernels, x, weight, offset, padding), x, weight, offset, padding)


@each_format
@each_kernel
def test_output_padding_adds_a_row_and_a_column(operators, memory_format, size, padding):
    x, weight = random(1, 3, 4, 6).contiguous(memory_format=memory_format), random(3, 2, size, size, seed=1)
    assert_right(convolve(operators, x, weight, None, padding, 1), x, weight, None, padding, 1)


@each_format
@each_kernel
def test_a_single_pixel_has_no_neighbours(operators, memory_format, size, padding):
    x, weight = random(3, 4, 1, 1).contiguous(memory_format=memory_format), random(4, 4, size, size, seed=1)
    assert_right(convolve(operators, x, weight, None, padding), x, weight, None, padding)


@each_format
def test_nan_stays_where_it_is(operators, memory_format):
    x = torch.ones(1, 16, 4, 4).contiguous(memory_format=memory_format)
    x[0, 3, 1, 2] = math.nan
    out = convolve(operators, x, torch.ones(16, 16, 2, 2), None, 0)
    assert torch.equal(out.isnan(), F.conv_transpose2d(x, torch.ones(16, 16, 2, 2), stride=2).isnan())
    assert out.isnan().sum() == 16 * 4
