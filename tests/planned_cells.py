"""Cells without a plan around them, and their records."""

from pathlib import Path

from roibench.measure.cell import PlannedCell
from roibench.measure.record import CellSpec, Record
from roibench.measure.run import Run
from roibench.measure.turns import measure_in_turns
from roibench.registry import Registry, installed


class Unwatched:
    """Nobody keeps a journal."""

    def start(self, cell_id: str) -> None: ...
    def pause(self, cell_id: str) -> None: ...


def measured(cell: PlannedCell, folder: Path, registry: Registry | None = None, debug: bool = False) -> Record:
    """The cell's record, measured as in a real run, in a process of its own."""
    [record] = measure_in_turns([cell], folder, registry or installed(), Unwatched(), lambda _: None, debug)
    return record


def recorded(run: Run, cell: PlannedCell) -> Record:
    """The cell's record: the run's own if it has one, else measured now, alone."""
    for _ in run.measure([cell], lambda _: None):
        pass
    return run.journal.records[cell.id]


def planned_cell(model: str, **changes) -> PlannedCell:
    """One of the third-party plugin's models on its squares; changes: of the specification."""
    registry = installed()
    spec = CellSpec(**{"model": model, "dataset": "squares", "dataset_hash": "0" * 64, "threads": 1} | changes)
    found = registry.model(model)
    return PlannedCell(spec, found, tuple(registry.tasks_of(found)))
