"""An operator against its baseline and against the machine: the same tensors, taking turns, in one process."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from statistics import median
from time import perf_counter

import torch

BUDGET_S = 0.6  # for all rounds of a paired benchmark, unless that is fewer than
LEAST_ROUNDS = 3
WARMUP_ROUNDS = 1


@dataclass(frozen=True)
class Case:
    """What takes turns: calls without arguments. lower_bound: the least that the machine must do for such a result."""

    ours: Callable[[], object]
    baseline: Callable[[], object] | None = None
    lower_bound: Callable[[], object] | None = None


@dataclass(frozen=True)
class PairedBenchmark:
    """What came of it.

    threads: None for a GPU.
    seconds: per entry (ours, baseline, lower_bound), a time per round.
    """

    operator: str
    input: str
    threads: int | None
    baseline: str | None
    lower_bound: str | None
    seconds: Mapping[str, tuple[float, ...]]

    def milliseconds(self, side: str) -> float | None:
        """The median round, None for a side that doesn't exist."""
        return 1000 * median(self.seconds[side]) if side in self.seconds else None

    @property
    def ratio(self) -> float | None:
        """How many times faster than the baseline: the median of the rounds' ratios, which share the machine's mood."""
        return self._against("baseline")

    @property
    def share(self) -> float | None:
        """Of the machine's limit: 1 is as fast as the lower bound."""
        return self._against("lower_bound")

    def _against(self, side: str) -> float | None:
        if side not in self.seconds:
            return None
        return median(other / own for own, other in zip(self.seconds["ours"], self.seconds[side], strict=True))


def run_interleaved(case: Case, threads: int) -> dict[str, tuple[float, ...]]:
    """Seconds per round of each entry, in turns, with so many threads of torch's."""
    calls = {"ours": case.ours, "baseline": case.baseline, "lower_bound": case.lower_bound}
    calls = {side: call for side, call in calls.items() if call is not None}
    before = torch.get_num_threads()
    torch.set_num_threads(threads)
    try:
        for _ in range(WARMUP_ROUNDS):
            for call in calls.values():
                call()
        rounds: list[dict[str, float]] = []
        begun = perf_counter()
        while len(rounds) < LEAST_ROUNDS or perf_counter() - begun < BUDGET_S:
            rounds.append({side: _seconds(call) for side, call in calls.items()})
    finally:
        torch.set_num_threads(before)
    return {side: tuple(one[side] for one in rounds) for side in calls}


def _seconds(call: Callable[[], object]) -> float:
    start = perf_counter()
    call()
    return perf_counter() - start
