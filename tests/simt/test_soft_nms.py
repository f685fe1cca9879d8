"""soft_nms.cu against the CPU operator, bit by bit."""

import ctypes
import math

import pytest
import torch
from torch import Tensor

from roibench import ops

NUMBER = {torch.float32: ctypes.c_float, torch.float64: ctypes.c_double}
both_types = pytest.mark.parametrize("dtype", NUMBER)
each_method = pytest.mark.parametrize("method", ["linear", "gaussian"])


def soft_nms(kernels, boxes: Tensor, scores: Tensor, method: str, threshold: float) -> tuple[Tensor, Tensor]:
    number = NUMBER[boxes.dtype]

    class SoftNms(ctypes.Structure):
        _fields_ = [("gaussian", ctypes.c_bool)] + [(n, number) for n in ("iou_threshold", "sigma", "score_threshold")]

    n = len(boxes)
    kept, kept_scores, count = torch.full((n,), -1), torch.full_like(scores, math.nan), torch.tensor(-1)
    how = SoftNms(method == "gaussian", 0.3125, 0.5, threshold)
    in_registers = n <= {torch.float32: 4096, torch.float64: 2048}[boxes.dtype]
    order = boxes[:, 0].argsort() if in_registers else None
    kernels.soft_nms[boxes.dtype](how, boxes, scores.clone(), order, n, kept, kept_scores, count)
    assert (kept[count:] == -1).all() and kept_scores[count:].isnan().all()
    return kept[:count], kept_scores[:count]


def assert_same(kernels, boxes: Tensor, scores: Tensor, method: str, threshold: float) -> None:
    got = soft_nms(kernels, boxes, scores, method, threshold)
    expected = ops.soft_nms(boxes, scores, method, 0.3125, 0.5, threshold)
    assert all(torch.equal(x, y) for x, y in zip(got, expected, strict=True))


@both_types
@each_method
@pytest.mark.parametrize("n", [1, 40])
@pytest.mark.parametrize("threshold", [-1.0, 0.25])
def test_keeps_and_scores_what_the_cpu_does(kernels, dtype, method, n, threshold):
    generator = torch.Generator().manual_seed(0)
    corner, size = torch.randint(0, 30, (n, 2), generator=generator), torch.randint(0, 20, (n, 2), generator=generator)
    boxes = (torch.cat([corner, corner + size], 1) / 4).to(dtype)
    scores = (torch.randint(-n // 2, n, (n,), generator=generator) / n).to(dtype)  # some tie, some are negative
    assert_same(kernels, boxes, scores, method, threshold)


@each_method
@pytest.mark.parametrize("n", [1100, 4200], ids=["in registers", "beyond registers"])
def test_more_boxes_than_threads_are_those_of_the_cpu(operators, method, n):
    operators.seed = 2
    generator = torch.Generator().manual_seed(1)
    corner = torch.rand(n, 2, generator=generator) * 30
    boxes = torch.cat([corner, corner + 5], 1)
    scores = torch.rand(n, generator=generator) ** (n / 300)  # few above the threshold, so that rounds are few
    scores[1060:1064] = scores[30:34] = torch.tensor([0.91, 0.95, 0.95, 0.99])
    assert_same(operators, boxes, scores, method, 0.9)


@both_types
@each_method
@pytest.mark.parametrize("threshold", [-math.inf, 0.0, math.nan])
def test_nasty_boxes_and_scores_are_those_of_the_cpu(operators, dtype, method, threshold):
    operators.seed = 3
    numbers = torch.tensor([0.0, 1.0, -1.0, 3.0, 1e38, -1e38, 1e-40, math.inf, -math.inf, math.nan], dtype=dtype)
    generator = torch.Generator().manual_seed(1)
    boxes = numbers[torch.randint(10, (40, 4), generator=generator)]
    scores = numbers[torch.randint(10, (40,), generator=generator)]
    assert_same(operators, boxes, scores, method, threshold)
