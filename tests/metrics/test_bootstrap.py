import numpy as np
import pytest
from scipy import stats

from roibench.metrics.bootstrap import (
    bootstrap,
    bootstrap_precision,
    difference,
    half_samples,
    interval,
    mean_statistic,
    per_image,
    precision_interval,
    resample,
)


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


def covered(draw, true: float, images: int = 100, repetitions: int = 300) -> float:
    """The fraction of the intervals of a mean of draw(images) that hold the true one."""
    held = []
    for _ in range(repetitions):
        estimate = bootstrap(mean_statistic({"x": draw(images)}), images, resamples=400)["x"]
        held.append(estimate.low <= true <= estimate.high)
    return float(np.mean(held))


def test_the_interval_of_a_mean_holds_the_true_one_95_times_in_100():
    generator = np.random.default_rng(3)
    assert 0.92 <= covered(lambda images: generator.exponential(2.0, images), 2.0) <= 0.975


@pytest.mark.parametrize(("true", "least"), [(0.7, 0.92), (0.995, 0.9)])
def test_so_does_that_of_a_proportion(true, least):
    """Exactly: each number of hits counts as often as it is drawn."""
    hits = np.arange(101)
    estimates = [bootstrap(mean_statistic({"x": np.arange(100) < k}), 100, resamples=100)["x"] for k in hits]
    held = [one.low <= true <= one.high for one in estimates]
    assert least <= stats.binom.pmf(hits, 100, true) @ held <= 0.975


def test_the_interval_of_a_mean_is_scipys_bca():
    sample = np.random.default_rng(0).exponential(2.0, 40)
    ours = bootstrap(mean_statistic({"x": sample}), 40, resamples=20_000)["x"]
    low, high = stats.bootstrap((sample,), np.mean, n_resamples=20_000, method="BCa", rng=1).confidence_interval
    percentiles = np.quantile(ours.resampled, (0.025, 0.975))
    assert (ours.low, ours.high) == pytest.approx((low, high), abs=0.02)
    assert (percentiles > (0, 0)).all() and abs(percentiles[1] - high) > 0.05, "and no percentile interval"


def test_blocks_of_images_accelerate_like_images():
    sample = np.random.default_rng(0).exponential(2.0, 2000)
    statistic = mean_statistic({"x": sample})
    blocks = bootstrap(statistic, 2000)["x"]
    images = bootstrap(statistic, 2000, of_images=per_image(statistic, 2000))["x"]
    assert (blocks.low, blocks.high) == pytest.approx((images.low, images.high), abs=0.1 * (images.high - images.low))


def test_a_bias_that_resamples_show_is_taken_out_not_doubled():
    """The largest of ten groups' means: the better by chance, the fewer images."""
    generator = np.random.default_rng(0)

    def estimate():
        values = np.where(np.arange(200)[:, None] % 10 == np.arange(10), generator.normal(0, 1, (200, 1)), np.nan)
        mean = mean_statistic({str(k): column for k, column in enumerate(values.T)})
        return bootstrap(lambda weights: {"x": np.mean([np.abs(v) for v in mean(weights).values()], axis=0)}, 200)["x"]

    one = estimate()
    assert np.mean(one.resampled) > one.value, "the bootstrap adds the bias again"
    assert (one.low + one.high) / 2 < one.value


@pytest.mark.parametrize(("right", "low", "high"), [(50, 0.92865, 1), (49, 0.89505, 0.99646), (0, 0, 0.07135)])
def test_a_proportion_has_wilsons_interval(right, low, high):
    of_all = bootstrap(mean_statistic({"x": np.arange(50) < right}), 50)["x"]
    assert (of_all.low, of_all.high) == pytest.approx((low, high), abs=1e-4)
    wilson = stats.binomtest(right, 50).proportion_ci(method="wilson")
    assert (of_all.low, of_all.high) == pytest.approx((wilson.low, wilson.high))


def test_a_mean_over_classes_is_as_uncertain_as_fewer_images():
    right, rare = np.arange(100) % 10 > 0, np.arange(100) < 20
    mean = mean_statistic({"rare": np.where(rare, right, np.nan), "rest": np.where(rare, np.nan, right)})
    by_class = bootstrap(lambda weights: {"x": np.mean(list(mean(weights).values()), axis=0)}, 100)["x"]
    plain = bootstrap(mean_statistic({"x": right}), 100)["x"]
    assert by_class.value == pytest.approx(plain.value)
    assert by_class.low < plain.low and by_class.high > plain.high


def test_resamples_on_one_side_are_mirrored():
    """BCa is undefined there: z0 is infinite."""
    one = interval(0.5, np.linspace(0.6, 0.8, 101))
    assert (one.low, one.high) == pytest.approx((1 - 0.795, 1 - 0.605))


def test_what_no_image_changes_has_no_width():
    assert (interval(0.5, [0.5] * 9).low, interval(0.5, [0.5] * 9, costs=[0.0] * 5).high) == (0.5, 0.5)


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


def test_a_bias_that_falls_with_the_root_of_the_images_is_found_from_halves_and_taken_out():
    """The highest of 40 means, none of which is truly higher: about 2.2 standard errors too high, at any size."""
    generator = np.random.default_rng(0)
    found = []
    for _ in range(100):
        values = generator.uniform(0, 1, (100, 40))

        def highest(weights, values=values):
            return {"x": np.max(weights @ values / weights.sum(1, keepdims=True), axis=1)}

        found.append(bootstrap_precision(highest, 100)["x"])
    bias = np.mean([one.value for one in found]) - 0.5
    centre, doubled = (np.mean([(one.low + one.high) / 2 for one in found]), np.mean([one.resampled for one in found]))
    assert bias > 0.05 and doubled - 0.5 > 1.3 * bias, "percentiles alone would add it once more"
    assert abs(centre - 0.5) < 0.3 * bias


def test_half_samples_are_pairs_that_share_no_image():
    weights = half_samples(7, 10)
    assert (weights[::2] + weights[1::2] == 1).all() and set(weights.sum(1)) == {3, 4}


def test_an_average_precision_of_one_image_or_of_none_has_an_interval_or_nan():
    one = precision_interval(0.5, [0.5] * 9, [np.nan, 0.5])
    assert (one.low, one.high) == (0.5, 0.5)
    assert np.isnan(precision_interval(0.5, [np.nan], []).low)
    assert precision_interval(0.99, [0.9, 0.95, 1.0], [0.99]).high == 1, "a precision is at most 1"
