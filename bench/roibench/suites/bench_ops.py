"""Each operator beside its baseline, taking turns on the same tensors; likewise the detectors that are built of them.

pytest-benchmark shows what was measured then. The table at the end, which also lies as ops.md in the run's folder, has
the ratio and the share of the machine's limit. `--device cuda` measures the operators on a GPU.
"""

import os

import pytest

from roibench.measure.paired import PairedBenchmark, run_interleaved
from roibench.measure.paired_gpu import run_interleaved_on_gpu
from roibench.options import words
from roibench.pytest_plugin import PAIRED_BENCHMARKS, Replay
from roibench.suites import end_to_end, operators, stages
from roibench.suites.operators import OperatorBenchmark

THREADS = sorted({1, os.cpu_count() or 1})  # what has no baseline is measured at one


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    metafunc.parametrize(
        ("subject", "device", "threads", "side"),
        [
            pytest.param(
                subject, device, threads, side, id=f"{subject.operator}-{subject.input}-{threads or device}-{side}"
            )
            for device in words(metafunc.config.getoption("--device"))
            for subject, threads in (_on_cpu() if device == "cpu" else _on_gpu())
            for side in ("ours", "baseline")
            if side == "ours" or subject.baseline
        ],
    )


def _on_cpu() -> list[tuple[OperatorBenchmark, int]]:
    benchmarks = (*operators.BENCHMARKS, *end_to_end.BENCHMARKS, *stages.BENCHMARKS)
    return [(subject, threads) for subject in benchmarks for threads in (THREADS if subject.baseline else (1,))]


def _on_gpu() -> list[tuple[OperatorBenchmark, None]]:
    return [(subject, None) for subject in operators.BENCHMARKS]


@pytest.fixture
def paired(
    subject: OperatorBenchmark, device: str, threads: int | None, side: str, request: pytest.FixtureRequest
) -> PairedBenchmark:
    """Run when the first side asks. It must come before `benchmark`: it hands that fixture its clock."""
    benchmarks = request.config.stash.setdefault(PAIRED_BENCHMARKS, {})
    key = subject.operator, subject.input, threads or device
    if key not in benchmarks:
        seconds = (
            run_interleaved(subject.prepare(), threads) if threads else run_interleaved_on_gpu(subject.prepare, device)
        )
        benchmarks[key] = PairedBenchmark(
            subject.operator, subject.input, threads, subject.baseline, subject.lower_bound, seconds
        )
    request.node.add_marker(pytest.mark.benchmark(timer=Replay(benchmarks[key].seconds[side])))
    return benchmarks[key]


def test_operator(subject, device, threads, side, paired, benchmark):
    benchmark.group = f"{subject.operator} {subject.input}, {f'{threads} threads' if threads else device}"
    benchmark.extra_info |= {"threads": threads, "ratio": paired.ratio, "share_of_limit": paired.share}
    benchmark.pedantic(lambda: None, rounds=len(paired.seconds[side]))
