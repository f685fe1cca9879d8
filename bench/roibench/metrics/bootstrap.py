"""Confidence intervals by resampling images (Efron 1979): the images are the sample, whatever is computed of them.

A resample of N images is N draws with replacement, written as how often each image was drawn: a row of integers that
sums to N. A metric that can weight images then matches its predictions only once, and weight 1 is the metric itself.

Percentiles of the resamples alone would add a metric's bias to itself: precision at its highest from here on, a union
of classes, the best threshold are all the better by chance the fewer images there are, and once more in a resample. So
the interval is bias-corrected; the value stays what the metric is defined to be. Of interpolated precision's bias a
resample shows but a part, for the images that it holds several times are no new ones: halves of the images, drawn
without replacement, show by how much it grows when there are fewer. results/coverage.md has how often intervals hold
the true value (`python -m roibench.metrics.coverage`).
"""

from collections.abc import Callable, Mapping
from types import MappingProxyType

import numpy as np
import torch
from numpy.typing import ArrayLike, NDArray
from scipy.special import ndtr, ndtri
from torch import Tensor

from roibench.metric import Estimate, cost_of

RESAMPLES = 1000
HALVES = 200
_BLOCK = 256  # images at a time, of per_image: a weight for each of all images, twice
_JACKKNIFE = 200  # blocks of images, of which one is left out: as many as an acceleration needs, however many images
CONFIDENCE = 0.95

Weights = NDArray[np.integer]  # [R, N]: how often resample r draws image n
Statistic = Callable[[Weights], Mapping[str, NDArray[np.floating]]]  # [R, N] -> one number per resample, by name


def resample(images: int, resamples: int = RESAMPLES, seed: int = 0) -> Weights:
    """Draw weights, int32 [resamples, images].

    The same number of images and the same seed give the same draws, so that two models scored on the same images are
    compared resample by resample: the interval of a difference is the interval of the difference of their rows.
    """
    if images < 1:
        raise ValueError("there is no image to resample")
    generator = np.random.default_rng(seed)
    weights = np.empty((resamples, images), np.int32)
    for row in weights:
        row[:] = np.bincount(generator.integers(images, size=images), minlength=images)
    return weights


