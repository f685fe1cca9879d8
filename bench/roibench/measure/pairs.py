"""Two models compared: accuracies by the same resamples of images, latencies by the turns that they took together."""

import math
from collections.abc import Sequence

import numpy as np
from scipy.stats import t as student

from roibench.measure.record import Interval, Ok, Score, Turns
from roibench.measure.steady import CONFIDENCE, LogMean, log_ratio
from roibench.metric import Estimate
from roibench.metrics.bootstrap import difference


def latency_ratio(ours: Ok, theirs: Ok) -> Interval | None:
    """How many times as long ours takes as theirs, paired turn by turn; None where they took none together.

    Cells of two groups of a run are compared by the reference cell, which took part in both.
    """
    first, second = ours.latency.turns, theirs.latency.turns
    if first is None or second is None or first.run != second.run:
        return None
    if first.group == second.group:
        found = log_ratio(first.medians, second.medians)
    else:
        one, other = log_ratio(first.medians, first.reference), log_ratio(second.medians, second.reference)
        found = None if one is None or other is None else _difference(one, other)
    return None if found is None else found.interval


def is_faster(ours: Ok, theirs: Ok) -> bool:
    """Beyond doubt: the ratio's interval leaves 1 out, and the ratio lies beyond the run's noise floor. Of cells that
    took no turns together: their intervals lie apart.
    """
    ratio = latency_ratio(ours, theirs)
    if ratio is None:
        return ours.latency.p50.high < theirs.latency.p50.low
    return ratio.high < 1 and 1 / ratio.value - 1 > (noise_floor(ours.latency.turns) or 0.0)


def noise_floor(turns: Turns | None) -> float | None:
    return turns.noise_floor if turns else None


def accuracy_difference(ours: Ok, theirs: Ok, task: str) -> Interval | None:
    """Ours - theirs in what ranks the task, as a fraction or in its unit; None where they aren't of the same images or
    hold no resamples.
    """
    return mean_difference([ours], [theirs], task)


def mean_difference(ours: Sequence[Ok], theirs: Sequence[Ok], task: str) -> Interval | None:
    """accuracy_difference of two models, of which each record is another training: of their means.

    The interval holds images, by paired resamples, and trainings, by the variance between them, pooled over both
    models: limits of independent parts add up by squares (MOVER: Zou and Donner 2008, Statistics in Medicine 27:10). Of
    one training each no variance is seen, and the interval is over images alone.
    """
    sides = [[record.scores[task] for record in side] for side in (ours, theirs)]
    scores = [score for side in sides for score in side]
    shared = {(record.cell.dataset_hash, record.images) for record in (*ours, *theirs)}
    kinds = {(score.primary, len(score.resampled)) for score in scores}
    if len(shared) > 1 or len(kinds) > 1 or not all(s.resampled and s.primary in s.values for s in scores):
        return None
    values = [[score.values[score.primary].value for score in side] for side in sides]
    means = [_mean(side, one) for side, one in zip(sides, values, strict=True)]
    found = difference(*means)
    low, high = found.low, found.high
    if spread := _half_width(values):
        low = found.value - math.hypot(max(0.0, found.value - low), spread)
        high = found.value + math.hypot(max(0.0, high - found.value), spread)
    return Interval(value=found.value, low=low, high=high)


def _mean(scores: Sequence[Score], values: Sequence[float]) -> Estimate:
    resampled = np.array([score.resampled for score in scores], np.float64)  # NaN for None
    return Estimate(float(np.mean(values)), math.nan, math.nan, resampled.mean(0))


def _half_width(sides: Sequence[Sequence[float]]) -> float | None:
    """Of the interval of a difference of means over trainings; None where no side has two."""
    freedom = sum(len(values) - 1 for values in sides)
    if not freedom:
        return None
    variance = sum(len(values) * np.var(values) for values in sides) / freedom
    error = math.sqrt(variance * sum(1 / len(values) for values in sides))
    return float(student.ppf((1 + CONFIDENCE) / 2, freedom)) * error


def is_better(ours: Ok, theirs: Ok, task: str) -> bool:
    """Beyond doubt: the paired difference's interval leaves 0 out. Without one: their intervals lie apart."""
    first, second = (one.scores[task].values.get(one.scores[task].primary) for one in (ours, theirs))
    if first is None or second is None:
        return second is None and first is not None
    found = accuracy_difference(ours, theirs, task)
    if found is None:
        return first.low > second.high if first.higher_is_better else first.high < second.low
    return found.low > 0 if first.higher_is_better else found.high < 0


def _difference(one: LogMean, other: LogMean) -> LogMean:
    """Of two independent means (Welch, Satterthwaite)."""
    variances = one.error**2, other.error**2
    total = sum(variances)
    spread = variances[0] ** 2 / one.freedom + variances[1] ** 2 / other.freedom
    freedom = total**2 / spread if spread else min(one.freedom, other.freedom)
    return LogMean(one.mean - other.mean, math.sqrt(total), freedom)
