"""Records as rows to compare: one per cell that ran and task that it was scored under.

Accuracies are compared only at an equal number of images, speeds only on the same machine with the same settings; so a
row's Pareto front is taken among the rows that share all of these.
"""

import math
import re
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import NamedTuple, Self

from roibench.datasets.reference import DatasetRef
from roibench.measure.record import Interval, Record, Stage

DOUBTFUL = "(!)"  # beside a model whose predictions are doubtful


class Setting(NamedTuple):
    """What must be equal for a comparison to mean something."""

    images: int
    device: str
    precision: str
    batch_size: int
    threads: int
    machine: str

    @property
    def parts(self) -> tuple[str, ...]:
        """Each field in words, in the order of the fields."""
        images = f"{self.images:,} image{'s' * (self.images != 1)}"
        threads = f"{self.threads} thread{'s' * (self.threads != 1)}"
        return (images, self.device, self.precision, f"batch {self.batch_size}", threads, self.machine)


@dataclass(frozen=True)
class Row:
    """One cell under one task. score: the primary metric, None where the data leave it undefined; scores: all of them,
    in the unit interval. p50, p90, p99: milliseconds per image. throughput: images/s. memory: MiB at the peak. gflops:
    per image. parameters: millions. explains: the model that this one explains, if any; passes: what that costs, in
    predictions of that one. warnings: what is doubtful about the predictions that were scored. on_pareto_front: no row
    of the same setting is as accurate and faster, or as fast and more accurate.
    """

    cell_id: str
    model: str
    family: str
    setting: Setting
    primary: str
    score: Interval | None
    scores: dict[str, Interval]
    p50: Interval
    p90: float
    p99: float
    throughput: float
    memory: float | None
    gflops: float | None
    parameters: float | None
    explains: str | None
    passes: float | None
    warnings: tuple[str, ...]
    on_pareto_front: bool


@dataclass(frozen=True)
class Table:
    """The rows of one dataset and task: most images first, then by score, best first."""

    dataset: str
    dataset_hash: str
    task: str
    primary: str
    rows: tuple[Row, ...]

    @property
    def title(self) -> str:
        return f"{self.task.replace('_', ' ')} on {self.dataset}"

    @property
    def others(self) -> tuple[str, ...]:
        """Names of the scores beside the primary one, in their metric's order."""
        return tuple(dict.fromkeys(name for row in self.rows for name in row.scores if name != self.primary))

    @property
    def shown(self) -> tuple[str, ...]:
        """Those of the others that belong into a table: the task's choice, else the first two."""
        chosen = {"attribution": ("energy", "insertion", "deletion", "MaxBoxAccV2", "randomization")}.get(self.task)
        return tuple(name for name in chosen if name in self.others) if chosen else self.others[:2]

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
        return ", ".join(column[0] for column in self._columns if len(set(column)) == 1)

    def own(self, setting: Setting) -> str:
        """What tells this setting from the table's others, in words: belongs beside the row."""
        differing = [len(set(column)) > 1 for column in self._columns]
        return ", ".join(part for part, differs in zip(setting.parts, differing, strict=True) if differs)

    @property
    def _columns(self) -> list[tuple[str, ...]]:
        return list(zip(*(setting.parts for setting in self.settings), strict=True))


@dataclass(frozen=True)
class Cell:
    """What a cell that ran did with its time, whatever it was scored under."""

    model: str
    dataset: str
    setting: Setting
    p50: Interval
    stages: tuple[Stage, ...]


@dataclass(frozen=True)
class Remark:
    """What is to be said of one cell beside its numbers, in one line."""

    cell_id: str
    model: str
    dataset: str
    text: str


def tables(records: Sequence[Record]) -> list[Table]:
    """Every dataset and task that a cell was scored under, in the order of the records."""
    groups: dict[tuple[str, str, str], list[Row]] = {}
    for record in records:
        if record.status == "ok":
            for task in record.scores:
                key = (_dataset(record), record.cell.dataset_hash, task)
                groups.setdefault(key, []).append(_row(record, task))
    return [Table(*key, rows[0].primary, _ranked(rows)) for key, rows in groups.items()]


