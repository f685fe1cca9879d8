"""Runs the tests of this folder in several lanes: `python -m simt.lanes [LANE ...] [-- arguments of pytest]`.

Without a name, in all that `make test` leaves out. A lane whose tools are missing is skipped, and the summary says why.
"""

import os
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


def pytest(lane: Lane, arguments: list[str], **options) -> subprocess.CompletedProcess:
    """Runs pytest in the lane; options are subprocess.run's."""
    environment = {**os.environ, "ROIBENCH_SIMT": str(lane), "OMP_NUM_THREADS": "1", **options.pop("env", {})}
    command = [sys.executable, "-m", "pytest", "-p", "no:cacheprovider", "-q", "-n", "logical", *arguments]
    return subprocess.run(command, env=environment, cwd=ROOT, **options)


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
