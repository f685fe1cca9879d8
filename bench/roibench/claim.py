"""Claims: what is said of models, decided by records. What a judge returns, and what most judges are made of.

A model's name is that of its cells with no knob set; `faster_rcnn proposals=50` (CellSpec.label) is that of others.
"""

import math
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import NamedTuple

import numpy as np

from roibench.datasets.reference import DatasetRef
from roibench.measure.pairs import (
    accuracy_difference,
    difference_of_means,
    is_faster,
    known_images,
    latency_ratio,
    noise_floor,
    ranking_value,
    shared_images,
    value_over,
)
from roibench.measure.record import Interval, Ok
from roibench.metric import Estimate
from roibench.metrics.bootstrap import interval
from roibench.registry import resolve
from roibench.report.numbers import heading, short_name, with_interval
from roibench.specs import ClaimSpec

__all__ = [
    "Accuracy",
    "ClaimError",
    "Interval",
    "Judged",
    "Ok",
    "Status",
    "Verdict",
    "accuracy_difference",
    "better",
    "beyond",
    "difference_of_leads",
    "every",
    "faster",
    "judge",
    "keeps",
    "latency_ratio",
    "more_accurate",
    "ranking_value",
    "shared_images",
    "takes_at_most",
    "with_interval",
]


class ClaimError(RuntimeError):
    """A judge failed; the message names its claim."""


class Status(StrEnum):
    """Whether records bear a claim out, beyond doubt; of a claim of several parts, the first of these that one has."""

    NOT_HELD = "not held"
    NOT_MEASURED = "not measured"
    CANNOT_TELL = "can't be told"
    HELD = "held"


@dataclass(frozen=True)
class Verdict:
    """figures: a sentence with value, interval, number and test; where nothing was measured, why."""

    status: Status
    figures: str


class Accuracy(NamedTuple):
    """A model's value in a task: METRIC/VALUE, or what ranks the task where none is named."""

    model: str
    task: str
    value: str | None = None

    def is_of(self, record: Ok) -> bool:
        return record.cell.label == self.model and self.task in record.scores

    def images(self, record: Ok) -> set[int]:
        """Over how many first images it is known."""
        return known_images(record, self.task, self.value)

    def key(self, record: Ok) -> str:
        return self.value or record.scores[self.task].primary


class Judged(NamedTuple):
    """A claim, and what records say of it."""

    claim: ClaimSpec
    verdict: Verdict


def judge(claims: Iterable[ClaimSpec], records: Sequence[Ok]) -> list[Judged]:
    """Raises ClaimError where a judge fails, or returns something else than a Verdict."""
    found = []
    for claim in claims:
        try:
            verdict = resolve(claim.judge)(records)
        except Exception as error:
            raise ClaimError(f"claim {claim.name!r}, {claim.judge}: {type(error).__name__}: {error}") from error
        if not isinstance(verdict, Verdict):
            raise ClaimError(f"claim {claim.name!r}, {claim.judge}: want a Verdict, got {type(verdict).__name__}")
        found.append(Judged(claim, verdict))
    return found


def every(parts: Iterable[Verdict]) -> Verdict:
    """A claim that holds if all of its parts do."""
    parts = list(parts)
    if not parts:
        return Verdict(Status.NOT_MEASURED, "no record of such models")
    return Verdict(min((part.status for part in parts), key=list(Status).index), "; ".join(p.figures for p in parts))


def more_accurate(records: Sequence[Ok], ours: str, theirs: str, task: str) -> Verdict:
    """One model is better than another in what ranks the task, on the most images over which both are known.

    Records of the same model with other weights are trainings of it: the interval then holds their variance, too.
    """
    return better(records, Accuracy(ours, task), Accuracy(theirs, task))


def better(records: Sequence[Ok], ours: Accuracy, theirs: Accuracy) -> Verdict:
    """more_accurate, in values of one name that need not rank, nor be of one task. One that doesn't rank is known over
    all images of a record alone, and only if tables show it.
    """
    parts = [_better(*pair, ours, theirs) for pair in _pairs(records, ours, theirs, _outputs)]
    return every(parts) if parts else _not_on_the_same(records, ours.model, theirs.model)


def faster(records: Sequence[Ok], ours: str, theirs: str) -> Verdict:
    """One model takes less time than another, in all settings in which they took turns."""
    return _compared_in_time(records, ours, theirs, _faster)


