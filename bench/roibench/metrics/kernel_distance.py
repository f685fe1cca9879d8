"""Kernel distance: how far two samples of feature vectors are from having been drawn of one distribution.

The squared maximum mean discrepancy (Gretton et al. 2012, JMLR 13) with the cubic kernel of the kernel inception
distance (Binkowski et al. 2018, arXiv 1801.01401): unbiased, unlike the Frechet distance, however few images there are.
"""

import numpy as np
from numpy.typing import NDArray

from roibench.metrics.bootstrap import Statistic, Weights, fraction
from roibench.metrics.matching import Floats


def cubic_kernel(some: Floats, others: Floats) -> Floats:
    """[N, D], [M, D] -> [N, M]: (x . y / D + 1)^3."""
    return (some @ others.T / some.shape[1] + 1) ** 3


def kernel_distance(some: Floats, others: Floats, name: str) -> Statistic:
    """Of two samples [N, D] of equal size, paired by nothing but their order: equation 4 of Gretton et al., the mean of

        k(x_i, x_j) + k(y_i, y_j) - k(x_i, y_j) - k(x_j, y_i)   over all i != j.

    A resample draws pairs, and an i of which it has several is no j to itself: else it would be the farther from 0, the
    more often it draws the same. NaN where all weight is on one pair. Unbiased: it may be negative.
    """
    mixed = cubic_kernel(some, others)
    terms = cubic_kernel(some, some) + cubic_kernel(others, others) - mixed - mixed.T
    np.fill_diagonal(terms, 0.0)

    def distance(weights: Weights) -> dict[str, NDArray[np.float64]]:
        weights = weights.astype(np.float64)
        pairs = weights.sum(1) ** 2 - np.square(weights).sum(1)
        return {name: fraction(((weights @ terms) * weights).sum(1), pairs)}

    return distance
