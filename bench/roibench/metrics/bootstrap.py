"""Confidence intervals by resampling images (Efron 1979): the images are the sample, whatever is computed of them.

A resample of N images is N draws with replacement, written as how often each image was drawn: a row of integers that
sums to N. A metric that can weight images then matches its predictions only once, and weight 1 is the metric itself.
"""

from collections.abc import Callable, Mapping

import numpy as np
import torch
from numpy.typing import ArrayLike, NDArray
from torch import Tensor

from roibench.metric import Estimate, cost_of

RESAMPLES = 1000
_BLOCK = 256  # images at a time, of per_image: a weight for each of all images, twice
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


def interval(value: float, resampled: ArrayLike) -> Estimate:
    """The percentile interval of a value: resampled [R] holds it under each resample, NaN where it is undefined."""
    resampled = np.asarray(resampled, np.float64)
    defined = resampled[~np.isnan(resampled)]
    tail = (1 - CONFIDENCE) / 2
    low, high = np.quantile(defined, (tail, 1 - tail)) if len(defined) else (np.nan, np.nan)
    return Estimate(float(value), float(low), float(high), resampled)


def difference(first: Estimate, second: Estimate) -> Estimate:
    """first - second of two models on the same images: the paired bootstrap.

    An image that is hard for both lowers both, and not their difference: its interval is narrower than the two apart
    suggest. Raises ValueError where the resamples aren't the same draws.
    """
    if len(first.resampled) != len(second.resampled) or not len(first.resampled):
        raise ValueError(
            f"a paired difference needs equally many resamples, got {len(first.resampled)} and {len(second.resampled)}"
        )
    return interval(first.value - second.value, np.subtract(first.resampled, second.resampled))


def bootstrap(statistic: Statistic, images: int, resamples: int = RESAMPLES, seed: int = 0) -> dict[str, Estimate]:
    """Estimate every number that the statistic gives.

    One that is NaN with every image at weight 1 is left out: a record is JSON, which has no NaN, and a number that the
    data leave undefined (the AP of small objects where there are none) is not a number to report.
    """
    values = statistic(np.ones((1, images), np.int32))
    resampled = statistic(resample(images, resamples, seed))
    return {name: interval(value[0], resampled[name]) for name, value in values.items() if not np.isnan(value[0])}


def per_image(statistic: Statistic, images: int) -> dict[str, Tensor]:
    """Result.per_image of every number that the statistic gives: of each image alone, and what it costs.

    An image alone is weight 1 on it and 0 elsewhere; its cost comes of weight 0 on it and 1 elsewhere.
    """
    everything = np.ones((1, images), np.int32)
    columns: dict[str, list[NDArray[np.floating]]] = {}
    for start in range(0, images, _BLOCK):
        alone = np.eye(min(_BLOCK, images - start), images, start, dtype=np.int32)
        own = statistic(alone)
        # All images among the same weightings: what an image doesn't change, it changes by 0, to the last bit.
        without = statistic(np.concatenate([1 - alone, everything]))
        for name, values in without.items():
            columns.setdefault(name, []).append(own[name])
            columns.setdefault(cost_of(name), []).append(values[:-1] - values[-1])
    return {name: torch.from_numpy(np.concatenate(blocks)) for name, blocks in columns.items()}


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
