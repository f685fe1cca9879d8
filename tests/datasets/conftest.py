"""A cache of their own for the tests, so that they never read what an earlier version of the code left behind."""

import pytest

from roibench.datasets.scenes import open_scenes


@pytest.fixture(scope="session")
def session_cache(tmp_path_factory):
    return tmp_path_factory.mktemp("cache")


@pytest.fixture(scope="session")
def val(session_cache):
    """All of Scenes' val, with its cache in the session's folder."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("ROIBENCH_CACHE", str(session_cache))
        return list(open_scenes(None, "val"))


@pytest.fixture(autouse=True)
def scenes_cache(session_cache, monkeypatch):
    """Where Scenes keeps its files during a test; rendered once, shared by all tests."""
    monkeypatch.setenv("ROIBENCH_CACHE", str(session_cache))
    return session_cache
