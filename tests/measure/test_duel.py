"""Contestants take turns; ratios are of the rounds."""

import time

import pytest
import torch

from roibench.measure import duel
from roibench.measure.duel import Contest, Duel, fight


def test_contestants_take_turns_with_the_threads_asked_for(monkeypatch):
    monkeypatch.setattr(duel, "BUDGET_S", 0.0)
    before, calls = torch.get_num_threads(), []

    def call(name):
        return lambda: calls.append((name, torch.get_num_threads()))

    seconds = fight(Contest(call("ours"), call("peer"), call("floor")), threads=1)
    rounds = duel.WARMUP_ROUNDS + duel.LEAST_ROUNDS
    assert calls == [("ours", 1), ("peer", 1), ("floor", 1)] * rounds
    assert {side: len(times) for side, times in seconds.items()} == dict.fromkeys(
        ("ours", "peer", "floor"), duel.LEAST_ROUNDS
    )
    assert torch.get_num_threads() == before


def test_threads_are_given_back_though_a_contestant_raises():
    before = torch.get_num_threads()
    with pytest.raises(ZeroDivisionError):
        fight(Contest(lambda: 1 / 0), threads=before + 1)
    assert torch.get_num_threads() == before


def test_a_slow_contestant_is_seen_to_be_slow(monkeypatch):
    monkeypatch.setattr(duel, "BUDGET_S", 0.0)
    seconds = fight(Contest(lambda: None, lambda: time.sleep(0.01)), threads=1)
    assert min(seconds["peer"]) >= 0.01 and "floor" not in seconds


DUEL = Duel("nms", "5 boxes", 2, "torchvision", None, {"ours": (0.001, 0.002, 0.004), "peer": (0.01, 0.04, 0.04)})


def test_ratios_are_those_of_the_rounds():
    assert DUEL.milliseconds("ours") == 2.0
    assert DUEL.ratio == pytest.approx(10.0)  # of 10, 20 and 10
    assert DUEL.share is None and DUEL.milliseconds("floor") is None