def half_samples(images: int, halves: int = HALVES, seed: int = 0) -> Weights:
    """Weights 0 and 1, int32 [halves, images]: pairs of a random half of the images and the other half."""
    generator = np.random.default_rng(seed)
    weights = np.zeros((halves, images), np.int32)
    for first, second in zip(weights[::2], weights[1::2], strict=True):
        order = generator.permutation(images)
        first[order[: images // 2]] = 1
        second[order[images // 2 :]] = 1
    return weights


def precision_interval(value: float, resampled: ArrayLike, halves: ArrayLike) -> Estimate:
    """The interval of an average precision, in [0, 1].

    resampled [R] holds it under each resample, halves [H] under each half sample. Precision at its highest from here on
    exceeds the true one by a maximum of noise, which falls with the root of the number of images: what half samples
    exceed the value by, the value exceeds the truth by 1 / (sqrt(2) - 1) times. The resamples' percentiles are mirrored
    about the value without this bias; where few images leave the value itself outside, the interval reaches up to it.
    """
    resampled, halves = (np.asarray(x, np.float64) for x in (resampled, halves))
    defined, halves = (x[~np.isnan(x)] for x in (resampled, halves))
    if not len(defined):
        return Estimate(float(value), np.nan, np.nan, resampled)
    bias = (halves.mean() - value) / (np.sqrt(2) - 1) if len(halves) else 0.0
    tails = np.quantile(defined, [(1 + CONFIDENCE) / 2, (1 - CONFIDENCE) / 2])
    low, high = np.clip(value - bias - (tails - defined.mean()), 0, 1)
    return Estimate(float(value), float(min(low, value)), float(max(high, value)), resampled)


def interval(value: float, resampled: ArrayLike, alone: ArrayLike = (), costs: ArrayLike = ()) -> Estimate:
    """The interval of a value: resampled [R] holds it under each resample, NaN where it is undefined.

    alone: [N], the value of each image, NaN where it has none. costs: [B], the value without each of B blocks of images
    minus that of all; an image may be a block. Both as per_image has them; () where they aren't known.

    A value that is 0 or 1 on every image alone is a proportion of images: Wilson's score interval, which has a width at
    0 and 1, too, and stays between them. Of anything else: Efron's BCa (1987), whose limits are values that resamples
    took, so that those of a fraction are fractions; without costs the acceleration is 0. Where the correction is
    undefined, as all resamples lie on one side of the value or no image changes it: the basic bootstrap, which mirrors
    the percentiles at the value, and may leave the range of what can be. The value of a biased metric may lie outside.
    """
    resampled, alone, costs = (np.asarray(x, np.float64) for x in (resampled, alone, costs))
    defined, alone, costs = (x[~np.isnan(x)] for x in (resampled, alone, costs))
    if len(alone) and np.isin(alone, (0, 1)).all() and 0 <= value <= 1:
        low, high = _wilson(value, len(alone), costs)
    elif len(defined):
        low, high = _bias_corrected(value, defined, costs)
    else:
        low, high = np.nan, np.nan
    return Estimate(float(value), float(low), float(high), resampled)


def _wilson(value: float, images: int, costs: NDArray[np.float64]) -> tuple[float, float]:
    """Wilson's score interval (1927) of a proportion of so many images.

    A mean over classes gives images unequal weights, and is as uncertain as the proportion of fewer images: those that
    the jackknife's variance asks for (Kish's effective sample size).
    """
    variance = np.square(costs).sum() * (1 - 1 / max(len(costs), 1)) ** 2
    count = min(images, value * (1 - value) / variance) if variance > 0 else images
    z = ndtri((1 + CONFIDENCE) / 2)
    centre = (value + z**2 / (2 * count)) / (1 + z**2 / count)
    half = z * np.sqrt(value * (1 - value) / count + (z / (2 * count)) ** 2) / (1 + z**2 / count)
    return max(0.0, centre - half), min(1.0, centre + half)


def _bias_corrected(value: float, resampled: NDArray[np.float64], costs: NDArray[np.float64]) -> NDArray[np.float64]:
    """[2], low and high: BCa, or basic where it is undefined."""
    tails = np.array([1 - CONFIDENCE, 1 + CONFIDENCE]) / 2
    # Of resamples that equal the value, as many of discrete ones do, half count as below it.
    below = ((resampled < value).mean() + (resampled <= value).mean()) / 2
    bias = ndtri(below)  # z0
    acceleration = _acceleration(costs)
    if np.isfinite([bias, acceleration]).all():
        shifted = bias + ndtri(tails)
        damping = 1 - acceleration * shifted
        if (damping > 0).all():
            return np.quantile(resampled, ndtr(bias + shifted / damping))
    return 2 * value - np.quantile(resampled, tails)[::-1]


def _acceleration(costs: NDArray[np.float64]) -> float:
    """Efron's a, of the jackknife; NaN where nothing changes the value. A skewness over a root of the number of blocks:
    the same, in expectation, whether a block is an image or many.
    """
    if not len(costs):
        return 0.0
    influence = costs.mean() - costs
    spread = np.square(influence).sum() ** 1.5
    return (influence**3).sum() / (6 * spread) if spread > 0 else np.nan


def difference(first: Estimate, second: Estimate) -> Estimate:
    """first - second of two models on the same images: the paired bootstrap.

    An image that is hard for both lowers both, and not their difference: its interval is narrower than the two apart
    suggest. Bias-corrected as interval does it, without acceleration. Raises ValueError where the resamples aren't the
    same draws.
    """
    if len(first.resampled) != len(second.resampled) or not len(first.resampled):
        raise ValueError(
            f"a paired difference needs equally many resamples, got {len(first.resampled)} and {len(second.resampled)}"
        )
    return interval(first.value - second.value, np.subtract(first.resampled, second.resampled))


def bootstrap(
    statistic: Statistic,
    images: int,
    resamples: int = RESAMPLES,
    seed: int = 0,
    of_images: Mapping[str, ArrayLike] = MappingProxyType({}),
) -> dict[str, Estimate]:
    """Estimate every number that the statistic gives.

    of_images: per_image of this statistic, where it is there already; what it lacks is found here.
    One that is NaN with every image at weight 1 is left out: a record is JSON, which has no NaN, and a number that the
    data leave undefined (the AP of small objects where there are none) is not a number to report.
    """
    values = statistic(np.ones((1, images), np.int32))
    resampled = statistic(resample(images, resamples, seed))
    if not values.keys() <= of_images.keys():
        of_images = _per_block(statistic, images, min(images, _JACKKNIFE)) | dict(of_images)
    return {
        name: interval(value[0], resampled[name], of_images[name], of_images[cost_of(name)])
        for name, value in values.items()
        if not np.isnan(value[0])
    }


def bootstrap_precision(statistic: Statistic, images: int) -> dict[str, Estimate]:
    """As bootstrap, of a statistic all of whose numbers are average precisions, or recalls in the place of one."""
    values = statistic(np.ones((1, images), np.int32))
    resampled, halves = statistic(resample(images)), statistic(half_samples(images))
    return {
        name: precision_interval(value[0], resampled[name], halves[name])
        for name, value in values.items()
        if not np.isnan(value[0])
    }


def per_image(statistic: Statistic, images: int) -> dict[str, Tensor]:
    """Result.per_image of every number that the statistic gives: of each image alone, and what it costs.

    An image alone is weight 1 on it and 0 elsewhere; its cost comes of weight 0 on it and 1 elsewhere.
    """
    return {name: torch.from_numpy(column) for name, column in _per_block(statistic, images, images).items()}


def _per_block(statistic: Statistic, images: int, blocks: int) -> dict[str, NDArray[np.floating]]:
    """The value of each image alone, [images], and what each block of as many neighbours costs, [blocks]."""
    everything = np.ones((1, images), np.int32)
    block = np.arange(images) * blocks // images
    alone, costs = {}, {}
    for start in range(0, images, _BLOCK):
        own = statistic(np.eye(min(_BLOCK, images - start), images, start, dtype=np.int32))
        for name, values in own.items():
            alone.setdefault(name, []).append(values)
    for start in range(0, blocks, _BLOCK):
        left_out = np.arange(start, min(start + _BLOCK, blocks))
        # All images among the same weightings: what a block doesn't change, it changes by 0, to the last bit.
        without = statistic(np.concatenate([(block != left_out[:, None]).astype(np.int32), everything]))
        for name, values in without.items():
            costs.setdefault(cost_of(name), []).append(values[:-1] - values[-1])
    return {name: np.concatenate(columns) for name, columns in (alone | costs).items()}


def mean_statistic(of_images: Mapping[str, ArrayLike]) -> Statistic:
    """The mean over images of each named value: [N] numbers, NaN where an image has none and doesn't count."""
    columns = {name: np.asarray(values, np.float64) for name, values in of_images.items()}

    def mean(weights: Weights) -> dict[str, NDArray[np.floating]]:
        means = {}
        for name, values in columns.items():
            counted = weights @ (~np.isnan(values)).astype(np.float64)
            total = weights @ np.nan_to_num(values)
            means[name] = fraction(total, counted)
        return means

    return mean


def fraction(part: NDArray[np.number], whole: NDArray[np.number]) -> NDArray[np.float64]:
    """Elementwise, NaN where the whole is nothing."""
    return np.divide(part, whole, out=np.full(np.shape(part), np.nan), where=whole > 0)
