"""A paired benchmark on a GPU: timed by its own clock, on tensors that its cache has forgotten."""

from collections.abc import Callable
from itertools import cycle
from math import ceil
from time import perf_counter

import torch

from roibench.measure.paired import BUDGET_S, WARMUP_ROUNDS, Case

ROUNDS = 10  # that the host sends ahead, so that the GPU waits for no launch
MOST_COPIES = 64  # of a case; one that takes more of them is of tensors so small that launching takes longer


def run_interleaved_on_gpu(prepare: Callable[[], Case], device: str) -> dict[str, tuple[float, ...]]:
    """Seconds per round of each entry, in turns, from one CUDA event to the next.

    Every call gets tensors of its own, by turns from as many copies as fill the L2 cache twice: it finds nothing there
    that an earlier call left. Calls that wait for the GPU to know the size of their result, as NMS does, are timed with
    the wait.
    """
    with torch.device(device), torch.cuda.device(device):
        cases = _copies(prepare)
        sides = [side for side in ("ours", "baseline", "lower_bound") if getattr(cases[0], side) is not None]
        turns = cycle(cases)
        for _ in range(WARMUP_ROUNDS):
            for side in sides:
                getattr(next(turns), side)()
        seconds: dict[str, list[float]] = {side: [] for side in sides}
        begun = perf_counter()
        while perf_counter() - begun < BUDGET_S or not seconds["ours"]:
            events = [(side, _between_events(getattr(next(turns), side))) for _ in range(ROUNDS) for side in sides]
            torch.cuda.synchronize()
            for side, (start, end) in events:
                seconds[side].append(start.elapsed_time(end) / 1000)
    return {side: tuple(times) for side, times in seconds.items()}


def _copies(prepare: Callable[[], Case]) -> list[Case]:
    before = torch.cuda.memory_allocated()
    first = prepare()
    size = max(1, torch.cuda.memory_allocated() - before)
    cache = torch.cuda.get_device_properties(torch.cuda.current_device()).L2_cache_size
    return [first, *(prepare() for _ in range(min(MOST_COPIES, ceil(2 * cache / size))))]


def _between_events(call: Callable[[], object]) -> tuple[torch.cuda.Event, torch.cuda.Event]:
    start, end = (torch.cuda.Event(enable_timing=True) for _ in range(2))
    start.record()
    call()
    end.record()
    return start, end
