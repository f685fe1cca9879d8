"""Records as rows to compare: one per cell that ran and task that it was scored under.

Accuracies are compared only over the same images, speeds only on the same machine with the same settings; so a row's
Pareto front is taken among the rows that share these. Rows of different numbers of images are compared over the most
first images over which both accuracies are known.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from enum import StrEnum
from typing import Self

from roibench.datasets.reference import DatasetRef
from roibench.measure.pairs import is_better, is_faster, latency_ratio, lie_apart, noise_floor
from roibench.measure.record import Failed, Interval, Ok, Record, ScoreValue, Stage
from roibench.measure.setting import Setting, own_parts, shared_parts
from roibench.report.backends import backend_notes, lost_against_torch
from roibench.report.numbers import noise_floor_note, short_name, with_interval

DOUBTFUL = "(!)"  # beside a model whose predictions are doubtful
APART_NOTE = (
    "† not comparable, and on no Pareto front: on so few images that the accuracy of another row isn't known over "
    "the same ones."
)

UNSCORED_NOTES = {
    why: f"accuracy: {why}: {reason}; these models are measured for their speed alone."
    for why, reason in (
        ("random weights", "nobody trained them"),
        ("other classes", "by --class-map, none of theirs is the dataset's"),
    )
}


class Standing(StrEnum):
    """How a row stands among those of a setting like its own; what tables mark it with."""

    FRONT = "●"  # no other one is as good and faster, or as fast and better
    NEAR = "○"  # beaten, but none is both better and faster beyond doubt
    BEATEN = ""
    APART = "†"  # of so few images that the accuracy of another one isn't known over the same ones


@dataclass(frozen=True)
class Row:
    """One cell under one task.

    record: of the cell.
    task: its name.
    setting: what it was measured with.
    primary: METRIC/VALUE of what ranks.
    score: the value that ranks, None where it is undefined.
    lost: of a cell of another backend, how much it is worse than in torch (roibench.report.backends); else None.
    fastest: how many times as long it takes as the fastest row of a setting like its own, None where they took no turns
        together.
    standing: among the rows of a setting like its own.
    """

    record: Ok
    task: str
    setting: Setting
    primary: str
    score: ScoreValue | None
    lost: Interval | None = None
    fastest: Interval | None = None
    standing: Standing = Standing.BEATEN

    @property
    def model(self) -> str:
        """Its name, and what was set of its knobs."""
        return self.record.cell.label

    @property
    def scores(self) -> dict[str, ScoreValue]:
        """All values, by METRIC/VALUE."""
        return self.record.scores[self.task].values

    def accuracy(self, unit: str) -> str:
        """The value that ranks, as tables write it."""
        return self.record.unscored or with_interval(self.score, unit)

    @property
    def by_images(self) -> dict[int, float | None]:
        """What ranks, by the number of first images over which it is known."""
        score, whole = self.record.scores[self.task], {self.record.images: self.score and self.score.value}
        if self.primary != score.primary:
            return whole
        return whole | {images: prefix.value for images, prefix in score.prefixes.items()}

    @property
    def warnings(self) -> tuple[str, ...]:
        """What is doubtful about the predictions that were scored."""
        return self.record.scores[self.task].warnings

    @property
    def p50(self) -> Interval:
        """Milliseconds per image."""
        return self.record.latency.p50

    @property
    def memory(self) -> float | None:
        """MiB that the model and its predictions take; None where the record doesn't tell them from the process's, or
        from what another backend took to make it ready.
        """
        record = self.record
        return record.memory.taken if record.latency.turns and record.backend is None else None

    @property
    def energy(self) -> Interval | None:
        """Joules per image; None where nothing counted them."""
        return self.record.energy and self.record.energy.joules

    @property
    def gflops(self) -> float | None:
        """Per image."""
        flops = self.record.cost.flops
        return None if flops is None else flops / 1e9

    @property
    def parameters(self) -> float | None:
        """Millions."""
        count = self.record.cost.parameters
        return None if count is None else count / 1e6

    @property
    def passes(self) -> float | None:
        """Of a model around another one, what it costs in predictions of the one inside."""
        return self.record.cost.passes

    @property
    def noise_floor(self) -> float | None:
        """Of its run: a share; no smaller difference in time is one."""
        return noise_floor(self.record.latency.turns)


@dataclass(frozen=True)
class Table:
    """The rows of one dataset and task.

    dataset: as typed, without the folders above.
    dataset_hash: its samples', hex.
    task: its name.
    primary: METRIC/VALUE of what ranks.
    rows: most images first, then by score, best first.
    """

    dataset: str
    dataset_hash: str
    task: str
    primary: str
    rows: tuple[Row, ...]

    @property
    def title(self) -> str:
        return f"{self.task.replace('_', ' ')} on {self.dataset}"

    @property
    def compares_backends(self) -> bool:
        """Whether a row says what its backend loses against torch."""
        return any(row.lost is not None for row in self.rows)

    @property
    def heading(self) -> str:
        """The title as it begins a line."""
        return self.title[0].upper() + self.title[1:]

    @property
    def values(self) -> dict[str, ScoreValue]:
        """Every value that a row has, by METRIC/VALUE, in their metrics' order: what was declared of it."""
        return {key: value for row in self.rows for key, value in row.scores.items()}

    @property
    def unit(self) -> str:
        """Of what ranks."""
        return self.values[self.primary].unit if self.primary in self.values else ""

    @property
    def shown(self) -> dict[str, ScoreValue]:
        """The values that belong into a table beside what ranks."""
        return {key: value for key, value in self.values.items() if value.shown and key != self.primary}

    def name(self, key: str) -> str:
        """A value's name, as short as it can be in this table."""
        return short_name(key, self.values)

    def by(self, name: str) -> Self:
        """The same rows, ranked by another score."""
        rows = [replace(row, primary=name, score=row.scores.get(name)) for row in self.rows]
        return replace(self, primary=name, rows=_ranked(rows))

    @property
    def settings(self) -> tuple[Setting, ...]:
        """Those that occur, in the order of the rows."""
        return tuple(dict.fromkeys(row.setting for row in self.rows))

    @property
    def shared(self) -> str:
        """What all rows have in common, in words: belongs into the title."""
        return shared_parts(self.settings)

    @property
    def noise_floor(self) -> float | None:
        """The largest of the rows' runs; None where none has one."""
        return max((row.noise_floor for row in self.rows if row.noise_floor is not None), default=None)

    @property
    def notes(self) -> list[str]:
        """What must be known to read the rows: belongs under the table."""
        apart = any(row.standing is Standing.APART for row in self.rows)
        unscored = [UNSCORED_NOTES[why] for why in dict.fromkeys(row.record.unscored for row in self.rows) if why]
        floor = self.noise_floor
        noise = [] if floor is None else [noise_floor_note(floor)]
        ran = backend_notes(row.record for row in self.rows)
        return [APART_NOTE] * apart + unscored + ran + self._counted() + noise

    def _counted(self) -> list[str]:
        """Who counted energy, if anybody did."""
        found = dict.fromkeys(name for row in self.rows if row.record.energy for name in row.record.energy.counters)
        return [f"J: joules by {', '.join(found)}, above what the chips take at rest."] if found else []

    def own(self, setting: Setting) -> str:
        """What tells this setting from the table's others, in words: belongs beside the row."""
        return own_parts(setting, self.settings)

    def label(self, row: Row) -> str:
        """A row's model, with what tells its setting from the table's others."""
        own = self.own(row.setting)
        return f"{row.model}, {own}" if own else row.model


