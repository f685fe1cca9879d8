"""A run: the cells of a plan, one after the other, each recorded before the next begins."""

from contextlib import suppress
from pathlib import Path

from roibench.files import UnwritableError
from roibench.measure.cell import PlannedCell
from roibench.measure.isolate import failed, run_cell
from roibench.measure.journal import MAX_STARTS, Journal
from roibench.measure.plan import Plan
from roibench.measure.record import Record
from roibench.registry import Registry


class Run:
    """Runs cells and keeps their records; goes on where an interrupted run of the same plan stopped.

    debug: a cell that fails shows its traceback. taken_over: the cells that an interrupted run had finished.
    """

    def __init__(self, plan: Plan, root: Path, registry: Registry, debug: bool = False) -> None:
        self.plan = plan
        self.registry = registry
        self.debug = debug
        self.journal = Journal.open(root, plan.key)
        self.taken_over = [cell.id for cell in plan.cells if cell.id in self.journal.records]

    @property
    def folder(self) -> Path:
        return self.journal.folder

    @property
    def records(self) -> list[Record]:
        """What is finished, in the plan's order."""
        return [self.journal.records[cell.id] for cell in self.plan.cells if cell.id in self.journal.records]

    @property
    def notes(self) -> dict[str, list[str]]:
        """What is to be told of the run beside its records, by title."""
        cells = f"{len(self.taken_over)} of {len(self.plan.cells)} cells"
        taken_over = [f"{cells}, measured before this run was interrupted: {', '.join(self.taken_over)}"]
        notes = {
            "Not run": self.plan.skipped,
            "Plugins that failed": self.plan.failures,
            "Taken over": taken_over if self.taken_over else [],
        }
        return {title: lines for title, lines in notes.items() if lines}

    def record(self, cell: PlannedCell) -> Record:
        """The cell's record: the journal's if it has one, else measured now.

        Raises UnwritableError if it can't be kept; the cell then counts as not started, as after Ctrl-C.
        """
        if cell.id in self.journal.records:
            return self.journal.records[cell.id]
        if self.journal.starts[cell.id] >= MAX_STARTS:
            error = f"started {MAX_STARTS} times and never finished: it takes the run down with it"
            record = failed(cell.spec, error, self.registry)
        else:
            try:
                self.journal.start(cell.id)
                record = run_cell(cell, self.folder, self.registry, self.debug)
            except (KeyboardInterrupt, UnwritableError):
                with suppress(UnwritableError):
                    self.journal.interrupt(cell.id)
                raise
        self.journal.add(record)
        return record

    def finish(self) -> None:
        """Ends the journal if every cell has its record, so that a later run begins anew; lets go of the folder."""
        try:
            if len(self.records) == len(self.plan.cells):
                self.journal.finish()
        finally:
            self.journal.close()
