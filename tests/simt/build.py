"""Compiles the kernels for the emulator: one shared library per lane, out of objects that are kept by their content.

A lane is what is compiled, with what it is watched by: `source` (the .cu files through g++), `sm_80` or `sm_90` (what
nvcc makes of them, as PTX, translated to C++), each alone or with AddressSanitizer or ThreadSanitizer: `sm_80-thread`.
"""

import hashlib
import os
import platform
import shutil
import subprocess
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from filelock import FileLock

from simt.ptx import translate

ROOT = Path(__file__).resolve().parents[2]
HERE = Path(__file__).resolve().parent
SOURCES = Path(os.environ.get("ROIBENCH_SIMT_SOURCES", ROOT))  # mutants.py puts a changed copy in its place
CSRC, KERNELS, SELFTEST = (SOURCES / part for part in ("csrc", "csrc/cuda/kernels", "tests/simt/selftest"))
CACHE = ROOT / "build/simt"
EMULATOR, RUNTIME, PTX = HERE / "emulator", HERE / "emulator/runtime", HERE / "ptx"

ARCHITECTURES = ("sm_80", "sm_90")
SANITIZERS = {
    # Alignment is among what `undefined` checks: a float4 that isn't at a multiple of 16 faults on a GPU.
    "address": ["-DSIMT_ADDRESS", "-fsanitize=address,undefined", "-fno-sanitize-recover=all", "-fno-sanitize=vptr"],
    "thread": ["-DSIMT_THREAD", "-fsanitize=thread"],
}

# As setup.py has them: what rounds differently there must round differently here.
GXX = ["-std=c++20", "-fPIC", "-g1", "-O1", "-ffp-contract=off", "-fno-math-errno", "-fno-trapping-math"]
NVCC = ["-std=c++20", "-O3", "--fmad=false", "-lineinfo"]


@dataclass(frozen=True)
class Lane:
    """What runs (`source`, or the architecture whose PTX is taken) and the sanitizer that watches it, or None."""

    code: str
    sanitizer: str | None = None

    @classmethod
    def parse(cls, name: str) -> "Lane":
        code, _, sanitizer = name.partition("-")
        if code not in ("source", *ARCHITECTURES) or (sanitizer and sanitizer not in SANITIZERS):
            raise ValueError(f"no lane {name!r}: source, sm_80 or sm_90, alone or with -address or -thread")
        return cls(code, sanitizer or None)

    def __str__(self) -> str:
        return self.code + (f"-{self.sanitizer}" if self.sanitizer else "")

    @property
    def missing(self) -> str | None:
        """Why this lane can't be built here."""
        if platform.machine() != "x86_64":
            return "the emulator switches stacks of x86-64 only"
        tools = ["g++"] + ([] if self.code == "source" else ["nvcc"])
        absent = [tool for tool in tools if shutil.which(tool) is None]
        if not absent:
            absent = [path.name for path in self.preloaded if not path.is_absolute()]
        return f"{' and '.join(absent)} not found" if absent else None

    @property
    def preloaded(self) -> list[Path]:
        """The sanitizer's libraries: Python has no sanitizer of its own. A bare name where g++ doesn't have one."""
        names = {"address": ["libasan.so", "libubsan.so"], "thread": ["libtsan.so"]}.get(self.sanitizer, [])
        asked = [["g++", f"-print-file-name={name}"] for name in names]
        return [Path(tool(command, check=True).stdout.strip()) for command in asked]


def tool(command: Sequence[str | Path], **options) -> subprocess.CompletedProcess[str]:
    """Runs a compiler or the like."""
    return subprocess.run(command, capture_output=True, text=True, **options)