@dataclass(frozen=True)
class Cell:
    """What a cell that ran did with its time, whatever it was scored under.

    model: its name, and what was set of its knobs.
    dataset: as typed, without the folders above.
    setting: what it was measured with.
    p50: milliseconds per image.
    stages: where the time went.
    """

    model: str
    dataset: str
    setting: Setting
    p50: Interval
    stages: tuple[Stage, ...]


@dataclass(frozen=True)
class Remark:
    """A remark on one cell.

    cell_id: which.
    model: its model, and what was set of that one's knobs.
    dataset: as typed, without the folders above.
    text: one line.
    """

    cell_id: str
    model: str
    dataset: str
    text: str


def tables(records: Sequence[Record]) -> list[Table]:
    """Every dataset and task that a cell was scored under, in the order of the records."""
    groups: dict[tuple[str, str, str], list[Row]] = {}
    for record in _ran(records):
        for task in record.scores:
            key = (_dataset(record), record.cell.dataset_hash, task)
            groups.setdefault(key, []).append(_row(record, task))
    return [Table(*key, rows[0].primary, _ranked(_against_torch(rows))) for key, rows in groups.items()]


def headings(found: Sequence[Table]) -> list[str]:
    """Of each table; of different data under one name, with the beginning of the data's hash."""
    names = [table.heading for table in found]
    return [
        f"{name} (data {table.dataset_hash[:8]})" if names.count(name) > 1 else name
        for name, table in zip(names, found, strict=True)
    ]


