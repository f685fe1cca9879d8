"""Rendered scenes on disk: one file per scene, written whole or not at all, and checked when read."""

import hashlib
import os
import tempfile
import warnings
from pathlib import Path

import numpy as np

from roibench.datasets.scenes.compose import MAX_OBJECTS, OBJECT, Scene

_DIGEST = hashlib.sha256().digest_size
_TABLE = MAX_OBJECTS * OBJECT.itemsize


def cache_root() -> Path:
    """$ROIBENCH_CACHE, else the user's cache folder."""
    if folder := os.environ.get("ROIBENCH_CACHE"):
        return Path(folder)
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "roibench"


def load(file: Path, size: int) -> Scene | None:
    """The scene in a file; None if there is none, or the file isn't what `save` wrote."""
    try:
        data = bytearray(file.read_bytes())  # writable, so that tensors may share it
    except OSError:
        return None
    body = memoryview(data)[_DIGEST:]
    if len(body) != 1 + _TABLE + 4 * size * size or hashlib.sha256(body).digest() != data[:_DIGEST]:
        return None
    planes = np.frombuffer(body[1 + _TABLE :], np.uint8).reshape(4, size, size)
    return Scene(planes[:3], planes[3], np.frombuffer(body[1:], OBJECT, count=body[0]))


def save(file: Path, scene: Scene) -> None:
    """Writes a scene. A folder that can't be written costs time, not the run: it is warned of."""
    table = scene.objects.tobytes().ljust(_TABLE, b"\0")
    body = bytes([len(scene.objects)]) + table + scene.image.tobytes() + scene.instances.tobytes()
    try:
        file.parent.mkdir(parents=True, exist_ok=True)
        handle, partial = tempfile.mkstemp(dir=file.parent, suffix=".partial")
        try:
            with os.fdopen(handle, "wb") as out:
                out.write(hashlib.sha256(body).digest() + body)
            Path(partial).replace(file)
        except BaseException:
            Path(partial).unlink(missing_ok=True)
            raise
    except OSError as error:
        warnings.warn(f"Scenes are not cached: {error}; set ROIBENCH_CACHE to a writable folder", stacklevel=2)
