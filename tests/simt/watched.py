"""Launchers called in a process that a sanitizer watches: it may end that process, and its report becomes an error.

The process is Python with the sanitizer preloaded, and without torch; tensors are sent there and back.
"""

import ctypes
import os
import pickle
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

from torch import Tensor

from simt.build import HERE, Lane
from simt.worker import Layout


class Watched:
    """A library in a process of its own, which is started when it is first needed, and again after a report."""

    def __init__(self, lane: Lane, path: Path) -> None:
        self._command = ["env", f"LD_PRELOAD={' '.join(map(str, lane.preloaded))}"]
        self._command += [sys.executable, str(HERE / "worker.py"), str(path)]
        if lane.sanitizer == "thread" and shutil.which("setarch"):
            self._command = ["setarch", "-R", *self._command]  # its shadow memory wants addresses that aren't random
        self._process: subprocess.Popen | None = None

    def call(self, symbol: str, seed: int, arguments: list[tuple[Any, bool]]) -> str:
        """Calls a launcher with (argument, whether it is passed by reference); returns what is wrong, or nothing."""
        if self._process is None:
            self._start()
        tensors = {t.data_ptr(): t for value, _ in arguments for t in _tensors(value)}
        contents = {a: ctypes.string_at(a, t.numel() * t.element_size()) for a, t in tensors.items()}
        sent = [_sent(value, by_reference) for value, by_reference in arguments]
        try:
            pickle.dump((symbol, seed, sent, contents), self._process.stdin)
            self._process.stdin.flush()
            error, contents = pickle.load(self._process.stdout)
        except (EOFError, BrokenPipeError):
            return self._report()
        for address, content in contents.items():
            ctypes.memmove(address, content, len(content))
        return error

    def _start(self) -> None:
        options = {
            "ASAN_OPTIONS": "detect_leaks=0",
            "UBSAN_OPTIONS": "print_stacktrace=1",
            "TSAN_OPTIONS": "halt_on_error=1",
        }
        self._process = subprocess.Popen(
            self._command,
            env={**os.environ, **options},
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
        )

    def _report(self) -> str:
        _, errors = self._process.communicate()
        status, self._process = self._process.returncode, None
        return f"the kernel's process ended (status {status}):\n{errors.decode()}"


def _tensors(value: Any) -> list[Tensor]:
    """Whose memory a kernel may touch through this argument."""
    return [value] if isinstance(value, Tensor) else getattr(value, "tensors", [])


def _sent(value: Any, by_reference: bool) -> tuple[Any, ...]:
    if value is None or isinstance(value, Tensor):
        return "pointer", None if value is None else value.data_ptr()
    if isinstance(value, ctypes.Structure):
        return "structure", _layout(type(value)), bytes(value), by_reference
    return value._type_, value.value


def _layout(structure: type[ctypes.Structure]) -> Layout:
    return tuple(
        (name, _layout(kind) if issubclass(kind, ctypes.Structure) else kind._type_)
        for name, kind in structure._fields_
    )