def cells(records: Sequence[Record]) -> list[Cell]:
    """The cells that ran and told their stages, fastest first."""
    found = [
        Cell(
            record.cell.label,
            _dataset(record),
            Setting.of(record),
            record.latency.p50,
            tuple(record.stages),
        )
        for record in _ran(records)
        if record.stages
    ]
    return sorted(found, key=lambda cell: cell.p50.value)


def failures(records: Sequence[Record]) -> list[Remark]:
    """The cells that failed, each with its error, in the order of the records."""
    return [_remark(record, _one_line(record.error)) for record in records if isinstance(record, Failed)]


def interferences(records: Sequence[Record]) -> list[Remark]:
    """The cells whose times were taken on a machine that wasn't quiet, each with what disturbed it."""
    noisy = [record for record in _ran(records) if record.interference and record.interference.warnings]
    return [_remark(record, "; ".join(record.interference.warnings)) for record in noisy]


def doubts(records: Sequence[Record]) -> list[Remark]:
    """The cells whose predictions are doubtful, each with why, in the order of the records."""
    found = []
    for record in _ran(records):
        warnings = dict.fromkeys(warning for score in record.scores.values() for warning in score.warnings)
        if warnings:
            found.append(_remark(record, "; ".join(warnings)))
    return found


def _ran(records: Sequence[Record]) -> list[Ok]:
    return [record for record in records if isinstance(record, Ok)]


def _remark(record: Record, text: str) -> Remark:
    return Remark(record.cell_id, record.cell.label, _dataset(record), text)


def _row(record: Ok, task: str) -> Row:
    score = record.scores[task]
    return Row(record, task, Setting.of(record), score.primary, score.values.get(score.primary))


def _dataset(record: Record) -> str:
    return DatasetRef.parse(record.cell.dataset).label


def _one_line(error: str) -> str:
    """The line that tells what went wrong: of a traceback, the last one."""
    lines = error.strip().splitlines()
    return lines[-1 if lines[0].startswith("Traceback") else 0].strip()


def _ranked(rows: list[Row]) -> tuple[Row, ...]:
    rows = [_placed(row, [rival for rival in rows if rival.setting.is_like(row.setting)]) for row in rows]
    return tuple(
        sorted(rows, key=lambda row: (-row.setting.images, -_goodness(row, row.setting.images), row.p50.value))
    )


def _placed(row: Row, rivals: list[Row]) -> Row:
    """rivals: the rows of a setting like its own, itself among them."""
    fastest = min(rivals, key=lambda rival: rival.p50.value)
    more = [rival for rival in rivals if rival.setting.images > row.setting.images]
    if any(_shared_images(rival, row) is None for rival in more):
        standing = Standing.APART
    elif row.score is None or any(_beats(rival, row) for rival in rivals):
        doubtless = row.score is None or any(_surely_beats(rival, row) for rival in rivals)
        standing = Standing.BEATEN if doubtless else Standing.NEAR
    else:
        standing = Standing.FRONT
    return replace(row, fastest=latency_ratio(row.record, fastest.record), standing=standing)


def _against_torch(rows: list[Row]) -> list[Row]:
    """Those of other backends with what they lose."""
    records = [row.record for row in rows]
    return [replace(row, lost=lost_against_torch(row.record, records, row.task)) for row in rows]


def _shared_images(one: Row, other: Row) -> int | None:
    """The most first images over which what ranks is known of both."""
    return max(one.by_images.keys() & other.by_images.keys(), default=None)


def _beats(rival: Row, row: Row) -> bool:
    images = _shared_images(rival, row)
    if images is None:
        return False
    theirs, ours = ((_goodness(one, images), -one.p50.value) for one in (rival, row))
    return theirs != ours and all(their >= our for their, our in zip(theirs, ours, strict=True))


def _surely_beats(rival: Row, row: Row) -> bool:
    """Both better and faster, each beyond doubt."""
    if not is_faster(rival.record, row.record):
        return False
    if row.primary == row.record.scores[row.task].primary:  # whose resamples the records hold
        return is_better(rival.record, row.record, row.task)
    same = rival.setting.images == row.setting.images
    return same and rival.score is not None and lie_apart(rival.score, row.score)


def _goodness(row: Row, images: int) -> float:
    """Over so many images that it is known over: higher is better, whatever the score's direction."""
    if row.score is None:
        return -math.inf
    value = row.by_images[images]
    return value if row.score.higher_is_better else -value
