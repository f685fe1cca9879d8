"""Runs the tests of this folder in several lanes: `python -m simt.lanes [LANE ...] [-- arguments of pytest]`.

Without a name, in all that `make test` leaves out. A lane whose tools are missing is skipped, and the summary says why.
"""

import os
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator

from simt.build import ARCHITECTURES, HERE, ROOT, SANITIZERS, Lane

BEYOND_THE_PLAIN_ONE = [
    *(Lane("source", sanitizer) for sanitizer in SANITIZERS),
    *(Lane(architecture) for architecture in ARCHITECTURES),
    *(Lane(ARCHITECTURES[-1], sanitizer) for sanitizer in SANITIZERS),
]


def run(lane: Lane, arguments: list[str], **options) -> subprocess.CompletedProcess:
    """Runs Python where it can load the lane's library; options are subprocess.run's."""
    environment = {
        **os.environ,
        "ROIBENCH_SIMT": str(lane),
        "PYTHONPATH": os.pathsep.join(filter(None, [str(HERE.parent), os.environ.get("PYTHONPATH")])),
        "LD_PRELOAD": "",
        "ASAN_OPTIONS": "detect_leaks=0",
        "UBSAN_OPTIONS": "print_stacktrace=1",
        "TSAN_OPTIONS": "halt_on_error=1 exitcode=66",
        "OMP_NUM_THREADS": "1",
        **options.pop("env", {}),
    }
    command = ["env", f"LD_PRELOAD={' '.join(map(str, lane.preloaded))}", sys.executable, *arguments]
    if lane.sanitizer == "thread" and shutil.which("setarch"):
        command = ["setarch", "-R", *command]  # ThreadSanitizer wants addresses where it expects them, not random
    return subprocess.run(command, env=environment, cwd=ROOT, **options)


def pytest(lane: Lane, arguments: list[str], **options) -> subprocess.CompletedProcess:
    return run(lane, ["-m", "pytest", "-p", "no:cacheprovider", "-q", *arguments], **options)


def summaries(lanes: list[Lane], arguments: list[str]) -> Iterator[tuple[bool, str]]:
    """Whether each lane is well, and one line about it."""
    for lane in lanes:
        if lane.missing:
            yield True, f"{lane!s:16} skipped: {lane.missing}"
            continue
        print(f"\n== {lane}", flush=True)
        began = time.monotonic()
        code = pytest(lane, arguments).returncode
        seconds = time.monotonic() - began
        yield code == 0, f"{lane!s:16} {'passed' if code == 0 else f'FAILED (exit status {code})'} in {seconds:.0f} s"


def main() -> None:
    names, _, arguments = " ".join(sys.argv[1:]).partition("--")
    try:
        lanes = [Lane.parse(name) for name in names.split()] or BEYOND_THE_PLAIN_ONE
    except ValueError as error:
        sys.exit(str(error))
    results = list(summaries(lanes, arguments.split() or [str(HERE)]))
    print("\n" + "\n".join(line for _, line in results))
    sys.exit(not all(well for well, _ in results))


if __name__ == "__main__":
    main()
