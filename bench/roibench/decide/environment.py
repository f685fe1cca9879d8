"""Another version of this project, beside the one that runs: built once, kept in the cache, with all else of this
interpreter's packages.
"""

import hashlib
import io
import os
import re
import shutil
import subprocess
import sys
import sysconfig
import tarfile
from collections.abc import Callable
from pathlib import Path

import torch
from filelock import FileLock

from roibench import ops
from roibench.cache import cache_root
from roibench.decide.data import Data
from roibench.decide.record_sets import found_commit, git

_BUILT = "built"  # a file that is there once all else is
_LOG = "build.log"
_TRIAL = "import roibench.ops, roibench.measure.cell"
_EXTENSION = ("csrc", "setup.py")  # what the extension is made of


class BuildError(RuntimeError):
    """A base can't be built; the message says why, and where the whole of it stands."""


class Environment(Data):
    """name: as typed. version: a commit, or a released version. folder: what PYTHONPATH begins with; None for what runs
    now.
    """

    name: str
    version: str
    folder: Path | None


def environment(typed: str, tell: Callable[[str], None]) -> Environment:
    """A commit, built, or a released version, installed; taken from the cache where it is there already.

    Raises ValueError for what is neither, BuildError where that fails; the cache then holds nothing of it.
    """
    if (found := found_commit(typed)) is not None:
        root, version = found
        folder = _made(version, lambda place: _build(root, version, place), tell)
    elif re.fullmatch(r"\d+(\.\w+)+", typed):
        version, folder = typed, _made(typed, lambda place: _install(typed, place), tell)
    else:
        raise ValueError(f"{typed}: no git commit here, and no released version such as 0.1.0")
    return Environment(name=typed, version=version, folder=folder)


def _made(version: str, make: Callable[[Path], None], tell: Callable[[str], None]) -> Path:
    """The folder of a version, for this interpreter and this torch."""
    place = cache_root() / "gate" / f"{version[:12]}-{_digest(version)}"
    place.parent.mkdir(parents=True, exist_ok=True)
    with FileLock(f"{place}.lock"):
        if not (place / _BUILT).is_file():
            tell(f"building {version[:12]} into {place}")
            shutil.rmtree(place, ignore_errors=True)
            place.mkdir()
            make(place)
            _run(
                place,
                version,
                [sys.executable, "-P", "-c", "import roibench.ops, roibench.measure.cell"],
                place / "lib",
            )
            (place / _BUILT).touch()
    return place / "lib"


def _digest(*parts: str) -> str:
    settings = (_cuda(), sysconfig.get_platform(), sys.version, torch.__version__)
    return hashlib.sha256("\n".join((*parts, *settings)).encode()).hexdigest()[:8]


def _cuda() -> str:
    """What setup.py is told: a base has CUDA where what runs here has it. To build it takes many times as long."""
    return "1" if ops.build_info()["cuda"] else "0"


def _build(root: Path, commit: str, place: Path) -> None:
    """As setup.py builds it. The extension takes minutes: commits that have its sources in common share it."""
    source, library = place / "source", place / "lib"
    archive = subprocess.run(["git", "-C", str(root), "archive", commit], capture_output=True, check=True).stdout
    with tarfile.open(fileobj=io.BytesIO(archive)) as files:
        files.extractall(source, filter="data")
    setup = [sys.executable, "setup.py", "-q"]
    _run(place, commit, [*setup, "build_py", "--build-lib", str(library)], source=source)
    listed = git(root, "ls-tree", commit, "--", *_EXTENSION)
    kept = place.parent / f"extension-{_digest(listed)}"
    if not (kept / _BUILT).is_file():
        shutil.rmtree(kept, ignore_errors=True)
        made = ["build_ext", "--build-lib", str(kept / "lib"), "--build-temp", str(place / "temporary")]
        _run(place, commit, [*setup, *made], source=source)
        (kept / _BUILT).touch()
    shutil.copytree(kept / "lib", library, dirs_exist_ok=True)
    _run(place, commit, [*setup, "dist_info", "--output-dir", str(library)], source=source)
    for folder in (source, place / "temporary"):
        shutil.rmtree(folder, ignore_errors=True)


def _install(version: str, place: Path) -> None:
    pip = [sys.executable, "-m", "pip", "install", "-q", "--no-deps", "--no-build-isolation"]
    _run(place, version, [*pip, "--target", str(place / "lib"), f"roibench=={version}"])


def _run(
    place: Path, version: str, command: list[str], library: Path | None = None, source: Path | None = None
) -> None:
    """Raises BuildError with the last line of what a command that failed printed; all of it stays in a log."""
    surroundings = os.environ | {"ROIBENCH_CUDA": _cuda()}
    if library:
        surroundings["PYTHONPATH"] = os.pathsep.join(filter(None, [str(library), os.environ.get("PYTHONPATH")]))
    done = subprocess.run(command, cwd=source or place, capture_output=True, text=True, env=surroundings)
    if not done.returncode:
        return
    log = place / _LOG
    log.write_text(f"{' '.join(command)}\n{done.stdout}{done.stderr}")
    last = next((line for line in reversed(done.stderr.splitlines()) if line.strip()), "no message")
    raise BuildError(f"{version[:12]} doesn't build: {last.strip()} (all of it: {log})")
