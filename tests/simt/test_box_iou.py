"""box_iou.cu against the CPU operator."""

import math

import pytest
import torch
from torch import Tensor

from roibench import ops

KINDS = {"iou": 0, "giou": 1, "diou": 2, "ciou": 3}
every_kind = pytest.mark.parametrize("kind", KINDS)
both_types = pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
SIZES = [(1, 1), (37, 5), (5, 300), (300, 33), (70, 1028)]
NASTY = [0.0, 1.0, -1.0, 3.0, 1e38, -1e38, 1e-40, math.inf, -math.inf, math.nan]


def random_boxes(n: int, seed: int, dtype: torch.dtype) -> Tensor:
    generator = torch.Generator().manual_seed(seed)
    corner = torch.rand(n, 2, generator=generator, dtype=torch.float64) * 40 - 10
    return torch.cat([corner, corner + torch.rand(n, 2, generator=generator) * 20], dim=1).to(dtype)


def nasty_boxes(dtype: torch.dtype) -> Tensor:
    numbers = torch.tensor(NASTY, dtype=dtype)
    picks = torch.randint(len(NASTY), (60, 4), generator=torch.Generator().manual_seed(2))
    return numbers[picks]


def pairwise(kernels, kind: str, a: Tensor, b: Tensor) -> Tensor:
    out = torch.full((len(a), len(b)), math.nan, dtype=a.dtype)
    kernels.box_iou[a.dtype](KINDS[kind], a, len(a), b, len(b), out)
    return out


def assert_same(got: Tensor, expected: Tensor, kind: str) -> None:
    """To the last bit, except where an arctangent is in it: each library rounds its own."""
    tolerance = {torch.float32: 2e-6, torch.float64: 1e-14}[got.dtype] if kind == "ciou" else 0
    torch.testing.assert_close(got, expected, rtol=tolerance, atol=tolerance, equal_nan=True)


@every_kind
@both_types
@pytest.mark.parametrize(("n", "m"), SIZES)
def test_pairs_are_those_of_the_cpu(kernels, kind, dtype, n, m):
    a, b = random_boxes(n, 0, dtype), random_boxes(m, 1, dtype)
    assert_same(pairwise(kernels, kind, a, b), ops.box_iou(a, b, kind), kind)


@every_kind
@both_types
def test_nasty_boxes_are_those_of_the_cpu(kernels, kind, dtype):
    a = nasty_boxes(dtype)
    got = pairwise(kernels, kind, a, a)
    assert got.isfinite().all()
    assert_same(got, ops.box_iou(a, a, kind), kind)


@every_kind
@both_types
def test_elementwise_is_the_diagonal(kernels, kind, dtype):
    a = torch.cat([nasty_boxes(dtype), random_boxes(260, 3, dtype)])
    b = a.roll(1, 0).contiguous()
    out = torch.full((len(a),), math.nan, dtype=dtype)
    kernels.box_iou_elementwise[dtype](KINDS[kind], a, b, len(a), out)
    assert torch.equal(out, pairwise(kernels, kind, a, b).diagonal())


@every_kind
@both_types
@pytest.mark.parametrize(("n", "m"), SIZES)
def test_pairwise_gradients_are_those_of_the_cpu(kernels, kind, dtype, n, m):
    a, b = random_boxes(n, 4, dtype), random_boxes(m, 5, dtype)
    a[::7] = a[0].clone()  # corners that coincide
    grad = torch.randn(n, m, generator=torch.Generator().manual_seed(6), dtype=dtype)
    grad[::3] = 0
    grads = torch.full_like(a, math.nan), torch.full_like(b, math.nan)
    kernels.box_iou_backward[dtype](KINDS[kind], a, n, b, m, grad, *grads)
    expected = torch.ops.roibench.box_iou_backward(grad.double(), a.double(), b.double(), kind, False)
    for got, exact in zip(grads, expected, strict=True):
        tolerance = {torch.float32: 2e-4, torch.float64: 1e-12}[dtype]
        torch.testing.assert_close(got.double(), exact, rtol=tolerance, atol=tolerance)


@every_kind
@both_types
def test_pairs_with_a_box_of_nan_or_infinity_add_nothing_to_gradients(kernels, kind, dtype):
    a, b = nasty_boxes(dtype)[:40], random_boxes(40, 8, dtype)
    finite = a.isfinite().all(1) & (a[:, 2:] - a[:, :2] < math.inf).all(1)
    assert finite.any() and not finite.all()
    a[finite] = random_boxes(int(finite.sum()), 9, dtype)
    grad = torch.linspace(-1, 1, 1600, dtype=dtype).reshape(40, 40)
    grads = torch.full_like(a, math.nan), torch.full_like(b, math.nan)
    kernels.box_iou_backward[dtype](KINDS[kind], a, 40, b, 40, grad, *grads)
    assert not grads[0][~finite].any()
    expected = torch.ops.roibench.box_iou_backward(grad[finite].double(), a[finite].double(), b.double(), kind, False)
    for got, exact in zip((grads[0][finite], grads[1]), expected, strict=True):
        tolerance = {torch.float32: 2e-4, torch.float64: 1e-12}[dtype]
        torch.testing.assert_close(got.double(), exact, rtol=tolerance, atol=tolerance)


@every_kind
@both_types
def test_elementwise_gradients_are_those_of_the_cpu(kernels, kind, dtype):
    a = torch.cat([nasty_boxes(dtype), random_boxes(260, 7, dtype)])
    b = a.roll(3, 0).contiguous()
    grad = torch.linspace(-1, 1, len(a), dtype=dtype)
    grads = torch.full_like(a, math.nan), torch.full_like(b, math.nan)
    kernels.box_iou_elementwise_backward[dtype](KINDS[kind], a, b, len(a), grad, *grads)
    for got, expected in zip(grads, torch.ops.roibench.box_iou_backward(grad, a, b, kind, True), strict=True):
        assert_same(got, expected, kind)