def cells(records: Sequence[Record]) -> list[Cell]:
    """The cells that ran and told their stages, fastest first."""
    ran = [record for record in records if record.status == "ok" and record.stages]
    found = [
        Cell(
            record.cell.model,
            _dataset(record),
            _setting(record),
            record.latency.p50,
            tuple(record.stages),
        )
        for record in ran
    ]
    return sorted(found, key=lambda cell: cell.p50.value)


def failures(records: Sequence[Record]) -> list[Remark]:
    """The cells that failed, each with its error, in the order of the records."""
    return [_remark(record, _one_line(record.error)) for record in records if record.status == "failed"]


def interferences(records: Sequence[Record]) -> list[Remark]:
    """The cells whose times were taken on a machine that wasn't quiet, each with what disturbed it."""
    noisy = [record for record in records if record.interference and record.interference.warnings]
    return [_remark(record, "; ".join(record.interference.warnings)) for record in noisy]


def doubts(records: Sequence[Record]) -> list[Remark]:
    """The cells whose predictions are doubtful, each with why, in the order of the records."""
    found = []
    for record in records:
        warnings = dict.fromkeys(warning for score in record.scores.values() for warning in score.warnings)
        if warnings:
            found.append(_remark(record, "; ".join(warnings)))
    return found


def _remark(record: Record, text: str) -> Remark:
    return Remark(record.cell_id, record.cell.model, _dataset(record), text)


def _row(record: Record, task: str) -> Row:
    score, latency, cost = record.scores[task], record.latency, record.cost
    return Row(
        cell_id=record.cell_id,
        model=record.cell.model,
        family=record.family or "",
        setting=_setting(record),
        primary=score.primary,
        score=score.values.get(score.primary),
        scores=score.values,
        p50=latency.p50,
        p90=latency.p90,
        p99=latency.p99,
        throughput=latency.throughput,
        memory=record.memory.peak if record.memory else None,
        gflops=cost.flops / 1e9 if cost and cost.flops is not None else None,
        parameters=cost.parameters / 1e6 if cost and cost.parameters is not None else None,
        explains=record.explains,
        passes=cost.passes if cost else None,
        warnings=score.warnings,
        on_pareto_front=False,
    )


def _setting(record: Record) -> Setting:
    cell, machine = record.cell, record.provenance
    processor = re.sub(r"\((R|TM)\)", "", machine.cpu)
    if machine.gpu and cell.device != "cpu":
        processor = f"{machine.gpu} with {processor}"
    return Setting(record.images, cell.device, cell.precision, cell.batch_size, cell.threads, processor)


def _dataset(record: Record) -> str:
    return DatasetRef.parse(record.cell.dataset).label


def _one_line(error: str | None) -> str:
    """The line that says what went wrong: of a traceback, the last one."""
    lines = (error or "").strip().splitlines() or ["no error was recorded"]
    return lines[-1 if lines[0].startswith("Traceback") else 0].strip()


def _ranked(rows: list[Row]) -> tuple[Row, ...]:
    rows = [replace(row, on_pareto_front=_on_pareto_front(row, rows)) for row in rows]
    return tuple(sorted(rows, key=lambda row: (-row.setting.images, -_accuracy(row), row.p50.value)))


def _on_pareto_front(row: Row, rows: list[Row]) -> bool:
    rivals = [rival for rival in rows if rival.setting == row.setting]
    return row.score is not None and not any(_beats(rival, row) for rival in rivals)


def _beats(rival: Row, row: Row) -> bool:
    theirs, ours = (_accuracy(rival), -rival.p50.value), (_accuracy(row), -row.p50.value)
    return theirs != ours and all(their >= our for their, our in zip(theirs, ours, strict=True))


def _accuracy(row: Row) -> float:
    return -math.inf if row.score is None else row.score.value
