"""A process for each cell: a hang, a crash or a leak costs that cell alone, and what memory it takes is its own."""

import multiprocessing
import os
import signal
import sys
import threading
import traceback
from collections.abc import Mapping
from contextlib import suppress
from datetime import UTC, datetime
from multiprocessing.connection import Connection
from multiprocessing.context import BaseContext
from pathlib import Path
from time import monotonic
from typing import TYPE_CHECKING, Any

from roibench.files import UnwritableError
from roibench.measure.provenance import provenance
from roibench.measure.record import CellSpec, Failed
from roibench.registry import Registry, installed

if TYPE_CHECKING:
    from roibench.measure.cell import PlannedCell


class CellProcessError(Exception):
    """The cell raised, hung past its timeout or died; the message says which, and during what."""


class CellProcess:
    """A cell in a process of its own, which does one step of roibench.measure.cell.Measurement whenever it is asked.

    The process begins at once and prepares the cell, so that several can do so side by side. If this process dies, the
    cell's ends, too. debug: the traceback of a cell that raises is printed on standard error.
    """

    def __init__(self, cell: "PlannedCell", folder: Path, debug: bool = False) -> None:
        self._timeout_s = self._left_s = cell.spec.timeout_s
        context = _context()
        self._pipe, theirs = context.Pipe()
        arguments = (cell, folder, debug, theirs, dict(os.environ))
        self._process = context.Process(target=_serve, args=arguments, daemon=True)
        self._process.start()
        theirs.close()
        self.begin("prepare")

    def ask(self, step: str, *arguments: Any) -> Any:
        """What the step gives. Raises CellProcessError for the cell's fault, and UnwritableError for the disk's."""
        self.begin(step, *arguments)
        return self.answer()

    def begin(self, step: str, *arguments: Any) -> None:
        """Asks, and doesn't wait for the answer. `prepare` has been asked for from the start."""
        with suppress(BrokenPipeError):  # it has died: listening tells of what
            self._pipe.send((step, arguments))

    def answer(self) -> Any:
        """What the step that was begun gives; raises as `ask`."""
        begun = monotonic()
        try:
            return self._listen(begun + self._left_s)
        finally:
            self._left_s -= monotonic() - begun

    def end(self) -> None:
        """Ends the process, whatever it does; what it gave is safe."""
        if self._process.is_alive():
            self._process.kill()
        self._process.join()
        self._pipe.close()

    def _listen(self, deadline: float) -> Any:
        doing = "starting"
        while True:
            if not self._pipe.poll(max(0.0, deadline - monotonic())):
                raise CellProcessError(f"gave no answer within {self._timeout_s:g} s; it was {doing}")
            try:
                kind, content = self._pipe.recv()
            except (EOFError, ConnectionResetError):
                self._process.join(timeout=10)
                raise CellProcessError(f"{_death(self._process.exitcode)} while {doing}") from None
            match kind:
                case "doing":
                    doing = content
                case "reply":
                    return content
                case "traceback":
                    sys.stderr.write(content)
                case "unwritable":
                    raise UnwritableError(content)
                case _:
                    raise CellProcessError(f"{content} (while {doing})")


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


def _death(exitcode: int | None) -> str:
    if exitcode is not None and exitcode < 0:
        return f"the process died of {signal.Signals(-exitcode).name}"
    return f"the process ended with exit code {exitcode}"


def _context() -> BaseContext:
    """Forks from a server that has imported what takes seconds, and done nothing else; spawns where none can be had."""
    if "forkserver" not in multiprocessing.get_all_start_methods():
        return multiprocessing.get_context("spawn")
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(["torch", "torchvision", "scipy.stats", "pydantic"])
    return context


def _serve(cell: "PlannedCell", folder: Path, debug: bool, pipe: Connection, environment: Mapping[str, str]) -> None:
    """In the child: does what is asked, and sends what it does, then what that gave or an error.

    environment: the parent's, as it is now; a server that forks has the one of when it started.
    """
    os.environ.clear()
    os.environ.update(environment)
    # Ctrl-C reaches the whole process group; the parent decides, and ends this process.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    threading.Thread(target=_end_with_parent, daemon=True).start()
    try:
        from roibench.measure.cell import Measurement

        measurement = Measurement(cell, folder, installed(), lambda doing: pipe.send(("doing", doing)))
        while True:
            step, arguments = pipe.recv()
            pipe.send(("reply", getattr(measurement, step)(*arguments)))
    except UnwritableError as error:
        pipe.send(("unwritable", str(error)))
    except Exception as error:
        if debug:
            pipe.send(("traceback", traceback.format_exc()))
        pipe.send(("error", f"{type(error).__name__}: {error}"))


def _end_with_parent() -> None:
    """A parent that was killed can't end its child: the child would go on, and disturb the run that comes next."""
    multiprocessing.parent_process().join()
    os._exit(1)