def takes_at_most(records: Sequence[Ok], ours: str, theirs: str, times: float) -> Verdict:
    """One model takes at most so many times as long as another, in all settings in which they took turns."""
    return _compared_in_time(records, ours, theirs, lambda _, __, ratio: beyond(ratio, times, higher=False))


def keeps(records: Sequence[Ok], ours: str, theirs: str, task: str, share: float) -> Verdict:
    """With the same weights, one cell has more than a share of another's value that ranks the task, on the most images
    over which both are known. For values that are better the higher.
    """
    sides = Accuracy(ours, task), Accuracy(theirs, task)
    pairs = _pairs(records, *sides, lambda record: (*_outputs(record), record.cell.weights_hash))
    parts = [_keeps(images, one, other, task, share) for images, [one], [other] in pairs]
    return every(parts) if parts else _not_on_the_same(records, ours, theirs)


def gains_more(records: Sequence[Ok], ours: str, theirs: str, task: str, than: str) -> Verdict:
    """One model's lead over another in what ranks a task is greater than its lead in another task of the same output.

    Both leads are of the same images; that they vary together is not counted on, so that the interval of their
    difference is too wide rather than too narrow (MOVER: Zou and Donner 2008, Statistics in Medicine 27:10).
    """
    parts = []
    scored = [record for record in records if task in record.scores and than in record.scores]
    first, second = ([record for record in scored if record.cell.label == name] for name in (ours, theirs))
    for one, other in ((one, other) for one in first for other in second if _outputs(one) == _outputs(other)):
        leads = [accuracy_difference(one, other, each) for each in (task, than)]
        if None not in leads:
            found = difference_of_leads(*leads)
            said = [f"{each}: {with_interval(lead, '%')}" for each, lead in zip((task, than), leads, strict=True)]
            figures = f"{ours} - {theirs}, points of what ranks: {', '.join(said)}; {with_interval(found, '%')} more"
            images = min(one.images, other.images)
            parts.append(Verdict(beyond(found, 0.0), f"{figures} ({_where(one, images)})"))
    return every(parts) if parts else _not_on_the_same(records, ours, theirs)


def difference_of_leads(one: Interval, other: Interval) -> Interval:
    """One - other, as if they varied independently (as gains_more says)."""
    value = one.value - other.value
    low = value - math.hypot(one.value - one.low, other.high - other.value)
    high = value + math.hypot(one.high - one.value, other.value - other.low)
    return Interval(value=value, low=low, high=high)


def _outputs(record: Ok) -> tuple[object, ...]:
    """What accuracies must share, beside the images."""
    return (record.cell.dataset_hash, record.cell.device, record.cell.precision)


def _conditions(record: Ok) -> tuple[object, ...]:
    """What times must share, beside the turns."""
    return (*_outputs(record), record.cell.batch_size, record.cell.threads)


def _pairs(
    records: Sequence[Ok], ours: Accuracy, theirs: Accuracy, key: Callable[[Ok], object]
) -> Iterator[tuple[int, list[Ok], list[Ok]]]:
    """Of each key that both models have: the most images over which both are known, and their records over these, of
    each weights the latest.
    """
    sides = ours, theirs
    for shared in dict.fromkeys(map(key, records)):
        pair = [[one for one in records if side.is_of(one) and key(one) == shared] for side in sides]
        known = [{n for one in found for n in side.images(one)} for side, found in zip(sides, pair, strict=True)]
        if common := known[0] & known[1]:
            yield max(common), *(_trainings(found, side, max(common)) for side, found in zip(sides, pair, strict=True))


def _trainings(records: Iterable[Ok], side: Accuracy, images: int) -> list[Ok]:
    """Those that are known over so many images, of each weights the latest."""
    known = [record for record in records if images in side.images(record)]
    return list({one.cell.weights_hash: one for one in sorted(known, key=lambda one: one.started)}.values())


