"""Files that are whole or not there, and folders that one process at a time writes into."""

import hashlib
import os
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from functools import lru_cache
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


def cached_hash(path: Path) -> str:
    """file_hash, of a file that is asked about again and again: read anew only if its size or time has changed."""
    status = path.stat()
    return _hash_of(path, status.st_size, status.st_mtime_ns)


@lru_cache(maxsize=4096)
def _hash_of(path: Path, size: int, changed_ns: int) -> str:
    return file_hash(path)


def tree_hash(places: Iterable[Path]) -> str:
    """SHA-256 of files, and of all in folders, their names included; but for what is hidden and Python's caches."""
    digest = hashlib.sha256()
    for place in places:
        for path in sorted(_files(place)) if place.is_dir() else [place]:
            digest.update(f"{path.relative_to(place.parent).as_posix()} {cached_hash(path)}\n".encode())
    return digest.hexdigest()


def _files(folder: Path) -> Iterator[Path]:
    for path in folder.iterdir():
        if path.name.startswith(".") or path.name == "__pycache__" or path.suffix == ".pyc":
            continue
        if path.is_symlink() and folder.resolve().is_relative_to(path.resolve()):  # leads back to where it lies
            continue
        if path.is_dir():
            yield from _files(path)
        elif path.is_file():
            yield path
