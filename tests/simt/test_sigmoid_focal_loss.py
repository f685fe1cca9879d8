"""sigmoid_focal_loss.cu against the CPU operator, bit by bit."""

import ctypes
import math

import pytest
import torch
from torch import Tensor

from roibench import ops

CHUNK = 1024  # numbers that a warp sums
TYPES = {
    torch.float32: "float, float",
    torch.float64: "double, double",
    torch.float16: "__half, float",
    torch.bfloat16: "__nv_bfloat16, float",
}
each_type = pytest.mark.parametrize("dtype", TYPES)
each_gamma = pytest.mark.parametrize("gamma", [0.0, 1.5, 2.0])
# Less than a vector, one that ends in the middle of one, and more than one grid of the emulator takes at once.
SIZES = [1, 8, 1000, 1024, 40_003]


def arithmetic(dtype: torch.dtype) -> torch.dtype:
    return torch.float64 if dtype == torch.float64 else torch.float32


def loss_of(dtype: torch.dtype, gamma: float, alpha: float = 0.25) -> ctypes.Structure:
    number = ctypes.c_double if dtype == torch.float64 else ctypes.c_float

    class FocalLoss(ctypes.Structure):
        _fields_ = [(name, number) for name in ("gamma", "positive", "negative")]

    return FocalLoss(gamma, alpha, 1 - alpha)


def numbers(n: int, dtype: torch.dtype, nasty: bool = False) -> tuple[Tensor, Tensor]:
    generator = torch.Generator().manual_seed(n)
    x = torch.randn(n, generator=generator, dtype=torch.float64) * 5
    if nasty:
        some = torch.tensor([0.0, -0.0, 1e-40, 90, -90, 3e38, -3e38, math.inf, -math.inf, math.nan])
        x[::3] = some[torch.arange(len(x[::3])) % len(some)].double()
    t = (torch.rand(n, generator=generator, dtype=torch.float64) * 2 - 0.5).clamp(0, 1)
    return x.to(dtype), t.to(dtype)


def assert_equal(got: Tensor, expected: Tensor) -> None:
    torch.testing.assert_close(got, expected, rtol=0, atol=0, equal_nan=True)


@each_type
@each_gamma
@pytest.mark.parametrize("n", SIZES)
def test_losses_are_those_of_the_cpu(kernels, dtype, gamma, n):
    x, t = numbers(n, dtype, nasty=True)
    out = torch.full_like(x, math.nan)
    kernels.focal_loss[TYPES[dtype]](loss_of(dtype, gamma), x, t, n, out)
    assert_equal(out, ops.sigmoid_focal_loss(x, t, gamma=gamma))


@each_type
@each_gamma
@pytest.mark.parametrize("order", [1, 2])
@pytest.mark.parametrize("one", [False, True], ids=["a gradient each", "one for all"])
def test_derivatives_are_those_of_the_cpu(kernels, dtype, gamma, order, one):
    x, t = numbers(5003, dtype, nasty=True)
    grad = torch.linspace(-2, 2, len(x)).to(dtype)
    same = torch.tensor(0.3, dtype=arithmetic(dtype))
    out = torch.full_like(x, math.nan)
    arguments = (None, same) if one else (grad, None)
    kernels.focal_loss_derivative[TYPES[dtype]](loss_of(dtype, gamma), order, *arguments, x, t, len(x), out)
    of_loss = same.expand(x.shape) if one else grad
    assert_equal(out, torch.ops.roibench.sigmoid_focal_loss_backward(of_loss, x, t, 0.25, gamma, order))


@each_type
@each_gamma
@pytest.mark.parametrize("mean", [False, True], ids=["sum", "mean"])
@pytest.mark.parametrize("n", [0, *SIZES])
def test_sums_are_those_of_the_cpu(kernels, dtype, gamma, mean, n):
    x, t = numbers(n, dtype)
    sums = torch.full((-(-n // CHUNK),), math.nan, dtype=torch.float64)
    out = torch.tensor(math.nan, dtype=dtype)
    kernels.focal_loss_sum[TYPES[dtype]](loss_of(dtype, gamma), mean, x, t, n, sums, out)
    expected = ops.sigmoid_focal_loss(x, t, gamma=gamma, reduction="mean" if mean else "sum")
    if dtype == torch.float64:  # the order of chunks shows
        torch.testing.assert_close(out, expected, rtol=1e-15, atol=0, equal_nan=True)
    else:
        assert_equal(out, expected)
