"""Cells take turns, so that what the machine does meanwhile meets all of them alike and models can be compared.

All cells of a group are alive together, and one is active: in each turn every cell is timed on its next block of
images, in an order that is shuffled anew. The group's reference cell is alive twice: its second process, which is timed
and not scored, tells how far apart two measurements of the same lie (A/A). Cells that don't fit into memory together
make further groups, in which the second process of the same reference cell takes part, so that models of different
groups can be compared by it.
"""

import os
import random
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing, contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from itertools import count
from pathlib import Path
from typing import Any, NamedTuple, Protocol
from uuid import uuid4

import psutil

from roibench.measure.cell import Pace, PlannedCell
from roibench.measure.isolate import CellProcess, CellProcessError, failed
from roibench.measure.record import Ok, Record, Turns
from roibench.measure.steady import log_ratio
from roibench.registry import Registry

MEMORY_SHARE = 0.7  # of what is free when a group begins: for its cells, which grow when they are scored
MIB = 2**20


Tell = Callable[[str], None]


class TooSlow(NamedTuple):
    """A cell that was left out, and why."""

    cell_id: str
    reason: str


class Watch(Protocol):
    """Is told which cell is active: what takes the run down with it was one of those."""

    def start(self, cell_id: str) -> None: ...
    def pause(self, cell_id: str) -> None: ...


@dataclass
class _Seat:
    """A cell that is alive. medians: milliseconds per image of each of its turns."""

    cell: PlannedCell
    process: CellProcess
    started: datetime
    pace: Pace | None = None
    medians: list[float] = field(default_factory=list)