def library(lane: Lane, sources: Iterable[Path] | None = None) -> Path:
    """The lane's library of these .cu files, by default of all operators; compiled where it isn't there yet.

    Raises RuntimeError with the compiler's output.
    """
    sources = sorted(KERNELS.glob("*.cu") if sources is None else sources)
    watched = SANITIZERS.get(lane.sanitizer, [])
    told = [flag for flag in watched if flag.startswith("-D")]
    # The emulator itself is not watched, nor are launchers, where nvcc's code takes the place of the kernels.
    jobs = [(path, [*GXX, *told, "-O2"], (EMULATOR, RUNTIME)) for path in sorted(RUNTIME.glob("*.cpp"))]
    of_source = watched if lane.code == "source" else []
    jobs += [(path, [*GXX, *of_source], (EMULATOR, KERNELS, CSRC)) for path in sources]
    with ThreadPoolExecutor(int(os.environ.get("MAX_JOBS", "2"))) as pool:
        if lane.code != "source":
            # What C++ leaves undefined, PTX defines; the translation sees to it, and to alignment.
            # Half of the compiler's time would go into where pointers point to, in functions of this size.
            flags = [*GXX, *watched, "-fno-sanitize=undefined", "-fno-strict-aliasing", "-fno-tree-pta", "-w"]
            translated = pool.map(lambda path: _translated(path, lane.code), sources)
            jobs += [(path, flags, (EMULATOR, PTX)) for parts in translated for path in parts]
        objects = list(pool.map(lambda job: _compile(*job), jobs))
    linking = ["g++", "-shared", *watched, *map(str, objects), "-ldl"]
    return _made("library", ".so", linking, lambda out: [*linking, "-o", str(out)])


def _compile(source: Path, flags: Sequence[str], headers: Sequence[Path]) -> Path:
    """headers: the folders in and below which those are that the source may include."""
    command = ["g++", "-x", "c++", "-Wall", "-Wextra", "-Wno-unknown-pragmas", *flags]
    include = [f"-I{folder}" for folder in (EMULATOR, PTX, KERNELS)]
    return _made(
        source.stem,
        ".o",
        [*command, source.read_text(), _headers(*headers)],
        lambda out: [*command, *include, "-c", str(source), "-o", str(out)],
    )


def _translated(source: Path, architecture: str) -> list[Path]:
    """nvcc's code in C++, in parts. They are kept by what they say: what two architectures share is compiled once."""
    text = ptx(source, architecture).read_text()
    translator = _digest(path.read_text() for path in sorted(PTX.glob("*.py")))
    listed = CACHE / f"{source.stem}-{_digest([text, translator])}.parts"
    if not listed.exists():
        parts = {f"{source.stem}-{_digest([part])}.cpp": part for part in translate(text)}
        for name, part in parts.items():
            _write(CACHE / name, part)
        _write(listed, "\n".join(parts))
    return [CACHE / name for name in listed.read_text().splitlines()]


def _write(path: Path, text: str) -> None:
    """Whole, or not at all: another process may be reading it."""
    unfinished = path.with_name(f"{os.getpid()}-{path.name}")
    unfinished.write_text(text)
    unfinished.replace(path)


def ptx(source: Path, architecture: str) -> Path:
    """What nvcc makes of a .cu file, before ptxas."""
    command = ["nvcc", *NVCC, f"-arch={architecture}", "-ptx"]
    return _made(
        f"{source.stem}-{architecture}",
        ".ptx",
        [*command, source.read_text(), _headers(KERNELS, CSRC)],
        lambda out: [*command, f"-I{KERNELS}", str(source), "-o", str(out)],
    )


@cache
def _headers(*folders: Path) -> str:
    return _digest(path.read_text() for folder in folders for path in sorted(folder.rglob("*.h")))


@cache
def _compilers() -> str:
    versions = [["g++", "--version"], ["nvcc", "--version"]]
    return "".join(tool(command).stdout for command in versions if shutil.which(command[0]))


def _digest(parts: Iterable[str]) -> str:
    return hashlib.sha256("\0".join(parts).encode()).hexdigest()[:16]


def _made(stem: str, suffix: str, ingredients: Iterable[str], command: Callable[[Path], list[str]]) -> Path:
    """The file that `command(out)` makes; made only if no file of the same ingredients is there, by one process."""
    made = CACHE / f"{stem}-{_digest([*ingredients, _compilers()])}{suffix}"
    if made.exists():
        return made
    CACHE.mkdir(parents=True, exist_ok=True)
    with FileLock(made.with_name(f".{made.name}.lock")):
        if made.exists():
            return made
        unfinished = made.with_name(f"{os.getpid()}-{made.name}")
        ran = tool(command(unfinished))
        if ran.returncode:
            raise RuntimeError(f"{' '.join(command(unfinished))}\n{ran.stderr}")
        return unfinished.replace(made)  # whole, or not at all
