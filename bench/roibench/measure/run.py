"""A run: the cells of a plan, measured in turns, each recorded as soon as it is finished."""

from collections.abc import Iterator, Sequence
from pathlib import Path

from roibench.measure.cell import PlannedCell
from roibench.measure.executors import Executor
from roibench.measure.isolate import failed
from roibench.measure.journal import MAX_STARTS, Journal
from roibench.measure.plan import Plan
from roibench.measure.record import Record
from roibench.measure.turns import Tell, TooSlow, measure_in_turns
from roibench.registry import Registry


class Run:
    """Runs cells and keeps their records; goes on where an interrupted run of the same plan stopped.

    debug: a cell that fails shows its traceback. executor: measures the cells; on this machine unless given.
    taken_over: the cells that an interrupted run had finished. too_slow: why cells were left out, by their ids.
    """

    def __init__(
        self, plan: Plan, root: Path, registry: Registry, debug: bool = False, executor: Executor = measure_in_turns
    ) -> None:
        self.plan = plan
        self.executor = executor
        self.registry = registry
        self.debug = debug
        self.journal = Journal.open(root, plan.key)
        self.too_slow: dict[str, str] = {}
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
            "Models from outside": self.plan.remarks,
            "Not run": [*self.plan.skipped, *(f"{cell}: {reason}" for cell, reason in self.too_slow.items())],
            "Plugins that failed": self.plan.failures,
            "Taken over": taken_over if self.taken_over else [],
        }
        return {title: lines for title, lines in notes.items() if lines}

    def measure(self, cells: Sequence[PlannedCell], tell: Tell) -> Iterator[Record]:
        """Measures those of the cells that have no record yet, in turns; each record is kept,
        then given back, as soon as there is one. tell: is told how far it is, in a line.

        Raises UnwritableError if one can't be kept; what was kept before is safe, as after Ctrl-C.
        """
        missing = [cell for cell in cells if cell.id not in self.journal.records]
        hopeless = [cell for cell in missing if self.journal.starts[cell.id] >= MAX_STARTS]
        for cell in hopeless:
            error = f"was active {MAX_STARTS} times when the run died: it takes the run down with it"
            yield self._keep(failed(cell.spec, error, self.registry))
        waiting = [cell for cell in missing if cell not in hopeless]
        turns = (self.folder, self.registry, self.journal, tell, self.debug, self.plan.max_ms)
        for found in self.executor(waiting, *turns):
            if isinstance(found, TooSlow):
                self.too_slow[found.cell_id] = found.reason
                tell(f"{found.cell_id}: left out, {found.reason}")
            else:
                yield self._keep(found)

    def _keep(self, record: Record) -> Record:
        self.journal.add(record)
        return record

    def finish(self) -> None:
        """Ends the journal if every cell has its record or was left out, so that a later run begins anew; lets go of
        the folder.
        """
        try:
            if len(self.records) + len(self.too_slow) == len(self.plan.cells):
                self.journal.finish()
        finally:
            self.journal.close()
