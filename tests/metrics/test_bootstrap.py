import numpy as np
import pytest

from roibench.metrics.bootstrap import bootstrap, difference, interval, mean_statistic, per_image, resample


def test_a_resample_draws_as_many_images_as_there_are():
    weights = resample(37, resamples=200)
    assert weights.shape == (200, 37)
    assert weights.dtype == np.int32
    assert (weights.sum(axis=1) == 37).all()
    assert abs(weights.var() - 36 / 37) < 0.05  # multinomial: N p (1 - p)


def test_two_models_see_the_same_resamples():
    assert (resample(50) == resample(50)).all()
    assert (resample(50, seed=1) != resample(50)).any()


def test_resampling_no_image_is_refused():
    with pytest.raises(ValueError, match="no image"):
        resample(0)


def test_the_interval_of_a_mean_covers_the_true_value_95_times_in_100():
    generator = np.random.default_rng(3)
    covered = []
    for seed in range(200):
        sample = generator.exponential(2.0, size=80)
        estimate = bootstrap(mean_statistic({"mean": sample}), len(sample), resamples=300, seed=seed)["mean"]
        assert estimate.value == pytest.approx(sample.mean())
        covered.append(estimate.low <= 2.0 <= estimate.high)
    assert 0.90 <= np.mean(covered) <= 0.98


def test_images_without_a_value_do_not_count_in_its_mean():
    estimate = bootstrap(mean_statistic({"x": [1.0, np.nan, 3.0], "undefined": [np.nan] * 3}), 3)
    assert estimate.keys() == {"x"}
    assert (estimate["x"].value, estimate["x"].low, estimate["x"].high) == (2.0, 1.0, 3.0)


def test_resamples_that_leave_a_value_undefined_are_no_part_of_its_interval():
    few = interval(0.5, [np.nan, 0.25, 0.75, np.nan])
    assert (few.low, few.high) == pytest.approx((0.2625, 0.7375))


def test_a_paired_difference_forgets_what_is_hard_for_both():
    generator = np.random.default_rng(0)
    hard = generator.normal(0, 1, 200)
    better, worse = hard + 0.1 + generator.normal(0, 0.1, 200), hard + generator.normal(0, 0.1, 200)
    one, other = (bootstrap(mean_statistic({"x": values}), 200)["x"] for values in (better, worse))
    paired = difference(one, other)
    assert paired.value == pytest.approx((better - worse).mean())
    assert one.low < other.high, "the intervals overlap"
    assert 0 < paired.low < paired.value < paired.high < 0.2, "and yet there is no doubt"


def test_nothing_differs_from_itself():
    one = bootstrap(mean_statistic({"x": [0.0, 1.0, 1.0]}), 3)["x"]
    assert (difference(one, one).low, difference(one, one).high) == (0, 0)


def test_other_resamples_are_no_pairs():
    few = bootstrap(mean_statistic({"x": [0.0, 1.0]}), 2, resamples=10)["x"]
    many = bootstrap(mean_statistic({"x": [0.0, 1.0]}), 2, resamples=20)["x"]
    with pytest.raises(ValueError, match="equally many resamples, got 10 and 20"):
        difference(few, many)


def test_what_an_image_costs_is_what_its_absence_would_gain():
    found = per_image(mean_statistic({"x": [1.0, 0.0, np.nan, 0.5]}), 4)
    assert found["x"].tolist()[:2] == [1, 0] and found["x"].isnan().tolist() == [False, False, True, False]
    assert found["x cost"].tolist() == pytest.approx([0.25 - 0.5, 0.75 - 0.5, 0, 0])


def test_images_in_blocks_are_images():
    values = np.random.default_rng(0).random(600)
    found = per_image(mean_statistic({"x": values}), 600)
    assert (found["x"].numpy() == values).all()
    assert found["x cost"].numpy() == pytest.approx((values.sum() - values) / 599 - values.mean())


def test_the_only_image_has_no_cost():
    found = per_image(mean_statistic({"x": [0.5]}), 1)
    assert found["x"].tolist() == [0.5] and found["x cost"].isnan().all()
