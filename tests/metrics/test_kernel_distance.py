"""The kernel distance by an independent kernel, pair by pair, and by what it promises."""

import numpy as np
import pytest
from sklearn.metrics.pairwise import polynomial_kernel

from roibench.metrics.bootstrap import bootstrap, resample
from roibench.metrics.kernel_distance import kernel_distance


def drawn(seed, shift=0.0, images=40, width=5):
    return np.random.default_rng(seed).normal(shift, 1, (images, width))


def value(some, others, weights=None):
    weights = np.ones((1, len(some)), int) if weights is None else weights
    return kernel_distance(some, others, "KID")(weights)["KID"]


def test_it_is_the_mean_over_pairs():
    some, others = drawn(0), drawn(1, 0.5)
    same, mixed = (
        [polynomial_kernel(one, two, degree=3, gamma=1 / 5, coef0=1) for one, two in pairs]
        for pairs in (((some, some), (others, others)), ((some, others), (others, some)))
    )
    terms = sum(same) - sum(mixed)
    pairs = [terms[i, j] for i in range(40) for j in range(40) if i != j]
    assert value(some, others)[0] == pytest.approx(np.mean(pairs))


def test_a_weight_is_as_many_images_but_for_pairs_of_one_with_itself():
    some, others = drawn(0), drawn(1, 0.5)
    few = np.zeros((1, 40), int)
    few[0, :7] = 1
    assert value(some, others, few)[0] == pytest.approx(value(some[:7], others[:7])[0])
    resampled = value(some, others, resample(40))
    assert abs(resampled.mean() - value(some, others)[0]) < resampled.std() / 4


def test_it_is_unbiased_where_both_are_of_one_distribution():
    found = [value(drawn(seed, images=20), drawn(1000 + seed, images=20))[0] for seed in range(200)]
    assert abs(np.mean(found)) < 3 * np.std(found) / np.sqrt(len(found)) and min(found) < 0 < max(found)


def test_the_farther_the_higher():
    near, far = (bootstrap(kernel_distance(drawn(0), drawn(1, by), "KID"), 40)["KID"] for by in (0.0, 2.0))
    assert near.low < 0 < near.high < far.low < far.value < far.high


def test_pictures_that_are_all_the_same_are_no_accident():
    same = np.zeros((6, 5))
    assert value(same, same)[0] == 0 and np.isfinite(value(same, drawn(0, images=6))[0])
    assert bootstrap(kernel_distance(same[:1], same[:1], "KID"), 1) == {}
