"""A process for each cell: a hang, a crash or a leak costs that cell alone, and its peak memory is its own."""

import multiprocessing
import os
import signal
import threading
import traceback
from datetime import UTC, datetime
from multiprocessing.connection import Connection
from pathlib import Path
from time import monotonic
from typing import TYPE_CHECKING

from roibench.files import UnwritableError
from roibench.measure.provenance import provenance
from roibench.measure.record import RECORD, CellSpec, Failed, Record
from roibench.registry import Registry, installed

if TYPE_CHECKING:
    from roibench.measure.cell import PlannedCell


def run_cell(cell: "PlannedCell", folder: Path, registry: Registry, debug: bool = False) -> Record:
    """Measures a cell in a spawned process. Never raises for the cell's fault: a cell that raises, hangs past
    its timeout or dies is a Failed record that says which, and during what.

    folder: of the run, for the predictions; UnwritableError if they can't be written. debug: a cell that raises prints
    its traceback on standard error. If this process dies, the cell's process ends, too.
    """
    started = datetime.now(UTC)
    context = multiprocessing.get_context("spawn")
    ours, theirs = context.Pipe(duplex=False)
    process = context.Process(target=_measure, args=(cell, folder, debug, theirs), daemon=True)
    process.start()
    theirs.close()
    try:
        outcome = _listen(ours, process, monotonic() + cell.spec.timeout_s, cell.spec.timeout_s)
    finally:
        if process.is_alive():
            process.kill()
        process.join()
        ours.close()
    return failed(cell.spec, outcome, registry, started) if isinstance(outcome, str) else outcome


def failed(spec: CellSpec, error: str, registry: Registry, started: datetime | None = None) -> Failed:
    """The record of a cell that gave nothing."""
    now = datetime.now(UTC)
    return Failed(
        cell=spec,
        cell_id=spec.id,
        error=error,
        started=started or now,
        finished=now,
        provenance=provenance(registry),
    )


def _listen(
    pipe: Connection, process: multiprocessing.process.BaseProcess, deadline: float, timeout_s: float
) -> Record | str:
    """The child's record, or one line on how it failed; UnwritableError where that is the disk's fault."""
    doing = "starting"
    while True:
        if not pipe.poll(max(0.0, deadline - monotonic())):
            return f"gave no answer within {timeout_s:g} s; it was {doing}"
        try:
            kind, content = pipe.recv()
        except EOFError:
            process.join(timeout=10)
            return f"{_death(process.exitcode)} while {doing}"
        if kind == "doing":
            doing = content
        elif kind == "record":
            return RECORD.validate_json(content)
        elif kind == "unwritable":
            raise UnwritableError(content)
        else:
            return f"{content} (while {doing})"


def _death(exitcode: int | None) -> str:
    if exitcode is not None and exitcode < 0:
        return f"the process died of {signal.Signals(-exitcode).name}"
    return f"the process ended with exit code {exitcode}"


def _measure(cell: "PlannedCell", folder: Path, debug: bool, pipe: Connection) -> None:
    """In the child: measures, and sends what it does, then a record or an error."""
    # Ctrl-C reaches the whole process group; the parent decides, and ends this process.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    threading.Thread(target=_end_with_parent, daemon=True).start()
    try:
        from roibench.measure.cell import measure_cell

        record = measure_cell(cell, folder, installed(), lambda doing: pipe.send(("doing", doing)))
    except UnwritableError as error:
        pipe.send(("unwritable", str(error)))
    except Exception as error:
        if debug:
            traceback.print_exc()
        pipe.send(("error", f"{type(error).__name__}: {error}"))
    else:
        pipe.send(("record", record.model_dump_json()))


def _end_with_parent() -> None:
    """A parent that was killed can't end its child: the child would go on, and disturb the run that comes next."""
    multiprocessing.parent_process().join()
    os._exit(1)
