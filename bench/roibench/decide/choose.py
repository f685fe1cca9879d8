"""Which model to take: the most accurate one that keeps limits beyond doubt, the runner-up, and what each gives up."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum

from roibench.datasets.reference import DatasetRef
from roibench.decide.data import Data
from roibench.measure.pairs import (
    difference_of_means,
    is_faster,
    known_images,
    latency_ratio,
    noise_floor,
    unpaired_ratio,
    value_over,
)
from roibench.measure.record import Interval, Ok, ScoreValue
from roibench.measure.setting import Setting, machine_of, own_parts, shared_parts
from roibench.registry import unknown


class Status(StrEnum):
    """Of a limit: kept by the whole interval, by none of it, or by a part of it."""

    KEPT = "keeps"
    BROKEN = "breaks"
    CANNOT_TELL = "can't be told"


class Check(Data):
    """A value against a limit. what: p50 ms, memory MiB, or METRIC/VALUE. found: None where it isn't known.

    more: how many more turns or images would decide, if the value stays what it is; None where none would, or needn't.
    """

    what: str
    unit: str
    limit: float
    found: Interval | None
    status: Status
    more: int | None = None


class Candidate(Data):
    """A cell. own: what of its setting tells it from the others, but for the images. accuracy: over all its images."""

    cell: str
    model: str
    own: str
    images: int
    accuracy: Interval | None
    p50: Interval
    memory: float | None
    checks: tuple[Check, ...]

    @property
    def name(self) -> str:
        return f"{self.model}, {self.own}" if self.own else self.model

    @property
    def status(self) -> Status:
        found = {check.status for check in self.checks}
        return next((one for one in (Status.BROKEN, Status.CANNOT_TELL) if one in found), Status.KEPT)


class Gap(Data):
    """Another candidate against the pick.

    accuracy: of what ranks, the pick's - the other's, over so many images; None where they can't be paired.
    time: how many times as long the pick takes; paired: by the turns that both took together.
    more_images, more_turns: that would decide, if the difference stays what it is; None where it is decided, or where
        they don't differ at all.
    """

    other: Candidate
    images: int
    accuracy: Interval | None
    accuracy_told: bool
    more_images: int | None
    time: Interval | None
    paired: bool
    time_told: bool
    more_turns: int | None


class Choice(Data):
    """The pick and the gaps between it and those that keep the limits, too: the first is the runner-up.

    images: over so many first ones accuracies are compared.
    undecided: those of which it can't be told whether they keep the limits. broken: those that don't. apart: those of
        too few images to be compared.
    """

    dataset: str
    task: str
    value: str
    unit: str
    higher_is_better: bool
    setting: str
    images: int
    noise_floor: float | None
    pick: Candidate | None
    gaps: tuple[Gap, ...]
    undecided: tuple[Candidate, ...]
    broken: tuple[Candidate, ...]
    apart: tuple[Candidate, ...]

    @property
    def runner_up(self) -> Gap | None:
        return self.gaps[0] if self.gaps else None


@dataclass(frozen=True)
class Limits:
    """least: by a value's name, VALUE or METRIC/VALUE, in its unit: 40 is 40 % of a fraction."""

    max_ms: float | None = None
    max_mib: float | None = None
    least: Mapping[str, float] = field(default_factory=dict)


