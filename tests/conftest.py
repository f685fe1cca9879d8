"""Fixtures that tests of several folders share."""

import os
import signal
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings

from roibench.registry import Registry, installed

# No deadline: the first example pays for lazy initialisation, and machines that run tests are busy.
settings.register_profile("roibench", deadline=None, max_examples=50, suppress_health_check=[HealthCheck.too_slow])
# The same examples each time where a failure must be the change's own; new ones at every developer's desk.
settings.register_profile("ci", parent=settings.get_profile("roibench"), derandomize=True)
settings.load_profile("ci" if os.environ.get("CI") else "roibench")

# Where tests run in several processes, a pytest that a test starts is none of them: it may measure.
for name in ("PYTEST_XDIST_WORKER", "PYTEST_XDIST_WORKER_COUNT"):
    os.environ.pop(name, None)

# A shell that runs tests in the background lets them ignore Ctrl-C, and with them all that they start.
if threading.current_thread() is threading.main_thread():
    signal.signal(signal.SIGINT, signal.default_int_handler)

THIRD_PARTY = Path(__file__).parent / "third_party"


def _installed(patch: pytest.MonkeyPatch) -> Iterator[Registry]:
    """The registry as it is once somebody has installed tests/third_party, here and in spawned processes."""
    patch.setenv("PYTHONPATH", os.pathsep.join(filter(None, [str(THIRD_PARTY), os.environ.get("PYTHONPATH")])))
    patch.syspath_prepend(THIRD_PARTY)
    installed.cache_clear()
    yield installed()
    patch.undo()
    installed.cache_clear()


@pytest.fixture
def third_party(monkeypatch: pytest.MonkeyPatch) -> Iterator[Registry]:
    """For one test, whose own patches are undone with it."""
    yield from _installed(monkeypatch)


@pytest.fixture(scope="module")
def third_party_throughout() -> Iterator[Registry]:
    """For all tests of a module that ask for it: they share what is measured."""
    yield from _installed(pytest.MonkeyPatch())
