"""A paired benchmark on a GPU gives each call tensors that the cache has forgotten."""

import pytest
import torch

from roibench.measure import paired_gpu
from roibench.measure.paired import Case
from roibench.measure.paired_gpu import run_interleaved_on_gpu

pytestmark = pytest.mark.skipif(not torch.cuda.is_available(), reason="no GPU")


def test_calls_take_turns_on_copies_that_fill_the_cache_twice(monkeypatch):
    monkeypatch.setattr(paired_gpu, "BUDGET_S", 0.0)
    cache = torch.cuda.get_device_properties(0).L2_cache_size
    made, used = [], []

    def prepare() -> Case:
        made.append(torch.zeros(cache // 8))  # half as large as the cache
        which = len(made) - 1
        return Case(*(lambda: used.append(which) for _ in range(2)))

    seconds = run_interleaved_on_gpu(prepare, "cuda")
    assert len(made) == 5 and made[0].is_cuda
    assert used == [i % 5 for i in range(len(used))]
    assert {side: len(times) for side, times in seconds.items()} == {
        "ours": paired_gpu.ROUNDS,
        "baseline": paired_gpu.ROUNDS,
    }


def test_the_clock_is_the_gpus(monkeypatch):
    monkeypatch.setattr(paired_gpu, "BUDGET_S", 0.0)
    square = torch.ones(4096, 4096, device="cuda")
    seconds = run_interleaved_on_gpu(lambda: Case(lambda: square @ square @ square, lambda: square[:1] + 1), "cuda")
    assert min(seconds["ours"]) > 2 * 2 * 4096**3 / 1e16  # no GPU computes as fast
    assert min(seconds["baseline"]) > 0
