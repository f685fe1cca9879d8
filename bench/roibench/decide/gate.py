"""Is what is here worse than a base, by more than is allowed and beyond the noise? Both are measured in turns."""

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from enum import StrEnum
from pathlib import Path
from typing import Any

from roibench.decide.changes import Accuracy, CellChange, Change, Verdict, changes
from roibench.decide.data import Data
from roibench.decide.environment import Environment
from roibench.decide.record_sets import RecordSet
from roibench.decide.sides import Measured, SideError, Tell, measure_sides
from roibench.files import writing
from roibench.measure.record import Interval

HERE = Environment(name="here", version="the working tree", folder=None)


class Ruling(StrEnum):
    """In the order in which they decide the whole: one that is worse is enough."""

    WORSE = "worse"
    CANNOT_TELL = "can't be told"
    FINE = "fine"


EXIT_CODES = {Ruling.FINE: 0, Ruling.WORSE: 1, Ruling.CANNOT_TELL: 2}


@dataclass(frozen=True)
class Limits:
    """How much worse is allowed; None: whatever it is. accuracy: in the unit of what ranks, 1 being a point of a per
    cent. latency: a share.
    """

    accuracy: float | None
    latency: float | None


class Ruled(Data):
    """A change against its limit. what: time, or the task. loss: by how much it is worse, in the limit's unit: of what
    ranks, or a share of the time.
    """

    base: str
    model: str
    dataset: str
    setting: str
    what: str
    value: str
    unit: str
    old: float | None
    new: float | None
    loss: Interval | None
    limit: float
    noise_floor: float | None
    count: int
    ruling: Ruling
    note: str


class Gated(Data):
    """errors: of cells that failed, by side and cell. alone: cells that a side alone has. left_out: cells, and why.
    folder: where the records of each side lie.
    """

    here: str
    bases: tuple[str, ...]
    ruled: tuple[Ruled, ...]
    errors: dict[str, dict[str, str]]
    alone: dict[str, list[str]]
    left_out: list[str]
    folder: str

    @property
    def ruling(self) -> Ruling:
        """A cell that fails here and not in a base is worse; of one that fails in a base nothing can be told, as where
        nothing was compared.
        """
        found = {one.ruling for one in self.ruled}
        if self.errors.get(HERE.name):
            found.add(Ruling.WORSE)
        if any(self.errors.values()) or not self.ruled:
            found.add(Ruling.CANNOT_TELL)
        return next(one for one in Ruling if one in found)

    @property
    def exit_code(self) -> int:
        return EXIT_CODES[self.ruling]


def parse_limits(typed: str) -> Limits:
    """`accuracy:-1,latency:+10%`. Raises ValueError."""
    found: dict[str, float] = {}
    for one in filter(None, map(str.strip, typed.split(","))):
        if match := re.fullmatch(r"accuracy:-(\d+(?:\.\d+)?)", one):
            found["accuracy"] = float(match[1])
        elif match := re.fullmatch(r"latency:\+(\d+(?:\.\d+)?)%", one):
            found["latency"] = float(match[1]) / 100
        else:
            raise ValueError(f"--fail-if {one!r}: want accuracy:-POINTS, latency:+PERCENT%, or both with a comma")
    if not found:
        raise ValueError("--fail-if: want accuracy:-POINTS, latency:+PERCENT%, or both with a comma")
    return Limits(found.get("accuracy"), found.get("latency"))


def gate(
    bases: Sequence[Environment],
    limits: Limits,
    typed: Mapping[str, Any],
    out: Path,
    tell: Tell,
    here: Environment = HERE,
) -> Gated:
    """Measures what is here and the bases in turns, and rules. typed: a run's options, by flag.

    Raises SideError where a side can't plan what was asked for.
    """
    folder = out / f"gate-{datetime.now(UTC):%Y%m%d-%H%M%S}"
    with writing(folder):
        folder.mkdir(parents=True)
    try:
        found = measure_sides([here, *bases], typed, folder, tell)
    except SideError:
        _remove_empty(folder)
        raise
    return Gated(
        here=here.version,
        bases=tuple(f"{base.name} ({base.version[:10]})" for base in bases),
        ruled=tuple(one for base in bases for one in _ruled(base, here, found, limits)),
        errors={name: errors for name, errors in found.errors.items() if errors},
        alone={name: cells for name, cells in found.alone.items() if cells},
        left_out=found.left_out,
        folder=str(folder),
    )


def _remove_empty(folder: Path) -> None:
    """What planning has left: nothing was measured."""
    for path in sorted(folder.rglob("*"), reverse=True):
        path.rmdir() if path.is_dir() else path.unlink()
    folder.rmdir()


def _ruled(base: Environment, here: Environment, found: Measured, limits: Limits) -> Iterator[Ruled]:
    old, new = (RecordSet(side.name, {"": tuple(found.records[side.name])}, None) for side in (base, here))
    if not old.records:
        return
    for cell in changes(old, new).cells:
        if limits.accuracy is not None:
            for accuracy in cell.accuracies:
                yield _accuracy(base, cell, accuracy, limits.accuracy)
        if limits.latency is not None:
            yield _time(base, cell, limits.latency)


def _about(base: Environment, cell: CellChange, change: Change) -> dict[str, Any]:
    where = {"base": base.name, "model": cell.model, "dataset": cell.dataset, "setting": cell.setting}
    return where | {"old": change.old, "new": change.new, "count": change.count, "note": change.note}


def _accuracy(base: Environment, cell: CellChange, one: Accuracy, limit: float) -> Ruled:
    limit = limit / 100 if one.unit == "%" else limit
    loss = one.change
    if loss is not None and one.higher_is_better:
        loss = Interval(value=-loss.value, low=-loss.high, high=-loss.low)
    about = _about(base, cell, one) | {"what": one.task, "value": one.value, "unit": one.unit, "noise_floor": None}
    ruling = Ruling.FINE if one.verdict is Verdict.EQUAL else rule(loss, limit)
    return Ruled(**about, loss=loss, limit=limit, ruling=ruling)


def _time(base: Environment, cell: CellChange, limit: float) -> Ruled:
    ratio = cell.time.change
    loss = ratio and Interval(value=ratio.value - 1, low=ratio.low - 1, high=ratio.high - 1)
    about = _about(base, cell, cell.time) | {"what": "time", "value": "p50", "unit": "ms"}
    floor = cell.time.noise_floor
    return Ruled(**about, noise_floor=floor, loss=loss, limit=limit, ruling=rule(loss, limit, floor or 0.0))


def rule(loss: Interval | None, limit: float, noise_floor: float = 0.0) -> Ruling:
    """Worse: the estimate is beyond the limit, and the loss is real: its interval leaves 0 out, and it is beyond the
    noise floor. Fine: all of the interval keeps the limit. Else it can't be told.
    """
    if loss is None:
        return Ruling.CANNOT_TELL
    if loss.value > limit and loss.low > 0 and loss.value > noise_floor:
        return Ruling.WORSE
    return Ruling.FINE if loss.high <= limit else Ruling.CANNOT_TELL
