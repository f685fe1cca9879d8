"""nms.cu against the CPU operator."""

import ctypes
import math

import pytest
import torch
from torch import Tensor

from roibench import ops

BAND = 4096  # candidates that nms.cu works through together
NUMBER = {torch.float32: ctypes.c_float, torch.float64: ctypes.c_double}
both_types = pytest.mark.parametrize("dtype", NUMBER)
with_classes = pytest.mark.parametrize("classes", [None, 3], ids=["one class", "three classes"])


def candidates(boxes: Tensor, classes: Tensor | None, threshold: float) -> ctypes.Structure:
    class Candidates(ctypes.Structure):
        _fields_ = [
            ("boxes", ctypes.c_void_p),
            ("classes", ctypes.c_void_p),
            ("n", ctypes.c_int64),
            ("threshold", NUMBER[boxes.dtype]),
        ]

    tensors = [boxes] if classes is None else [boxes, classes]
    all_of_them = Candidates(boxes.data_ptr(), None if classes is None else classes.data_ptr(), len(boxes), threshold)
    all_of_them.tensors = tensors
    return all_of_them


class NmsMemory(ctypes.Structure):
    _fields_ = [(name, ctypes.c_void_p) for name in ("state", "suppressed", "overlaps", "band", "kept")]


def suppress(kernels, boxes: Tensor, scores: Tensor, classes: Tensor | None, threshold: float) -> list[int]:
    """As csrc/cuda/nms.cpp does. The threshold is a float."""
    n = len(boxes)
    keys = torch.empty(n, dtype={4: torch.int32, 8: torch.int64}[scores.element_size()])
    kernels.score_keys["float, int" if scores.dtype == torch.float32 else "double, long"](scores, n, keys)
    order = keys.sort(stable=True).indices
    best_first = boxes[order].contiguous()
    classes = None if classes is None else classes[order].contiguous()
    memory = [
        torch.zeros(4, dtype=torch.int64),
        torch.zeros(2 * -(-n // 64), dtype=torch.int32),
        torch.full((-(-min(n, BAND) // 64) * BAND,), -1),  # garbage: what isn't written must not be read
        torch.full((BAND,), -1),
        torch.full((n,), -1),
    ]
    pointers = NmsMemory(*(part.data_ptr() for part in memory))
    pointers.tensors = memory
    kernels.nms[boxes.dtype](candidates(best_first, classes, threshold), pointers)
    count, kept = memory[0][3], memory[-1]
    assert (kept[count:] == -1).all()
    return order[kept[:count]].tolist()


class ClassSpans(ctypes.Structure):
    _fields_ = [(name, ctypes.c_void_p) for name in ("span", "count")]


def suppress_by_class(kernels, boxes: Tensor, scores: Tensor, classes: Tensor, threshold: float) -> list[int]:
    """As csrc/cuda/nms.cpp does where no class is large."""
    n = len(boxes)
    order = scores.sort(stable=True, descending=True).indices
    together, place = classes[order].sort(stable=True)
    spans, counts = torch.full((n, 2), -1), torch.zeros(2, dtype=torch.int32)
    pointers = ClassSpans(spans.data_ptr(), counts.data_ptr())
    pointers.tensors = [spans, counts]
    kernels.class_spans(together, n, pointers)
    sizes = classes.unique(return_counts=True)[1]
    count = len(sizes)
    assert counts.tolist() == [count, sizes.max()]
    kept = torch.zeros(n, dtype=torch.bool)
    best_first = boxes[order[place]].contiguous()
    kernels.nms_of_classes[boxes.dtype](candidates(best_first, None, threshold), pointers, count, place, kept)
    return order[kept].tolist()


def crowd(n: int, dtype: torch.dtype, seed: int = 0, spread: float = 20) -> tuple[Tensor, Tensor]:
    """On a grid, so that thresholds are hit exactly, with scores that tie."""
    generator = torch.Generator().manual_seed(seed)
    corner = (torch.rand(n, 2, generator=generator) * spread * 4).round() / 4
    size = torch.randint(0, 24, (n, 2), generator=generator) / 4
    scores = torch.randint(0, 3 * n, (n,), generator=generator) / n
    return torch.cat([corner, corner + size], 1).to(dtype), scores.to(dtype)


def of_classes(n: int, classes: int | None) -> Tensor | None:
    return None if classes is None else torch.arange(n) * 7919 % classes - 1


def expected(boxes: Tensor, scores: Tensor, classes: Tensor | None, threshold: float) -> list[int]:
    one = torch.zeros(len(boxes), dtype=torch.int64)
    return ops.batched_nms(boxes, scores, one if classes is None else classes, threshold).tolist()


@both_types
@with_classes
@pytest.mark.parametrize("n", [1, 63, 64, 65, 300])
@pytest.mark.parametrize("threshold", [-0.1, 0.0, 0.5, 1.0, math.nan])
def test_keeps_what_the_cpu_keeps(kernels, dtype, classes, n, threshold):
    boxes, scores = crowd(n, dtype)
    arguments = boxes, scores, of_classes(n, classes), threshold
    assert suppress(kernels, *arguments) == expected(*arguments)


@both_types
@pytest.mark.parametrize("n", [1, 63, 300])
@pytest.mark.parametrize("classes", [1, 3, 1000])
@pytest.mark.parametrize("threshold", [-0.1, 0.0, 0.5, math.nan])
def test_class_by_class_it_keeps_what_the_cpu_keeps(kernels, dtype, n, classes, threshold):
    boxes, scores = crowd(n, dtype)
    arguments = boxes, scores, of_classes(n, classes), threshold
    assert suppress_by_class(kernels, *arguments) == expected(*arguments)


@both_types
def test_nasty_boxes_and_scores_are_those_of_the_cpu(kernels, dtype):
    numbers = torch.tensor([0.0, 1.0, -1.0, 3.0, 1e38, -1e38, 1e-40, math.inf, -math.inf, math.nan], dtype=dtype)
    generator = torch.Generator().manual_seed(1)
    boxes = numbers[torch.randint(10, (200, 4), generator=generator)]
    scores = numbers[torch.randint(10, (200,), generator=generator)]
    for threshold in (0.0, 0.375):
        assert suppress(kernels, boxes, scores, None, threshold) == expected(boxes, scores, None, threshold)


def test_a_long_chain_of_suppression_is_followed_to_its_end(kernels):
    left = torch.arange(200.0)[:, None]  # each box overlaps its neighbours only
    boxes = torch.cat([left, left * 0, left + 1.5, left * 0 + 1], dim=1).contiguous()
    assert suppress(kernels, boxes, torch.arange(200.0, 0, -1), None, 0.1875) == list(range(0, 200, 2))


@with_classes
def test_bands_keep_what_the_cpu_keeps(operators, classes):
    operators.seed = 2
    n = BAND + 300
    boxes, scores = crowd(n, torch.float32, spread=40)
    arguments = boxes, scores, of_classes(n, classes), 0.3125
    kept = suppress(operators, *arguments)
    assert kept == expected(*arguments)
    last_band = scores.sort(descending=True, stable=True).indices[BAND:].tolist()
    assert set(last_band) & set(kept) and set(last_band) - set(kept)
