"""Fixtures that tests of several rooms share."""

import os
from pathlib import Path

import pytest

from roibench.registry import Registry, installed

THIRD_PARTY = Path(__file__).parent / "third_party"


@pytest.fixture
def third_party(monkeypatch: pytest.MonkeyPatch) -> Registry:
    """The registry as it is once somebody has installed tests/third_party, here and in spawned processes."""
    before = os.environ.get("PYTHONPATH")
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join(filter(None, [str(THIRD_PARTY), before])))
    monkeypatch.syspath_prepend(THIRD_PARTY)
    installed.cache_clear()
    yield installed()
    installed.cache_clear()
