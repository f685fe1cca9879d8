"""Versions of this project that take turns: each cell is alive in all of them, and in the first base twice (A/A)."""

import json
import os
import random
import subprocess
import sys
from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack, suppress
from dataclasses import dataclass, field
from multiprocessing import Pipe
from pathlib import Path
from time import monotonic
from typing import Any, Self
from uuid import uuid4

from roibench.decide import worker
from roibench.decide.environment import Environment
from roibench.files import write_atomically
from roibench.measure.journal import FILE
from roibench.measure.record import Ok, read_record
from roibench.measure.record_files import written_records
from roibench.measure.steady import log_ratio

_PLAN_TIMEOUT_S = 900.0

Tell = Callable[[str], None]
Key = tuple[object, ...]


class SideError(RuntimeError):
    """A side raised, hung or died; the message says which, and what."""


class Process:
    """A worker with an environment's packages; as a context, it ends when that does."""

    def __init__(self, side: Environment) -> None:
        self.side = side
        self._pipe, theirs = Pipe()
        path = [str(side.folder)] if side.folder else []
        surroundings = os.environ | {"PYTHONPATH": os.pathsep.join([*path, *_paths()])}
        command = [sys.executable, "-P", worker.__file__, str(theirs.fileno())]
        self._process = subprocess.Popen(
            command, env=surroundings, pass_fds=[theirs.fileno()], stdin=subprocess.DEVNULL
        )
        theirs.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._process.kill()
        self._process.wait()
        self._pipe.close()

    def begin(self, step: str, *arguments: object) -> None:
        with suppress(OSError):  # it has died: the answer tells of what
            self._pipe.send((step, arguments))

    def answer(self, timeout_s: float) -> Any:
        """Raises SideError."""
        try:
            if not self._pipe.poll(timeout_s):
                raise SideError(f"{self.side.name}: gave no answer within {timeout_s:g} s")
            kind, content = self._pipe.recv()
        except (EOFError, OSError):
            raise SideError(f"{self.side.name}: its process died ({self._process.wait()})") from None
        if kind == "error":
            raise SideError(f"{self.side.name}: {content}")
        return content

    def ask(self, timeout_s: float, step: str, *arguments: object) -> Any:
        self.begin(step, *arguments)
        return self.answer(timeout_s)


def _paths() -> list[str]:
    """What this process itself was told to import from."""
    return [path for path in os.environ.get("PYTHONPATH", "").split(os.pathsep) if path]


@dataclass
class Measured:
    """What came of it, by side's name: records, the cells that it alone has, and errors by cell. left_out: cells, and
    why.
    """

    records: dict[str, list[Ok]]
    alone: dict[str, list[str]] = field(default_factory=dict)
    errors: dict[str, dict[str, str]] = field(default_factory=dict)
    left_out: list[str] = field(default_factory=list)


def measure_sides(sides: Sequence[Environment], typed: Mapping[str, Any], folder: Path, tell: Tell) -> Measured:
    """The cells that all sides have, each in turns: one side is active at a time, in an order that is shuffled anew in
    every turn. The first side is what is judged, the second is alive twice.

    typed: a run's options, by flag. Records and predictions go to folder/SIDE, as those of runs; each cell's as soon as
    it is measured. Raises SideError where a side can't plan.
    """
    plans = {side.name: _plan(side, typed, folder) for side in sides}
    found = Measured({side.name: [] for side in sides}, errors={side.name: {} for side in sides})
    indices = {
        name: {tuple(cell["key"]): index for index, cell in enumerate(plan["cells"])} for name, plan in plans.items()
    }
    first = indices[sides[0].name]
    shared = [key for key in first if all(key in of_side for of_side in indices.values())]
    found.alone = {name: [_words(key) for key in of_side if key not in shared] for name, of_side in indices.items()}
    for number, key in enumerate(shared, 1):
        tell(f"cell {number} of {len(shared)}: {_words(key)}")
        timeout_s = max(plan["cells"][indices[name][key]]["timeout_s"] for name, plan in plans.items())
        places = {side.name: indices[side.name][key] for side in sides}
        max_ms = plans[sides[0].name]["max_ms"]
        for name, record in _Cell(sides, places, folder, timeout_s, max_ms).measure(found, _words(key)).items():
            found.records[name].append(record)
            write_atomically(folder / name_of_folder(name) / FILE, written_records(found.records[name]))
    return found


