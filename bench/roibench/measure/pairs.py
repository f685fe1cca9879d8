"""Two records compared: accuracies by the same resamples of images, latencies by the turns that they took together."""

import math

import numpy as np

from roibench.measure.record import Interval, Ok, Turns
from roibench.measure.steady import LogMean, log_ratio
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
    first, second = ours.scores[task], theirs.scores[task]
    comparable = (ours.cell.dataset_hash, ours.images) == (theirs.cell.dataset_hash, theirs.images)
    if not comparable or first.primary != second.primary or not first.resampled or not second.resampled:
        return None
    estimates = []
    for one in (first, second):
        value = one.values[one.primary]
        resampled = np.array([np.nan if each is None else each for each in one.resampled])
        estimates.append(Estimate(value.value, value.low, value.high, resampled))
    found = difference(*estimates)
    return Interval(value=found.value, low=found.low, high=found.high)


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