def _better(images: int, ours: list[Ok], theirs: list[Ok], first: Accuracy, second: Accuracy) -> Verdict:
    pair = ((ours, first), (theirs, second))
    names, where = f"{first.model} - {second.model}", _where(ours[0], images)
    kinds = {short_name(side.key(record)) for found, side in pair for record in found}
    values = [[value_over(record, side.task, images, side.value) for record in found] for found, side in pair]
    found = difference_of_means(*values) if len(kinds) == 1 else None
    if found is None:
        before = 9 if first.value or second.value else 7
        why = f"{names} ({where}): no resamples of the images in records of before schema {before}"
        return Verdict(Status.NOT_MEASURED, why)
    key = first.key(ours[0])
    declared = ours[0].scores[first.task].values[key]
    unit = "points" if declared.unit == "%" else declared.unit
    value = heading(f"{short_name(key)} {with_interval(found, declared.unit)}", unit)
    trainings = f"{len(ours)} and {len(theirs)} trainings, Student's t"
    if len(ours) == len(theirs) == 1:
        trainings = "one training each, whose chance is not in the interval"
    figures = f"{names}: {value} ({where}, paired bootstrap, {trainings})"
    return Verdict(beyond(found, 0.0, declared.higher_is_better), figures)


def _keeps(images: int, ours: Ok, theirs: Ok, task: str, share: float) -> Verdict:
    cell = ours.cell
    first, second = (ranking_value(record, task, images) for record in (ours, theirs))
    whose = f"of the {short_name(ours.scores[task].primary)} of {theirs.cell.label}"
    where = _where(ours, images)
    if first is None or second is None or not (second.value and first.resampled and second.resampled):
        why = f"what {cell.label} has {whose} ({where}): undefined, or of records of before schema 7, without resamples"
        return Verdict(Status.NOT_MEASURED, why)
    resampled = [np.array(one.resampled, np.float64) for one in (first, second)]  # NaN for None
    with np.errstate(divide="ignore", invalid="ignore"):
        ratios = resampled[0] / resampled[1]
    found = interval(first.value / second.value, np.where(np.isfinite(ratios), ratios, np.nan))
    figures = f"{cell.label} has {with_interval(found, '%')} % {whose} ({where}, paired bootstrap, the same weights)"
    return Verdict(beyond(found, share, higher=True), figures)


def _where(record: Ok, images: int) -> str:
    cell = record.cell
    return f"{DatasetRef.parse(cell.dataset).label}, {images:,} images, {cell.device}, {cell.precision}"


def beyond(found: Interval | Estimate, neutral: float, higher: bool = True) -> Status:
    """Held where all of the interval lies above the neutral value; below it, if the lower is the better."""
    if found.low <= neutral <= found.high:
        return Status.CANNOT_TELL
    return Status.HELD if (found.low > neutral) == higher else Status.NOT_HELD


def _compared_in_time(
    records: Sequence[Ok], ours: str, theirs: str, status: Callable[[Ok, Ok, Interval], Status]
) -> Verdict:
    """status: of a pair, given how many times as long the first takes."""
    first, second = ([record for record in records if record.cell.label == name] for name in (ours, theirs))
    pairs = [(one, other) for one in first for other in second if _conditions(one) == _conditions(other)]
    if not pairs:
        return _not_on_the_same(records, ours, theirs)
    timed = [(one, other, ratio) for one, other in pairs if (ratio := latency_ratio(one, other))]
    if not timed:
        return Verdict(Status.NOT_MEASURED, f"{ours} and {theirs} took no turns together")
    return every(Verdict(status(*pair), _time_figures(*pair)) for pair in timed)


def _faster(ours: Ok, theirs: Ok, ratio: Interval) -> Status:
    if is_faster(ours, theirs):
        return Status.HELD
    return Status.NOT_HELD if is_faster(theirs, ours) else Status.CANNOT_TELL


def _time_figures(ours: Ok, theirs: Ok, ratio: Interval) -> str:
    cell, floor = ours.cell, noise_floor(ours.latency.turns)
    turns = min(len(record.latency.turns.medians) for record in (ours, theirs))
    known = "" if floor is None else f", noise floor {100 * floor:.1f} %"
    where = f"{DatasetRef.parse(cell.dataset).label}, {cell.device}, {cell.precision}, batch {cell.batch_size}"
    return (
        f"{cell.label} takes {with_interval(ratio)} times as long as {theirs.cell.label} ({where}, {cell.threads} "
        f"thread{'s' * (cell.threads != 1)}, paired over {turns} turns{known})"
    )


def _not_on_the_same(records: Sequence[Ok], *models: str) -> Verdict:
    measured = {record.cell.label for record in records}
    if missing := [model for model in models if model not in measured]:
        return Verdict(Status.NOT_MEASURED, f"no record of {' and '.join(missing)}")
    return Verdict(Status.NOT_MEASURED, f"{' and '.join(models)} were not measured alike on the same images")
