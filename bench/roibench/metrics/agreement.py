"""Whether several values put the same models into one order: rank correlations, and what images leave open of them."""

import math

import numpy as np
from scipy.stats import rankdata
from scipy.stats import t as student

from roibench.metrics.bootstrap import CONFIDENCE
from roibench.metrics.matching import Floats


def rank_correlations(values: Floats) -> Floats:
    """Spearman's, over M models, of each pair of V values: [..., M, V] -> [..., V, V].

    Equal values share their mean rank. NaN beside a value that is NaN of a model, or that all models have alike.
    """
    ranks = rankdata(values, axis=-2) - (values.shape[-2] + 1) / 2
    products = np.swapaxes(ranks, -1, -2) @ ranks
    squares = np.diagonal(products, axis1=-2, axis2=-1)
    lengths = np.sqrt(squares[..., :, None] * squares[..., None, :])
    return np.divide(products, lengths, out=np.full_like(products, np.nan), where=lengths > 0)


def correlation_intervals(values: Floats, resampled: Floats) -> tuple[Floats, Floats, Floats]:
    """rank_correlations of values [M, V], and the lower and the upper bound of their 95 % intervals over images; [V, V]
    each.

    resampled: [R, M, V], the values in each resample, the same draws for all models and values. The bounds are
    percentiles, and reach up to the correlation itself: resampling adds noise to ranks that have some already, which on
    average pulls correlations towards 0, so that it is on this side that they err. A correction of that bias has
    nothing to go by near 1, where few resamples lie above. Which models there are is taken as given (by_chance).
    """
    found, drawn = rank_correlations(values), rank_correlations(resampled)
    known = ~np.isnan(drawn).all(0)
    low, high = np.full_like(found, np.nan), np.full_like(found, np.nan)
    low[known], high[known] = np.nanquantile(drawn[:, known], [(1 - CONFIDENCE) / 2, (1 + CONFIDENCE) / 2], axis=0)
    return found, np.minimum(low, found), np.maximum(high, found)


def by_chance(models: int) -> float:
    """What the rank correlation of two orders of so many models that have nothing to do with each other exceeds, in
    absolute value, 1 time in 20 (Student's approximation). Raises ValueError for fewer than 3 models.
    """
    if models < 3:
        raise ValueError(f"{models} models have no rank correlation to speak of; want 3 or more")
    limit = float(student.ppf((1 + CONFIDENCE) / 2, models - 2))
    return limit / math.sqrt(models - 2 + limit**2)
