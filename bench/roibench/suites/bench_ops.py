"""Each operator beside its peer, taking turns on the same tensors; likewise the detectors that are built of them.

pytest-benchmark shows what was measured then. The table at the end, which also lies as ops.md in the run's folder, has
the ratio and the share of the machine's limit. `--device cuda` measures the operators on a GPU.
"""

import os

import pytest

from roibench.measure.duel import Duel, fight
from roibench.measure.gpu_duel import fight_on_gpu
from roibench.pytest_plugin import DUELS, Replay
from roibench.suites import end_to_end, operators, stages
from roibench.suites.operators import Case

THREADS = sorted({1, os.cpu_count() or 1})  # what has no peer is measured at one


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    devices = [device.strip() for device in metafunc.config.getoption("device").split(",")]
    metafunc.parametrize(
        ("case", "device", "threads", "side"),
        [
            pytest.param(case, device, threads, side, id=f"{case.operator}-{case.input}-{threads or device}-{side}")
            for device in devices
            for case, threads in (_on_cpu() if device == "cpu" else _on_gpu())
            for side in ("ours", "peer")
            if side == "ours" or case.peer
        ],
    )


def _on_cpu() -> list[tuple[Case, int]]:
    cases = (*operators.CASES, *end_to_end.CASES, *stages.CASES)
    return [(case, threads) for case in cases for threads in (THREADS if case.peer else (1,))]


def _on_gpu() -> list[tuple[Case, None]]:
    return [(case, None) for case in operators.CASES]


@pytest.fixture
def duel(case: Case, device: str, threads: int | None, side: str, request: pytest.FixtureRequest) -> Duel:
    """Fought when the first side asks. It must come before `benchmark`: it hands that fixture its clock."""
    duels = request.config.stash.setdefault(DUELS, {})
    key = case.operator, case.input, threads or device
    if key not in duels:
        seconds = fight(case.prepare(), threads) if threads else fight_on_gpu(case.prepare, device)
        duels[key] = Duel(case.operator, case.input, threads, case.peer, case.floor, seconds)
    request.node.add_marker(pytest.mark.benchmark(timer=Replay(duels[key].seconds[side])))
    return duels[key]


def test_operator(case, device, threads, side, duel, benchmark):
    benchmark.group = f"{case.operator} {case.input}, {f'{threads} threads' if threads else device}"
    benchmark.extra_info |= {"threads": threads, "ratio": duel.ratio, "share_of_limit": duel.share}
    benchmark.pedantic(lambda: None, rounds=len(duel.seconds[side]))