def name_of_folder(side: str) -> str:
    return "".join(one if one.isalnum() or one in "._-" else "-" for one in side)


def _plan(side: Environment, typed: Mapping[str, Any], folder: Path) -> dict[str, Any]:
    place = folder / name_of_folder(side.name)
    place.mkdir(parents=True, exist_ok=True)
    with Process(side) as process:
        return process.ask(_PLAN_TIMEOUT_S, "plan", dict(typed), str(_plan_file(place)))


def _plan_file(place: Path) -> Path:
    return place / "cells.pickle"


def _words(key: Key) -> str:
    label, dataset, device, precision, batch, threads = key
    return f"{label} on {dataset}, {device}, {precision}, batch {batch}, {threads} thread{'s' * (threads != 1)}"


class _Cell:
    """One cell, alive on all sides."""

    def __init__(
        self,
        sides: Sequence[Environment],
        places: Mapping[str, int],
        folder: Path,
        timeout_s: float,
        max_ms: float | None,
    ) -> None:
        self.sides, self.places, self.folder = sides, places, folder
        self.timeout_s, self.max_ms = timeout_s, max_ms

    def measure(self, found: Measured, what: str) -> dict[str, Ok]:
        """By side. {} where one fails, which is found's then."""
        with ExitStack() as alive:
            seats = [alive.enter_context(Process(side)) for side in (*self.sides, self.sides[1])]
            try:
                return self._in_turns(seats)
            except _TooSlowError as error:
                found.left_out.append(f"{what}: {error}")
            except SideError as error:
                name = next(seat.side.name for seat in seats if str(error).startswith(f"{seat.side.name}: "))
                found.errors[name][what] = str(error).removeprefix(f"{name}: ")
            return {}

    def _in_turns(self, seats: list[Process]) -> dict[str, Ok]:
        end = monotonic() + self.timeout_s

        def left() -> float:
            return max(0.0, end - monotonic())

        for seat in seats:
            place = self.folder / name_of_folder(seat.side.name)
            seat.begin("prepare", str(_plan_file(place)), self.places[seat.side.name], str(place))
        for seat in seats:
            seat.answer(left())
        paces = [seat.ask(left(), "warm_up") for seat in seats]
        if self.max_ms is not None and (fastest := 1000 * min(seconds for seconds, _ in paces)) > self.max_ms:
            raise _TooSlowError(f"takes {fastest:.3g} ms per image, above {self.max_ms:g}")
        images = min(count for _, count in paces)
        turns = min(seat.ask(left(), "settle", images) for seat in seats)
        medians: list[list[float]] = [[] for _ in seats]
        shuffler, order = random.Random(0), list(range(len(seats)))
        for turn in range(turns):
            shuffler.shuffle(order)
            for index in order:
                medians[index].append(seats[index].ask(left(), "take_turn", turn))
        aa = log_ratio(medians[1], medians[-1])
        about = {
            "run": uuid4().hex[:12],
            "group": 0,
            "reference_cell": seats[1].ask(left(), "cell_id"),
            "reference": tuple(medians[-1]),
            "noise_floor": aa.noise_floor if aa else None,
        }
        records = {}
        for seat, of_seat in zip(seats[:-1], medians, strict=False):
            answer = seat.ask(left(), "finish", about | {"medians": tuple(of_seat)})
            records[seat.side.name] = _record(answer)
        return records


class _TooSlowError(Exception):
    pass


def _record(text: str) -> Ok:
    """Of the version's schema, in this one's."""
    record = read_record(json.loads(text))
    assert isinstance(record, Ok)
    return record
