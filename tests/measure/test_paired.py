"""Entries take turns; ratios are of the rounds."""

import time

import pytest
import torch

from roibench.measure import paired
from roibench.measure.paired import Case, PairedBenchmark, run_interleaved


def test_contestants_take_turns_with_the_threads_asked_for(monkeypatch):
    monkeypatch.setattr(paired, "BUDGET_S", 0.0)
    before, calls = torch.get_num_threads(), []

    def call(name):
        return lambda: calls.append((name, torch.get_num_threads()))

    seconds = run_interleaved(Case(call("ours"), call("baseline"), call("lower_bound")), threads=1)
    rounds = paired.WARMUP_ROUNDS + paired.LEAST_ROUNDS
    assert calls == [("ours", 1), ("baseline", 1), ("lower_bound", 1)] * rounds
    assert {side: len(times) for side, times in seconds.items()} == dict.fromkeys(
        ("ours", "baseline", "lower_bound"), paired.LEAST_ROUNDS
    )
    assert torch.get_num_threads() == before


def test_threads_are_given_back_though_a_contestant_raises():
    before = torch.get_num_threads()
    with pytest.raises(ZeroDivisionError):
        run_interleaved(Case(lambda: 1 / 0), threads=before + 1)
    assert torch.get_num_threads() == before


def test_a_slow_contestant_is_seen_to_be_slow(monkeypatch):
    monkeypatch.setattr(paired, "BUDGET_S", 0.0)
    seconds = run_interleaved(Case(lambda: None, lambda: time.sleep(0.01)), threads=1)
    assert min(seconds["baseline"]) >= 0.01 and "lower_bound" not in seconds


PAIRED = PairedBenchmark(
    "nms", "5 boxes", 2, "torchvision", None, {"ours": (0.001, 0.002, 0.004), "baseline": (0.01, 0.04, 0.04)}
)


def test_ratios_are_those_of_the_rounds():
    assert PAIRED.milliseconds("ours") == 2.0
    assert PAIRED.ratio == pytest.approx(10.0)  # of 10, 20 and 10
    assert PAIRED.share is None and PAIRED.milliseconds("lower_bound") is None
