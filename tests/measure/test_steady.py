"""Intervals over turns hold what they promise, on drifting machines that are simulated."""

import numpy as np
import pytest

from roibench.measure.steady import LEAST_TURNS, log_mean, log_ratio, median_interval

SIMULATIONS = 10_000


def drifting(turns, correlation, seed=0):
    """Logarithms of times whose true mean is 0: [SIMULATIONS, turns], each turn like the one before it."""
    generator = np.random.default_rng(seed)
    noise = generator.standard_normal((SIMULATIONS, turns))
    mood = noise.copy()
    for turn in range(1, turns):
        mood[:, turn] = correlation * mood[:, turn - 1] + np.sqrt(1 - correlation**2) * noise[:, turn]
    return 0.1 * mood


@pytest.mark.parametrize("correlation", [0.0, 0.5])
@pytest.mark.parametrize("turns", [25, 50])
def test_an_interval_over_turns_holds_the_truth_as_often_as_it_says(turns, correlation):
    """25 turns are the default; the simulation itself leaves half a per cent open."""
    intervals = [log_mean(np.exp(one)).interval for one in drifting(turns, correlation)]
    coverage = np.mean([one.low <= 1 <= one.high for one in intervals])
    assert 0.93 <= coverage <= 0.97, coverage


def test_ratios_are_paired_so_that_the_mood_that_both_share_cancels():
    mood = np.exp(drifting(20, 0.5)[0] * 5)
    own = np.random.default_rng(1).normal(0, 0.01, (2, 20))
    found = log_ratio(mood * 1.3 * np.exp(own[0]), mood * np.exp(own[1])).interval
    assert found.low < 1.3 < found.high and found.high / found.low < 1.03
    alone = log_mean(mood).interval
    assert alone.high / alone.low > 1.2


def test_a_ratio_goes_as_far_as_both():
    assert log_ratio([2.0] * 6, [1.0] * 9).interval.value == pytest.approx(2)


def test_too_few_turns_or_no_time_at_all_tell_nothing():
    assert log_mean([1.0] * (LEAST_TURNS - 1)) is None and log_mean([1.0] * 9 + [0.0]) is None
    assert log_ratio([], []) is None and log_ratio([1.0] * 9, [0.0] * 9) is None
    found = median_interval(3.0, [3.0])
    assert (found.low, found.value, found.high) == (3, 3, 3)


def test_the_noise_floor_is_beyond_the_ratio_in_either_direction():
    faster, slower = (log_mean(np.exp(sign * 0.05 + drifting(20, 0)[0] / 10)) for sign in (-1, 1))
    for one in (faster, slower):
        assert one.noise_floor > np.exp(abs(one.mean)) - 1 > 0.03
