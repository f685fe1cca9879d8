"""Each operator beside its peer, taking turns on the same tensors; likewise the detectors that are built of them.

pytest-benchmark shows what was measured then. The table at the end, which also lies as ops.md in the run's folder, has
the ratio and the share of the machine's limit.
"""

import os

import pytest

from roibench.measure.duel import Duel, fight
from roibench.pytest_plugin import DUELS, Replay
from roibench.suites import end_to_end, operators, stages
from roibench.suites.operators import Case

THREADS = sorted({1, os.cpu_count() or 1})  # what has no peer is measured at one
SIDES = [
    pytest.param(case, threads, side, id=f"{case.operator}-{case.input}-{threads}-{side}")
    for case in (*operators.CASES, *end_to_end.CASES, *stages.CASES)
    for threads in (THREADS if case.peer else (1,))
    for side in ("ours", "peer")
    if side == "ours" or case.peer
]


@pytest.fixture
def duel(case: Case, threads: int, side: str, request: pytest.FixtureRequest) -> Duel:
    """Fought when the first side asks. It must come before `benchmark`: it hands that fixture its clock."""
    duels = request.config.stash.setdefault(DUELS, {})
    key = case.operator, case.input, threads
    if key not in duels:
        duels[key] = Duel(*key, case.peer, case.floor, fight(case.prepare(), threads))
    request.node.add_marker(pytest.mark.benchmark(timer=Replay(duels[key].seconds[side])))
    return duels[key]


@pytest.mark.parametrize(("case", "threads", "side"), SIDES)
def test_operator(case, threads, side, duel, benchmark):
    benchmark.group = f"{case.operator} {case.input}, {threads} threads"
    benchmark.extra_info |= {"threads": threads, "ratio": duel.ratio, "share_of_limit": duel.share}
    benchmark.pedantic(lambda: None, rounds=len(duel.seconds[side]))
