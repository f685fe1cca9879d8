"""What turns tell: the interval of a median latency, and of one model's time over another's.

Times of neighbouring turns are alike, for the machine's mood lasts: a standard error that takes them for independent is
too small. The long-run variance is estimated from few cosine projections, and Student's t with as many degrees of
freedom stands for the rest (equal-weighted cosines: Lazarus, Lewis, Stock and Watson 2018, JBES 36:4, who advise
0.4 n^(2/3) of them). Times are compared by logarithms: a machine is slower by a factor.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.stats import t as student

from roibench.measure.record import Interval

CONFIDENCE = 0.95
LEAST_TURNS = 4  # below, an interval tells nothing


@dataclass(frozen=True)
class LogMean:
    """A mean of logarithms, its standard error, and that error's degrees of freedom."""

    mean: float
    error: float
    freedom: float

    @property
    def half_width(self) -> float:
        return float(student.ppf((1 + CONFIDENCE) / 2, self.freedom)) * self.error

    def around(self, value: float) -> Interval:
        """The interval of a value in whose place the logarithms' mean stands."""
        factor = math.exp(self.half_width)
        return Interval(value=value, low=value / factor, high=value * factor)

    @property
    def interval(self) -> Interval:
        return self.around(math.exp(self.mean))

    @property
    def noise_floor(self) -> float:
        """The upper bound of how far the ratio lies from 1, as a share."""
        return math.exp(abs(self.mean) + self.half_width) - 1


def log_mean(values: Sequence[float] | NDArray[np.float64]) -> LogMean | None:
    """Of positive values, one per turn; None where there are too few of them, or one is 0."""
    turns = len(values)
    if turns < LEAST_TURNS or min(values) <= 0:
        return None
    logs = np.log(np.asarray(values, np.float64))
    waves = max(2, int(0.4 * turns ** (2 / 3)))
    steps = (np.arange(turns) + 0.5) / turns
    cosines = np.sqrt(2 / turns) * np.cos(np.pi * np.arange(1, waves + 1)[:, None] * steps)
    variance = np.square(cosines @ logs).mean()
    return LogMean(float(logs.mean()), float(np.sqrt(variance / turns)), waves)


def log_ratio(ours: Sequence[float], theirs: Sequence[float]) -> LogMean | None:
    """Of ours over theirs, turn by turn, as far as both go."""
    turns = min(len(ours), len(theirs))
    if not turns or min(theirs[:turns]) <= 0:
        return None
    return log_mean(np.divide(ours[:turns], theirs[:turns]))


def median_interval(median: float, medians: Sequence[float]) -> Interval:
    """Of the median over all calls, from those of the turns; of no width where turns tell nothing."""
    found = log_mean(medians)
    return Interval(value=median, low=median, high=median) if found is None else found.around(median)
