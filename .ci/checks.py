"""Slow checks that depend on few files: each is run where those differ from the ones that it last passed with.

    make check        runs what has changed          make check-all    runs everything

Both record what passed in passed.json, which is committed with the change: nobody runs a check again that already
passed with the same sources.
"""

import hashlib
import json
import os
import re
import subprocess
import sys
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
PASSED = Path(__file__).with_name("passed.json")
PYTHON = ".venv/bin/python"
SIMT = ROOT / "tests/simt"
CUDA = ROOT / "csrc/cuda/kernels"


@dataclass(frozen=True)
class Check:
    """A check of one or more parts, which are recorded each by itself.

    parts: name -> the files that the part depends on. command: the parts that have changed -> what runs them, as a
    shell sees it. needs: a command that fails where this machine can't run the check.
    """

    name: str
    parts: dict[str, list[Path]]
    command: Callable[[list[str]], str]
    needs: str = "true"

    def digests(self) -> dict[str, str]:
        return {part: digest(files) for part, files in self.parts.items()}

    def runs_here(self) -> bool:
        return subprocess.run(self.needs, shell=True, cwd=ROOT, capture_output=True).returncode == 0


def digest(files: Iterable[Path]) -> str:
    """SHA-256 over names and contents."""
    total = hashlib.sha256()
    for file in sorted(files):
        total.update(f"{file.relative_to(ROOT)}\0".encode() + hashlib.sha256(file.read_bytes()).digest())
    return total.hexdigest()[:16]


def tracked(*paths: str) -> list[Path]:
    """The repository's files at these paths, or below them, with those that are new."""
    listed = subprocess.run(
        ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard", "--", *paths],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=True,
    ).stdout
    files = {ROOT / name for name in listed.split("\0") if name}
    return sorted(file for file in files if file.is_file())


def with_includes(*files: Path) -> set[Path]:
    """C++ files and all that they include in quotation marks."""
    found: set[Path] = set()
    waiting = list(files)
    while waiting:
        file = waiting.pop()
        if file in found or not file.is_file():
            continue
        found.add(file)
        waiting += [(file.parent / name).resolve() for name in re.findall(r'^#include "(.+)"', file.read_text(), re.M)]
    return found


def emulated() -> dict[str, list[Path]]:
    """Each operator's test on the emulator -> its kernels, the emulator, and what builds and runs it."""
    emulator = set(tracked("tests/simt", "tests/random_regions.py"))
    tests = {file for file in emulator if file.parent == SIMT and file.name.startswith("test_")}
    kernels = {file.stem: file for file in CUDA.glob("*.cu")}
    parts = {}
    for test in sorted(tests):
        own = kernels.get(test.stem.removeprefix("test_"))
        sources = with_includes(own, CUDA / "windows.cu") if own else set()
        parts[test.name] = sorted((emulator - tests) | {test} | sources)
    return parts


def checks() -> list[Check]:
    operators = tracked("csrc", "bench/roibench/ops", "tests/ops", "tests/random_regions.py", "setup.py")
    on_cpu = [file for file in operators if "cuda" not in file.relative_to(ROOT).parts]
    of_cuda = tracked("csrc", "setup.py", "tests/simt/sass.py", "tests/simt/sass_rules.toml")
    found = [
        Check(
            f"operators at SIMD level {level}",
            {level: on_cpu},
            lambda parts: f"make test-simd LEVELS={parts[0]}",
            f"ROIBENCH_SIMD={level} {PYTHON} -c 'import roibench.ops'",
        )
        for level in ("v2", "v3", "v4")
    ]
    found += [
        Check("operators under sanitizers", {"asan": on_cpu}, lambda parts: "make test-asan"),
        Check("build with CUDA", {"build": of_cuda}, lambda parts: "make build-cuda", "nvcc --version"),
        Check("machine code of CUDA kernels", {"sass": of_cuda}, lambda parts: "make sass", "nvcc --version"),
    ]
    folder = SIMT.relative_to(ROOT)
    found += [
        Check(
            "CUDA kernels in all lanes of the emulator",
            emulated(),
            lambda parts: f"make test-cuda ARGS='-- {' '.join(f'{folder}/{part}' for part in parts)}'",
            "nvcc --version",
        ),
        Check(
            "bugs planted in CUDA kernels",
            emulated(),
            lambda parts: f"make test-mutants ARGS='{' '.join(parts)}'",
            "nvcc --version",
        ),
    ]
    return found


def run(check: Check, everything: bool, passed: dict[str, dict[str, str]]) -> bool:
    """Runs what has changed, or everything; False if it failed. What passes is written into `passed`."""
    now, before = check.digests(), passed.get(check.name, {})
    changed = [part for part, found in now.items() if everything or before.get(part) != found]
    print(f"\n-- {check.name}: ", end="")
    if not changed:
        print("passed with these sources before", flush=True)
        return True
    if not check.runs_here():
        print(f"can't run here ({check.needs})", flush=True)
        return True
    print(", ".join(changed) if len(now) > 1 else "runs", flush=True)
    began = time.monotonic()
    well = subprocess.run(check.command(changed), shell=True, cwd=ROOT).returncode == 0
    print(f"-- {check.name}: {'passed' if well else 'FAILED'} in {time.monotonic() - began:.0f} s", flush=True)
    if well:
        passed[check.name] = {part: now[part] for part in now if part in changed or before.get(part) == now[part]}
        PASSED.write_text(json.dumps(passed, indent=2, sort_keys=True) + "\n")
    return well


def main() -> None:
    os.environ.setdefault("CI", "true")
    passed = json.loads(PASSED.read_text()) if PASSED.exists() else {}
    failed = [check.name for check in checks() if not run(check, "--all" in sys.argv, passed)]
    sys.exit("\n".join(f"failed: {name}" for name in failed) or None)


if __name__ == "__main__":
    main()
