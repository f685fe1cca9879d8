"""Rank correlations are scipy's, and their intervals hold what images leave open."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from scipy.stats import spearmanr

from roibench.metrics.agreement import by_chance, correlation_intervals, rank_correlations


@given(arrays(np.float64, st.tuples(st.integers(2, 9), st.just(2)), elements=st.integers(0, 4).map(float)))
def test_each_pair_has_spearmans_correlation_ties_and_all(values):
    found = rank_correlations(values)
    assert np.array_equal(found, found.T, equal_nan=True)
    if (np.ptp(values, axis=0) == 0).any():
        assert np.isnan(found[0, 1])
    else:
        assert found[0, 1] == pytest.approx(spearmanr(*values.T).statistic)
        assert np.diagonal(found) == pytest.approx(1)


def test_resamples_are_correlated_one_by_one():
    values = np.random.default_rng(0).random((7, 6, 3))
    found = rank_correlations(values)
    assert found.shape == (7, 3, 3)
    assert all(np.allclose(one, rank_correlations(alone)) for one, alone in zip(found, values, strict=True))


def test_what_is_undefined_of_a_model_leaves_the_other_values_alone():
    values = np.array([[1.0, 5.0, np.nan], [2.0, 4.0, 1.0], [3.0, 9.0, 2.0]])
    found = rank_correlations(values)
    assert np.isnan(found[2]).all() and found[0, 1] == pytest.approx(0.5)


def spread(noise, models=8, resamples=400):
    """Two values that put the models into one order, and a third that turns it round; with their resamples."""
    generator, order = np.random.default_rng(1), np.arange(models) / models
    values = np.stack([order, order, -order], 1)
    return values, values + noise * generator.standard_normal((resamples, models, 3))


def test_images_that_say_nothing_new_leave_no_doubt_and_noise_leaves_some():
    found, low, high = correlation_intervals(*spread(0.0))
    assert np.allclose(found, [[1, 1, -1], [1, 1, -1], [-1, -1, 1]])
    assert np.allclose(low, found) and np.allclose(high, found)
    found, low, high = correlation_intervals(*spread(0.1))
    assert 0 < low[0, 1] < 0.95 and high[0, 1] == pytest.approx(1)
    assert -0.95 < high[0, 2] < 0 and low[0, 2] == pytest.approx(-1)
    _, noisy_low, noisy_high = correlation_intervals(*spread(1.0))
    assert noisy_low[0, 1] < low[0, 1], "the noisier, the wider"
    assert noisy_high[0, 1] == pytest.approx(1) and noisy_low[0, 2] == pytest.approx(-1), "it reaches up to the value"


def test_resamples_without_a_value_do_not_count_and_without_any_there_is_no_interval():
    values, resampled = spread(0.1)
    resampled[::2, 3, 0] = np.nan
    _, low, _ = correlation_intervals(values, resampled)
    assert low[0, 1] == pytest.approx(correlation_intervals(values, resampled[1::2])[1][0, 1])
    resampled[:, 3, 0] = np.nan
    found, low, high = correlation_intervals(values, resampled)
    assert found[0, 1] == pytest.approx(1) and np.isnan([low[0, 1], high[0, 1]]).all() and not np.isnan(low[1, 2])


@pytest.mark.parametrize("models", [5, 10, 13])
def test_unrelated_orders_go_beyond_chance_one_time_in_twenty(models):
    orders = np.random.default_rng(2).random((4000, models, 2))
    beyond = np.abs(rank_correlations(orders)[:, 0, 1]) > by_chance(models)
    assert 0.02 <= beyond.mean() <= 0.09  # of few models, orders are few


def test_two_models_have_no_order_to_speak_of():
    with pytest.raises(ValueError, match="2 models have no rank correlation to speak of; want 3 or more"):
        by_chance(2)
