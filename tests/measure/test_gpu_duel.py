"""A duel on a GPU gives each call tensors that the cache has forgotten."""

import pytest
import torch

from roibench.measure import gpu_duel
from roibench.measure.duel import Contest
from roibench.measure.gpu_duel import fight_on_gpu

pytestmark = pytest.mark.skipif(not torch.cuda.is_available(), reason="no GPU")


def test_calls_take_turns_on_copies_that_fill_the_cache_twice(monkeypatch):
    monkeypatch.setattr(gpu_duel, "BUDGET_S", 0.0)
    cache = torch.cuda.get_device_properties(0).L2_cache_size
    made, used = [], []

    def prepare() -> Contest:
        made.append(torch.zeros(cache // 8))  # half as large as the cache
        which = len(made) - 1
        return Contest(*(lambda: used.append(which) for _ in range(2)))

    seconds = fight_on_gpu(prepare, "cuda")
    assert len(made) == 5 and made[0].is_cuda
    assert used == [i % 5 for i in range(len(used))]
    assert {side: len(times) for side, times in seconds.items()} == {"ours": gpu_duel.ROUNDS, "peer": gpu_duel.ROUNDS}


def test_the_clock_is_the_gpus(monkeypatch):
    monkeypatch.setattr(gpu_duel, "BUDGET_S", 0.0)
    square = torch.ones(4096, 4096, device="cuda")
    seconds = fight_on_gpu(lambda: Contest(lambda: square @ square @ square, lambda: square[:1] + 1), "cuda")
    assert min(seconds["ours"]) > 2 * 2 * 4096**3 / 1e16  # no GPU computes as fast
    assert min(seconds["peer"]) > 0