def choose(records: Sequence[Ok], limits: Limits, dataset: str | None = None, task: str | None = None) -> Choice:
    """Raises ValueError where the records are of several datasets, tasks or machines and none was named, of different
    data under one name, or lack a value that has a limit.
    """
    found, task = _selected(records, dataset, task)
    settings = [_setting(record) for record in found]
    candidates = {id(record): _candidate(record, task, limits, settings) for record in found}
    by_status = {status: [one for one in found if candidates[id(one)].status is status] for status in Status}
    keeping = [one for one in by_status[Status.KEPT] if one.scores[task].primary in one.scores[task].values]
    images = _common_images(keeping or found, task)
    compared = [one for one in keeping if images in known_images(one, task)]
    score = next((one.scores[task] for one in found if one.scores[task].primary in one.scores[task].values), None)
    if score is None:
        raise ValueError(f"{task.replace('_', ' ')}: no record has a value of what ranks")
    declared = score.values[score.primary]

    def goodness(record: Ok) -> tuple[float, float]:
        value = value_over(record, task, images).value
        return value if declared.higher_is_better else -value, -record.latency.p50.value

    ranked = sorted(compared, key=goodness, reverse=True)
    return Choice(
        dataset=DatasetRef.parse(found[0].cell.dataset).label,
        task=task,
        value=score.primary,
        unit=declared.unit,
        higher_is_better=declared.higher_is_better,
        setting=shared_parts(settings).partition(", ")[2],
        images=images,
        noise_floor=max((floor for one in found if (floor := noise_floor(one.latency.turns))), default=None),
        pick=candidates[id(ranked[0])] if ranked else None,
        gaps=tuple(_gap(ranked[0], other, candidates[id(other)], task, images) for other in ranked[1:]),
        undecided=tuple(candidates[id(one)] for one in by_status[Status.CANNOT_TELL]),
        broken=tuple(candidates[id(one)] for one in by_status[Status.BROKEN]),
        apart=tuple(candidates[id(one)] for one in by_status[Status.KEPT] if one not in compared),
    )


def _selected(records: Sequence[Ok], dataset: str | None, task: str | None) -> tuple[list[Ok], str]:
    """The records of one dataset, and the task of it."""
    there = {(DatasetRef.parse(record.cell.dataset).label, one): None for record in records for one in record.scores}
    chosen = [
        (label, one)
        for label, one in there
        if dataset in (None, label, DatasetRef.parse(label).name) and task in (None, one)
    ]
    known = ", ".join(f"{one} on {label}" for label, one in there)
    if not chosen:
        asked = f"{task or 'any task'} on {dataset or 'any dataset'}"
        raise ValueError(f"no record of {asked}; there are: {known}")
    if len(chosen) > 1:
        raise ValueError(f"records of several tasks or datasets, name one by --task and --dataset: {known}")
    [(label, task)] = chosen
    found = [one for one in records if DatasetRef.parse(one.cell.dataset).label == label and task in one.scores]
    if len(data := sorted({record.cell.dataset_hash[:8] for record in found})) > 1:
        raise ValueError(
            f"records of different data, all called {label} ({', '.join(data)}): choose among those of one"
        )
    if len(machines := sorted(set(map(machine_of, found)))) > 1:
        raise ValueError(f"records of several machines ({'; '.join(machines)}): choose among those of one")
    if len(kinds := sorted({record.scores[task].primary for record in found})) > 1:
        raise ValueError(f"records that are ranked by different values: {', '.join(kinds)}")
    return found, task


def _candidate(record: Ok, task: str, limits: Limits, settings: Sequence[Setting]) -> Candidate:
    score = record.scores[task]
    memory = record.memory.taken if record.latency.turns else None
    checks = []
    if limits.max_ms is not None:
        checks.append(_time_check(record, limits.max_ms))
    if limits.max_mib is not None:
        found = None if memory is None else Interval(value=memory, low=memory, high=memory)
        checks.append(_check("memory MiB", "", limits.max_mib, found, least=False))
    checks += [_accuracy_check(record, task, name, least) for name, least in limits.least.items()]
    return Candidate(
        cell=record.cell_id,
        model=record.cell.label,
        own=own_parts(_setting(record), settings),
        images=record.images,
        accuracy=score.values.get(score.primary) and _plain(score.values[score.primary]),
        p50=record.latency.p50,
        memory=memory,
        checks=tuple(checks),
    )


def _setting(record: Ok) -> Setting:
    """But for the images: candidates of several numbers are compared over the same ones."""
    return Setting.of(record)._replace(images=0)


def _plain(value: ScoreValue) -> Interval:
    return Interval(value=value.value, low=value.low, high=value.high)


def _check(what: str, unit: str, limit: float, found: Interval | None, least: bool, more: int | None = None) -> Check:
    """least: the limit is the lowest that keeps; else the highest."""
    if found is None:
        status = Status.CANNOT_TELL
    elif (found.low >= limit) if least else (found.high <= limit):
        status = Status.KEPT
    elif (found.high < limit) if least else (found.low > limit):
        status = Status.BROKEN
    else:
        status = Status.CANNOT_TELL
    kept = more if status is Status.CANNOT_TELL else None
    return Check(what=what, unit=unit, limit=limit, found=found, status=status, more=kept)


