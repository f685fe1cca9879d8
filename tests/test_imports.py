"""Data flows one way: no module imports, directly or through others, one that imports it."""

import ast
from graphlib import CycleError, TopologicalSorter
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
PACKAGES = {"roibench": ROOT / "bench/roibench", "roibench.plugins": ROOT / "plugins"}


def modules() -> dict[str, Path]:
    """Every module of the package by its name."""
    found = {}
    for package, folder in PACKAGES.items():
        for file in folder.rglob("*.py"):
            parts = file.relative_to(folder).with_suffix("").parts
            found[".".join((package, *parts)).removesuffix(".__init__")] = file
    return found


def imported(file: Path, known: set[str]) -> set[str]:
    """Those of the known modules that a file imports, wherever in it, for types alone too."""
    names = set()
    for node in ast.walk(ast.parse(file.read_text())):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            names |= {f"{node.module}.{alias.name}" for alias in node.names} | {node.module}
    return names & known


@pytest.fixture(scope="module")
def graph() -> dict[str, set[str]]:
    found = modules()
    return {name: imported(file, set(found)) - {name} for name, file in found.items()}


def test_no_cycle(graph):
    try:
        list(TopologicalSorter(graph).static_order())
    except CycleError as error:
        pytest.fail(" imports ".join(reversed(error.args[1])))


def test_plugins_know_nothing_of_measuring_or_reports(graph):
    wrong = {
        (name, other)
        for name, others in graph.items()
        for other in others
        if name.startswith("roibench.plugins") and other.startswith(("roibench.measure", "roibench.report"))
    }
    assert not wrong
