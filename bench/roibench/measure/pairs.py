"""Two models compared: accuracies by the same resamples of images, latencies by the turns that they took together."""

import math
from collections.abc import Sequence

import numpy as np
from scipy.stats import t as student

from roibench.measure.record import Interval, Ok, Prefix, ScoreValue, Turns
from roibench.measure.steady import CONFIDENCE, LogMean, log_mean, log_ratio
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


def unpaired_ratio(ours: Ok, theirs: Ok) -> Interval | None:
    """How many times as long ours takes as theirs, of cells that took no turns together: from the turns that each took
    with others, as if they were independent. What the machine did between the two runs is not in the interval.

    None where one took none.
    """
    logs = [record.latency.turns and log_mean(record.latency.turns.medians) for record in (ours, theirs)]
    return None if None in logs else _difference(*logs).interval


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


def known_images(record: Ok, task: str, key: str | None = None) -> set[int]:
    """Over how many first images its accuracy is known: all that it was measured on, and prefixes of them, of which a
    record holds what ranks alone.

    key: METRIC/VALUE of the task; None: of what ranks.
    """
    score = record.scores[task]
    return {record.images, *(score.prefixes if key in (None, score.primary) else ())}


def shared_images(ours: Ok, theirs: Ok, task: str) -> int | None:
    """The most first images of one dataset over which both accuracies are known: no others compare them."""
    if ours.cell.dataset_hash != theirs.cell.dataset_hash:
        return None
    return max(known_images(ours, task) & known_images(theirs, task), default=None)


def ranking_value(record: Ok, task: str, images: int) -> Prefix | None:
    """What ranks the task, over so many of known_images; None where it is undefined."""
    return value_over(record, task, images)


def value_over(record: Ok, task: str, images: int, key: str | None = None) -> Prefix | None:
    """A value of the task over so many of known_images, and key as there; None where it is undefined. Its resamples
    are () where the record holds none.
    """
    score = record.scores[task]
    if images != record.images:
        return score.prefixes[images]
    key = key or score.primary
    value = score.values.get(key)
    return value and Prefix(value=value.value, resampled=score.resampled if key == score.primary else value.resampled)


def accuracy_difference(ours: Ok, theirs: Ok, task: str) -> Interval | None:
    """Ours - theirs in what ranks the task, as a fraction or in its unit, over shared_images; None where there are none
    or they hold no resamples.
    """
    images = shared_images(ours, theirs, task)
    return None if images is None else mean_difference([ours], [theirs], task, images)


def mean_difference(ours: Sequence[Ok], theirs: Sequence[Ok], task: str, images: int) -> Interval | None:
    """accuracy_difference of two models, of which each record is another training: of their means, over so many images,
    which all of them know.

    The interval holds images, by paired resamples, and trainings, by the variance between them, pooled over both
    models: limits of independent parts add up by squares (MOVER: Zou and Donner 2008, Statistics in Medicine 27:10). Of
    one training each no variance is seen, and the interval is over images alone.
    """
    if len({record.scores[task].primary for record in (*ours, *theirs)}) > 1:
        return None
    return difference_of_means(*([ranking_value(record, task, images) for record in side] for side in (ours, theirs)))


def difference_of_means(ours: Sequence[Prefix | None], theirs: Sequence[Prefix | None]) -> Interval | None:
    """mean_difference of values that are known already, each of one training and all over the same images. None where
    one is undefined, or they don't hold as many resamples.
    """
    sides = ours, theirs
    if not all(value and value.resampled for side in sides for value in side):
        return None
    if len({len(value.resampled) for side in sides for value in side}) > 1:
        return None
    found = difference(*map(_mean, sides))
    low, high = found.low, found.high
    if spread := _half_width([[one.value for one in side] for side in sides]):
        low = found.value - math.hypot(max(0.0, found.value - low), spread)
        high = found.value + math.hypot(max(0.0, high - found.value), spread)
    return Interval(value=found.value, low=low, high=high)


def _mean(trainings: Sequence[Prefix]) -> Estimate:
    resampled = np.array([one.resampled for one in trainings], np.float64)  # NaN for None
    return Estimate(float(np.mean([one.value for one in trainings])), math.nan, math.nan, resampled.mean(0))


def _half_width(sides: Sequence[Sequence[float]]) -> float | None:
    """Of the interval of a difference of means over trainings; None where no side has two."""
    freedom = sum(len(values) - 1 for values in sides)
    if not freedom:
        return None
    variance = sum(len(values) * np.var(values) for values in sides) / freedom
    error = math.sqrt(variance * sum(1 / len(values) for values in sides))
    return float(student.ppf((1 + CONFIDENCE) / 2, freedom)) * error


def is_better(ours: Ok, theirs: Ok, task: str) -> bool:
    """Beyond doubt: the paired difference's interval leaves 0 out. Without one, as of records that hold no resamples:
    their intervals lie apart, and they are of the same images.
    """
    first, second = (one.scores[task].values.get(one.scores[task].primary) for one in (ours, theirs))
    if first is None or second is None:
        return second is None and first is not None
    found = accuracy_difference(ours, theirs, task)
    if found is None:
        return ours.images == theirs.images and lie_apart(first, second)
    return found.low > 0 if first.higher_is_better else found.high < 0


def lie_apart(better: ScoreValue, worse: ScoreValue) -> bool:
    """Their intervals do, and on the right side."""
    return better.low > worse.high if better.higher_is_better else better.high < worse.low


def _difference(one: LogMean, other: LogMean) -> LogMean:
    """Of two independent means (Welch, Satterthwaite)."""
    variances = one.error**2, other.error**2
    total = sum(variances)
    spread = variances[0] ** 2 / one.freedom + variances[1] ** 2 / other.freedom
    freedom = total**2 / spread if spread else min(one.freedom, other.freedom)
    return LogMean(one.mean - other.mean, math.sqrt(total), freedom)
