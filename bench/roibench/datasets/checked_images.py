"""Every image of a split, really decoded once, when the split is opened; what came of it is kept on disk.

An entry holds for a file as long as its place, size, times and inode stay. A file that changed in the last two seconds
isn't kept: it might change once more within its time stamp's resolution.
"""

import hashlib
import json
import os
import time
import warnings
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path
from typing import NamedTuple

import numpy as np
import PIL

from roibench import cache
from roibench.datasets.bad_data import BadData, BadDataError, Problem
from roibench.datasets.images import naming, read_labels, read_rgb
from roibench.datasets.values import brief

FORMAT = 1  # to be raised whenever an entry, or what decoding gives or refuses, changes
_SETTLED_S = 2.0
Read = Callable[[bytes], tuple[np.ndarray, bool]]


class CheckedImage(NamedTuple):
    """An image that can be decoded.

    file: where it lies.
    size: (height, width), upright.
    sha256: of the file, hex.
    on_its_side: whether it is stored as (width, height).
    pixel_values: those that occur in a label image; none of a photograph.
    """

    file: Path
    size: tuple[int, int]
    sha256: str
    on_its_side: bool
    pixel_values: frozenset[int]

    def size_problem(self, size: tuple[object, object]) -> str | None:
        """What is wrong with a size (height, width) that an annotation gives, if anything."""
        if size == self.size:
            return None
        given = "x".join(map(brief, reversed(size)))
        height, width = self.size
        text = f"gives the size {given}, but {self.file} has {width}x{height} pixels"
        if self.on_its_side and size == (width, height):
            text += f", upright: its EXIF orientation turns it, and {given} fits only the image as stored"
        return text


class _Verdict(NamedTuple):
    """What the cache holds of a file.

    stamp: what it looked like on disk: size, times, inode.
    sha256: as CheckedImage's.
    size: likewise.
    on_its_side: likewise.
    pixel_values: likewise.
    problem: why it can't be used; None: it can.
    """

    stamp: list[int]
    sha256: str
    size: list[int]
    on_its_side: bool
    pixel_values: list[int]
    problem: str | None


def check_images(files: Iterable[Path], bad: BadData) -> dict[Path, CheckedImage]:
    """Those photographs that can be decoded; the others are reported. Several are decoded at once."""
    return _check(files, bad, read_rgb)


def check_labels(files: Iterable[Path], bad: BadData, read: Read = read_labels) -> dict[Path, CheckedImage]:
    """Likewise, of label images. read: ColourLabels, for those in colours."""
    return _check(files, bad, read)


def _check(files: Iterable[Path], bad: BadData, read: Read) -> dict[Path, CheckedImage]:
    files = list(dict.fromkeys(files))
    folders: dict[Path, list[Path]] = {}
    for file in files:
        folders.setdefault(file.parent, []).append(file)
    found: dict[Path, CheckedImage | Problem] = {}
    with warnings.catch_warnings(), ThreadPoolExecutor(_threads()) as pool:
        warnings.filterwarnings("ignore", module=r"PIL\.")  # they name no file
        for folder, inside in folders.items():
            found |= _check_folder(folder, inside, read, pool)
    bad.problems += [found[file] for file in files if isinstance(found[file], Problem)]
    return {file: found[file] for file in files if isinstance(found[file], CheckedImage)}


def _check_folder(
    folder: Path, files: list[Path], read: Read, pool: ThreadPoolExecutor
) -> dict[Path, CheckedImage | Problem]:
    kept = _kept_in(folder, read)
    known = _load(kept)
    new: dict[str, _Verdict] = {}
    found: dict[Path, CheckedImage | Problem] = {}
    begun = time.time()
    try:
        for file, verdict in zip(files, pool.map(partial(_judge, known=known, read=read), files), strict=True):
            found[file] = verdict if isinstance(verdict, Problem) else _outcome(file, verdict)
            if isinstance(verdict, _Verdict) and verdict is not known.get(file.name):
                new[file.name] = verdict
    finally:  # an interrupted check goes on where it stopped
        settled = {name: one for name, one in new.items() if max(one.stamp[1:3]) < (begun - _SETTLED_S) * 1e9}
        if settled:
            cache.save(kept, json.dumps(_load(kept) | settled).encode(), "Checked images")
    return found


def _judge(file: Path, known: dict[str, _Verdict], read: Read) -> _Verdict | Problem:
    """What is known of a file, or what decoding it shows; a Problem where it can't even be read."""
    try:
        with naming(file):
            status = file.stat()
            stamp = [status.st_size, status.st_mtime_ns, status.st_ctime_ns, status.st_ino]
            before = known.get(file.name)
            if before is not None and before.stamp == stamp:
                return before
            data = file.read_bytes()
    except BadDataError as error:
        return error.problems[0]
    digest = hashlib.sha256(data).hexdigest()
    try:
        with naming(file):
            pixels, on_its_side = read(data)
    except BadDataError as error:
        return _Verdict(stamp, digest, [0, 0], False, [], error.problems[0].what)
    pixel_values = np.unique(pixels).tolist() if pixels.ndim == 2 else []
    return _Verdict(stamp, digest, list(pixels.shape[:2]), on_its_side, pixel_values, None)


def _outcome(file: Path, verdict: _Verdict) -> CheckedImage | Problem:
    if verdict.problem is not None:
        return Problem(file, None, verdict.problem)
    height, width = verdict.size
    return CheckedImage(file, (height, width), verdict.sha256, verdict.on_its_side, frozenset(verdict.pixel_values))


def _kept_in(folder: Path, read: Read) -> Path:
    """Where verdicts on the images of a folder are kept; another Pillow may judge otherwise."""
    reader = getattr(read, "__name__", repr(read))
    key = json.dumps([os.path.realpath(folder), reader, FORMAT, PIL.__version__])
    return cache.cache_root() / "images" / hashlib.sha256(key.encode()).hexdigest()[:32]


def _load(kept: Path) -> dict[str, _Verdict]:
    content = cache.load(kept)
    if content is None:
        return {}
    return {name: _Verdict(*entry) for name, entry in json.loads(bytes(content)).items()}


def _threads() -> int:
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
