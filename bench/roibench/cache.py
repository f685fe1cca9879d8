"""What is kept on disk so that it needn't be made again: files written whole or not at all, and checked when read."""

import hashlib
import os
import tempfile
import warnings
from pathlib import Path

_DIGEST = hashlib.sha256().digest_size


def cache_root() -> Path:
    """$ROIBENCH_CACHE, else the user's cache folder."""
    if folder := os.environ.get("ROIBENCH_CACHE"):
        return Path(folder)
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "roibench"


def load(file: Path) -> memoryview | None:
    """The content of a file, writable, so that tensors may share it; None where `save` wrote no such file."""
    try:
        data = bytearray(file.read_bytes())
    except OSError:
        return None
    content = memoryview(data)[_DIGEST:]
    return content if hashlib.sha256(content).digest() == data[:_DIGEST] else None


def save(file: Path, content: bytes, what: str) -> None:
    """Writes a file. A folder that can't be written costs time, not the run: it is warned of, by the name of `what`."""
    try:
        file.parent.mkdir(parents=True, exist_ok=True)
        handle, partial = tempfile.mkstemp(dir=file.parent, suffix=".partial")
        try:
            with os.fdopen(handle, "wb") as out:
                out.write(hashlib.sha256(content).digest() + content)
            Path(partial).replace(file)
        except BaseException:
            Path(partial).unlink(missing_ok=True)
            raise
    except OSError as error:
        warnings.warn(f"{what} are not cached: {error}; set ROIBENCH_CACHE to a writable folder", stacklevel=2)
