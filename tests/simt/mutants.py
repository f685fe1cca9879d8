"""Seeded bugs: is each found by a lane? `python -m simt.mutants [--all] [TEST FILE OR PART OF A NAME ...]`, see
mutants.toml.

Lanes are tried from the cheapest on, up to the first that finds the bug; with --all, every one. A mutant is found where
a lane's tests of its operator fail that pass without it.
"""

import shutil
import subprocess
import sys
import tomllib
from dataclasses import dataclass
from functools import cache

from simt.build import CACHE, CSRC, HERE, ROOT, SELFTEST, Lane
from simt.lanes import pytest

LANES = [Lane("source"), Lane("source", "address"), Lane("source", "thread"), Lane("sm_90"), Lane("sm_90", "thread")]
LONG = 600  # seconds: a mutant may loop for ever


@dataclass(frozen=True)
class Mutant:
    """One text replaced by another, once, in one file."""

    name: str
    file: str
    find: str
    replace: str
    tests: str

    def unchanged(self) -> str:
        return (ROOT / self.file).read_text()

    def changed(self) -> str:
        """The file with the bug. Raises ValueError unless `find` stands in it once."""
        text = self.unchanged()
        if (times := text.count(self.find)) != 1:
            raise ValueError(f"mutant {self.name!r}: {self.find!r} stands {times} times in {self.file}, wanted is once")
        return text.replace(self.find, self.replace)

    def plant(self) -> dict[str, str]:
        """Makes a copy of the sources with the bug; returns the environment in which the lanes take it."""
        copy = CACHE / "mutant"
        shutil.rmtree(copy, ignore_errors=True)
        for folder in (CSRC, SELFTEST):
            shutil.copytree(folder, copy / folder.relative_to(ROOT))
        (copy / self.file).write_text(self.changed())
        return {"ROIBENCH_SIMT_SOURCES": str(copy)}

    def found_by(self, lane: Lane) -> str:
        """What told on it: a test, a sanitizer's report, the compiler or time running out; nothing if no test fails."""
        try:
            options = {"capture_output": True, "text": True, "timeout": LONG}
            ran = pytest(lane, ["-x", *paths(self.tests)], env=self.plant(), **options)
        except subprocess.TimeoutExpired:
            return "timeout"
        if ran.returncode == 0:
            return ""
        told = {"data race": "race", "runtime error:": "address", "AddressSanitizer": "address"}
        told |= {"KernelError": "emulator", "RuntimeError: g++": "compiler", "RuntimeError: nvcc": "compiler"}
        return next((by for text, by in told.items() if text in ran.stdout), "test")


def all_mutants() -> list[Mutant]:
    return [Mutant(**m) for m in tomllib.loads((HERE / "mutants.toml").read_text())["mutant"]]


@cache
def passes(lane: Lane, tests: str) -> bool:
    """Whether the tests pass without a mutant: else a failure would say nothing."""
    return pytest(lane, ["-x", *paths(tests)], capture_output=True).returncode == 0


def paths(tests: str) -> list[str]:
    return [str(HERE / test) for test in tests.split()]


def main() -> None:
    arguments = [a for a in sys.argv[1:] if a != "--all"]
    mutants = [m for m in all_mutants() if not arguments or any(a in m.name or a in m.tests.split() for a in arguments)]
    lanes = [lane for lane in LANES if not lane.missing]
    print(f"{'mutant':70}" + "".join(f"{lane!s:>16}" for lane in lanes), flush=True)
    survivors = []
    for mutant in mutants:
        print(f"{mutant.name:70}", end="", flush=True)
        found = False
        for lane in lanes:
            if found and "--all" not in sys.argv:
                break
            by = mutant.found_by(lane)
            if by and not passes(lane, mutant.tests):
                sys.exit(f"\n{mutant.tests} fails in lane {lane} without any mutant")
            found = found or bool(by)
            print(f"{by or '-':>16}", end="", flush=True)
        print()
        survivors += [] if found else [mutant.name]
    print(f"\n{len(mutants) - len(survivors)} of {len(mutants)} mutants found")
    sys.exit("\n".join(f"not found: {name}" for name in survivors) or None)


if __name__ == "__main__":
    main()
