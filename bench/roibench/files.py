"""Files that are whole or not there, and folders that one process at a time writes into."""

import hashlib
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from filelock import FileLock, Timeout


class UnwritableError(OSError):
    """Something can't be written (a full disk, a read-only folder, ...): one line that says what, and why."""


class BusyError(UnwritableError):
    """Another process is writing into the folder."""


@contextmanager
def writing(path: Path) -> Iterator[None]:
    """Turns the system's errors into UnwritableError, which names the path."""
    try:
        yield
    except UnwritableError:
        raise
    except OSError as error:
        raise UnwritableError(f"can't write {path}: {error.strerror or error}") from error


def write_atomically(path: Path, content: bytes) -> Path:
    """Replaces a file in one step, making its folder: a reader sees the old content or the new, even after a crash.

    Raises UnwritableError; the old content then stands.
    """
    temporary = path.with_name(f".{path.name}.{os.getpid()}.part")
    with writing(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        try:
            with temporary.open("wb") as file:
                file.write(content)
                file.flush()
                os.fsync(file.fileno())
            temporary.replace(path)
        finally:
            temporary.unlink(missing_ok=True)
    return path


def hold(folder: Path) -> FileLock:
    """Makes a folder and takes it for this process, until release() or the process's end, however that comes.

    Raises BusyError if another process has it, UnwritableError if it can't be written into.
    """
    lock = FileLock(folder / ".lock", blocking=False)
    with writing(folder):
        folder.mkdir(parents=True, exist_ok=True)
        try:
            lock.acquire()
        except Timeout as error:
            raise BusyError(
                f"another process is writing into {folder}: wait, or name another folder by --out"
            ) from error
    return lock


def file_hash(path: Path) -> str:
    """SHA-256 of a file's bytes, hex."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