def _time_check(record: Ok, limit: float) -> Check:
    p50, turns = record.latency.p50, record.latency.turns
    logs = Interval(value=math.log(p50.value), low=math.log(p50.low), high=math.log(p50.high))
    more = _more(logs, math.log(limit), len(turns.medians)) if turns else None
    return _check("p50 ms", "", limit, p50, least=False, more=more)


def _accuracy_check(record: Ok, task: str, name: str, least: float) -> Check:
    values = record.scores[task].values
    key = next((key for key in values if name in (key, key.partition("/")[2])), None)
    if key is None:
        known = [key.partition("/")[2] for key in values]
        raise ValueError(f"--min {name}: {record.cell.label}: {unknown('value', name, known)}")
    if not values[key].higher_is_better:
        raise ValueError(f"--min {name}: it is better the lower, and no least value of it can be asked for")
    found = _plain(values[key])
    limit = least / 100 if values[key].unit == "%" else least
    return _check(key, values[key].unit, limit, found, least=True, more=_more(found, limit, record.images))


def _common_images(records: Sequence[Ok], task: str) -> int:
    """The number of first images over which the most of them are known; of several the largest."""
    known = [images for record in records for images in known_images(record, task)]
    return max(set(known), key=lambda images: (known.count(images), images))


def _gap(pick: Ok, other: Ok, candidate: Candidate, task: str, images: int) -> Gap:
    values = [value_over(record, task, images) for record in (pick, other)]
    accuracy = difference_of_means(*([value] for value in values))
    told = accuracy is not None and not accuracy.low <= 0 <= accuracy.high
    time, paired = latency_ratio(pick, other), True
    if time is None:
        time, paired = unpaired_ratio(pick, other), False
    time_told = is_faster(pick, other) or is_faster(other, pick)
    return Gap(
        other=candidate,
        images=images,
        accuracy=accuracy,
        accuracy_told=told,
        more_images=None if told or accuracy is None else _more(accuracy, 0.0, images),
        time=time,
        paired=paired,
        time_told=time_told,
        more_turns=None if time_told or time is None else _more_turns(pick, other, time),
    )


def _more_turns(pick: Ok, other: Ok, ratio: Interval) -> int | None:
    """Until the ratio's interval leaves out 1, and the noise floor, which also falls with the turns, lies below it."""
    turns = min(len(record.latency.turns.medians) for record in (pick, other))
    logs = Interval(**{name: math.log(value) for name, value in ratio.model_dump().items()})
    floor = max(noise_floor(one.latency.turns) or 0.0 for one in (pick, other))
    reach = max(_reach(logs, 0.0), math.log1p(floor))
    return _more_of(turns, reach, abs(logs.value))


def _more(found: Interval, limit: float, count: int) -> int | None:
    """How many more images or turns it takes until the interval, which narrows by the root of their number, leaves the
    limit out: an estimate, for the value itself will move.
    """
    return _more_of(count, _reach(found, limit), abs(found.value - limit))


def _reach(found: Interval, limit: float) -> float:
    """How far the interval goes from the value towards the limit."""
    return found.value - found.low if found.value > limit else found.high - found.value


def _more_of(count: int, reach: float, distance: float) -> int | None:
    """None where the value lies at the limit, or so near that no number would do."""
    if distance <= 0 or reach / distance > 1000:
        return None
    needed = count * (reach / distance) ** 2
    digits = 10 ** max(0, int(math.log10(max(needed - count, 1))) - 1)  # two of them: it is an estimate
    return max(1, math.ceil((needed - count) / digits) * digits)


def parse_least(typed: Sequence[str]) -> Mapping[str, float]:
    """VALUE=NUMBER, each. Raises ValueError."""
    found = {}
    for one in typed:
        name, _, number = one.partition("=")
        try:
            found[name.strip()] = float(number)
        except ValueError:
            raise ValueError(f"--min {one}: want VALUE=NUMBER, such as AP=40") from None
    return found
