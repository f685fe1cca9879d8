"""Cells without a plan around them."""

from roibench.measure.cell import PlannedCell
from roibench.measure.record import CellSpec
from roibench.registry import installed


def planned_cell(model: str, **changes) -> PlannedCell:
    """One of the third-party plugin's models on its squares; changes: of the specification."""
    registry = installed()
    spec = CellSpec(**{"model": model, "dataset": "squares", "dataset_hash": "0" * 64, "threads": 1} | changes)
    found = registry.model(model)
    return PlannedCell(spec, found, tuple(registry.tasks_of(found)))
