"""A cache of their own for the tests, so that they never read what an earlier version of the code left behind."""

import pytest


@pytest.fixture(scope="session")
def session_cache(tmp_path_factory):
    return tmp_path_factory.mktemp("cache")


@pytest.fixture(autouse=True)
def scenes_cache(session_cache, monkeypatch):
    """Where Scenes keeps its files during a test; rendered once, shared by all tests."""
    monkeypatch.setenv("ROIBENCH_CACHE", str(session_cache))
    return session_cache