class Group:
    """Cells that are alive together. A cell that fails leaves the group, and its record is given back."""

    def __init__(self, folder: Path, registry: Registry, watch: Watch, debug: bool) -> None:
        self.folder, self.registry, self.watch, self.debug = folder, registry, watch, debug
        self.seats: list[_Seat] = []
        self.twin: _Seat | None = None

    def fill(self, waiting: deque[PlannedCell]) -> Iterator[Record]:
        """Starts cells, as many side by side as there are cores, until all are alive or memory is full."""
        budget = MEMORY_SHARE * psutil.virtual_memory().available / MIB
        starting: deque[_Seat] = deque()
        resident: list[float] = []
        while True:
            while waiting and len(starting) < (os.cpu_count() or 1):
                expected = max(resident, default=0.0) * (len(resident) + len(starting) + 2)  # the next one and the twin
                if resident and expected > budget:
                    break
                starting.append(self._launch(waiting.popleft()))
            if not starting:
                return
            seat = starting.popleft()
            try:
                resident.append(self._answer(seat))
                self.seats.append(seat)
            except CellProcessError as error:
                yield self._failed(seat, error)

    def warm_up(self, max_ms: float | None) -> Iterator[Record | TooSlow]:
        for seat in list(self.seats):
            try:
                seat.pace = self._ask(seat, "warm_up")
            except CellProcessError as error:
                yield self._failed(seat, error)
                continue
            if max_ms is not None and 1000 * seat.pace.seconds > max_ms:
                self._leave(seat)
                yield TooSlow(seat.cell.id, f"takes {1000 * seat.pace.seconds:.3g} ms per image, above {max_ms:g}")

    def seat_twin(self, reference: PlannedCell | None) -> PlannedCell | None:
        """Starts the second process of the reference cell: where there is none yet, of the cell of median speed."""
        if reference is None and self.seats:
            by_speed = sorted(self.seats, key=lambda seat: seat.pace.seconds)
            reference = by_speed[len(by_speed) // 2].cell
        if reference is not None:
            twin = self._launch(reference)
            try:
                self._answer(twin)
                twin.pace = self._ask(twin, "warm_up")
                self.twin = twin
            except CellProcessError:
                twin.process.end()  # the reference cell itself tells what is wrong with it
        return reference

    def take_turns(self) -> Iterator[Record]:
        shuffler = random.Random(0)
        for turn in range(max((seat.pace.turns for seat in self.seats), default=0)):
            active = [seat for seat in (*self.seats, self.twin) if seat and turn < seat.pace.turns]
            shuffler.shuffle(active)
            for seat in active:
                try:
                    seat.medians.append(self._ask(seat, "take_turn", turn))
                except CellProcessError as error:
                    if seat is self.twin:
                        self.twin = None
                    else:
                        yield self._failed(seat, error)

    def finish(
        self, run: str, number: int, reference: PlannedCell | None, noise_floor: float | None
    ) -> Iterator[Record]:
        """Observes the cells, one after the other; scores them, as many side by side as there are cores; and ends their
        processes.
        """
        twin = self.twin
        if twin is not None:
            twin.process.end()
        for seat in list(self.seats):
            try:
                self._ask(seat, "observe")
            except CellProcessError as error:
                yield self._failed(seat, error)
        waiting, scoring = deque(self.seats), deque[_Seat]()
        while waiting or scoring:
            while waiting and len(scoring) < (os.cpu_count() or 1):
                seat = waiting.popleft()
                turns = Turns(
                    run=run,
                    group=number,
                    medians=tuple(seat.medians),
                    reference_cell=reference.id if twin and reference else None,
                    reference=tuple(twin.medians) if twin else (),
                    noise_floor=noise_floor,
                )
                seat.process.begin("finish", turns)
                scoring.append(seat)
            seat = scoring.popleft()
            try:
                record: Ok = self._answer(seat)
            except CellProcessError as error:
                yield self._failed(seat, error)
            else:
                seat.process.end()
                yield record.model_copy(update={"started": seat.started})

    def noise_floor(self, reference: PlannedCell | None) -> float | None:
        """As Turns.noise_floor; None where the reference cell isn't alive twice."""
        first = next((seat for seat in self.seats if reference and seat.cell.id == reference.id), None)
        if first is None or self.twin is None:
            return None
        found = log_ratio(first.medians, self.twin.medians)
        return None if found is None else found.noise_floor

    @property
    def description(self) -> str:
        ids = ", ".join(seat.cell.id for seat in self.seats)
        return f"in turns: {ids}{f'; twice: {self.twin.cell.id}' if self.twin else ''}"

    def close(self) -> None:
        for seat in (*self.seats, self.twin):
            if seat:
                seat.process.end()

    def _launch(self, cell: PlannedCell) -> _Seat:
        return _Seat(cell, CellProcess(cell, self.folder, self.debug), datetime.now(UTC))

    def _ask(self, seat: _Seat, step: str, *arguments: object) -> Any:
        with self._watched(seat):
            seat.process.begin(step, *arguments)
            return seat.process.answer()

    def _answer(self, seat: _Seat) -> Any:
        with self._watched(seat):
            return seat.process.answer()

    @contextmanager
    def _watched(self, seat: _Seat) -> Iterator[None]:
        self.watch.start(seat.cell.id)
        try:
            yield
        finally:
            self.watch.pause(seat.cell.id)

    def _leave(self, seat: _Seat) -> None:
        if seat in self.seats:
            self.seats.remove(seat)
        seat.process.end()

    def _failed(self, seat: _Seat, error: CellProcessError) -> Record:
        self._leave(seat)
        return failed(seat.cell.spec, str(error), self.registry, seat.started)


def measure_in_turns(
    cells: Sequence[PlannedCell],
    folder: Path,
    registry: Registry,
    watch: Watch,
    tell: Tell,
    debug: bool = False,
    max_ms: float | None = None,
) -> Iterator[Record | TooSlow]:
    """Each cell's record, as soon as there is one. A cell that raises, hangs or dies is a Failed one; the others go on.
    Cells that take more than `max_ms` milliseconds per image are left out.

    Raises UnwritableError where what a cell gave can't be kept. However it ends, no cell's process is left.
    """
    waiting, run, reference, noise_floor = deque(cells), uuid4().hex[:12], None, None
    for number in count():
        if not waiting:
            return
        with closing(Group(folder, registry, watch, debug)) as group:
            tell(f"preparing {len(waiting)} cell{'s' * (len(waiting) != 1)}")
            yield from group.fill(waiting)
            yield from group.warm_up(max_ms)
            reference = group.seat_twin(reference)
            tell(f"{group.description}{f'; {len(waiting)} more wait for memory' * bool(waiting)}")
            yield from group.take_turns()
            tell("scoring")
            noise_floor = noise_floor if number else group.noise_floor(reference)
            yield from group.finish(run, number, reference, noise_floor)
