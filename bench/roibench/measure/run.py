"""A run: the cells of a plan, one after the other, each recorded before the next begins."""

from pathlib import Path

from roibench.measure.isolate import failed, run_cell
from roibench.measure.journal import MAX_STARTS, Journal
from roibench.measure.plan import Plan
from roibench.measure.record import CellSpec, Record


class Run:
    """Runs cells and keeps their records; goes on where an interrupted run of the same plan stopped."""

    def __init__(self, plan: Plan, root: Path) -> None:
        self.plan = plan
        self.journal = Journal.open(root, plan.key)

    @property
    def folder(self) -> Path:
        return self.journal.folder

    @property
    def records(self) -> list[Record]:
        """What is finished, in the plan's order."""
        return [self.journal.records[cell.id] for cell in self.plan.cells if cell.id in self.journal.records]

    def record(self, cell: CellSpec) -> Record:
        """The cell's record: the journal's if it has one, else measured now."""
        if cell.id in self.journal.records:
            return self.journal.records[cell.id]
        if self.journal.starts[cell.id] >= MAX_STARTS:
            record = failed(cell, f"started {MAX_STARTS} times and never finished: it takes the run down with it")
        else:
            self.journal.start(cell.id)
            record = run_cell(cell, self.folder)
        self.journal.add(record)
        return record

    def finish(self) -> None:
        """Closes the journal if every cell has its record; a later run then begins anew."""
        if len(self.records) == len(self.plan.cells):
            self.journal.finish()
