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

from roibench.files import UnwritableError
from roibench.measure.provenance import provenance
from roibench.measure.record import RECORD, CellSpec, Failed, Record


def run_cell(spec: CellSpec, folder: Path, debug: bool = False) -> Record:
    """Measures a cell in a spawned process. Never raises for the cell's fault: a cell that raises, hangs past
    spec.timeout_s or dies is a Failed record that says which, and during what.

    folder: of the run, for the predictions; UnwritableError if they can't be written. debug: a cell that raises prints
    its traceback on standard error. If this process dies, the cell's process ends, too.
    """
    started = datetime.now(UTC)
    context = multiprocessing.get_context("spawn")
    ours, theirs = context.Pipe(duplex=False)
    process = context.Process(target=_measure, args=(spec, folder, debug, theirs), daemon=True)
    process.start()
    theirs.close()
    try:
        outcome = _listen(ours, process, monotonic() + spec.timeout_s, spec.timeout_s)
    finally:
        if process.is_alive():
            process.kill()
        process.join()
        ours.close()
    return failed(spec, outcome, started) if isinstance(outcome, str) else outcome


def failed(spec: CellSpec, error: str, started: datetime | None = None) -> Failed:
    """The record of a cell that gave nothing."""
    now = datetime.now(UTC)
    return Failed(
        cell=spec,
        cell_id=spec.id,
        error=error,
        started=started or now,
        finished=now,
        provenance=provenance(),
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


def _measure(spec: CellSpec, folder: Path, debug: bool, pipe: Connection) -> None:
    """In the child: measures, and sends what it does, then a record or an error."""
    # Ctrl-C reaches the whole process group; the parent decides, and ends this process.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    threading.Thread(target=_end_with_parent, daemon=True).start()
    try:
        from roibench.measure.cell import measure_cell
        from roibench.registry import installed

        record = measure_cell(spec, folder, installed(), lambda doing: pipe.send(("doing", doing)))
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
