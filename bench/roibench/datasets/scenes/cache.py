"""Rendered scenes on disk, one file each."""

from pathlib import Path

import numpy as np

from roibench import cache
from roibench.datasets.scenes.compose import MAX_OBJECTS, OBJECT, Scene

_TABLE = MAX_OBJECTS * OBJECT.itemsize


def load(file: Path, size: int) -> Scene | None:
    """The scene in a file; None if there is none, or the file isn't what `save` wrote."""
    body = cache.load(file)
    if body is None or len(body) != 1 + _TABLE + 4 * size * size:
        return None
    planes = np.frombuffer(body[1 + _TABLE :], np.uint8).reshape(4, size, size)
    return Scene(planes[:3], planes[3], np.frombuffer(body[1:], OBJECT, count=body[0]))


def save(file: Path, scene: Scene) -> None:
    """Writes a scene, or warns that it can't."""
    table = scene.objects.tobytes().ljust(_TABLE, b"\0")
    body = bytes([len(scene.objects)]) + table + scene.image.tobytes() + scene.instances.tobytes()
    cache.save(file, body, "Scenes")
