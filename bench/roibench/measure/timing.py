"""The clocks: how long predict takes, and how long each of its stages does."""

from collections.abc import Callable, Iterable, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from time import perf_counter, process_time

import numpy as np
import torch
from numpy.typing import NDArray

from roibench.measure.checks import check_count
from roibench.measure.predictions import same_predictions
from roibench.measure.record import Latency, Stage, Turns
from roibench.measure.steady import median_interval
from roibench.model import Model, listening
from roibench.structures import Input, Prediction

UNMARKED = "(unmarked)"


@dataclass
class Timed:
    """A timed turn: predictions in order, seconds and processor time (user and system, all threads, in seconds) per
    call, and images per call.

    Of a repeated turn, in place of the predictions, whether they were the first one's again, to the last bit.
    """

    predictions: list[Prediction] = field(default_factory=list)
    seconds: list[float] = field(default_factory=list)
    cpu_seconds: list[float] = field(default_factory=list)
    counts: list[int] = field(default_factory=list)
    repeats: bool = True

    @property
    def milliseconds(self) -> NDArray[np.float64]:
        """Per image, of each call."""
        return 1000 * np.divide(self.seconds, self.counts)

    @property
    def median(self) -> float:
        return float(np.median(self.milliseconds))


def time_predictions(
    model: Model,
    batches: Iterable[Sequence[Input]],
    precision: Callable[[], AbstractContextManager],
    first: Timed | None = None,
) -> Timed:
    """Runs predict on each batch, the clock running only inside the call.

    Predictions are on the host when predict returns, so nothing asynchronous outlives the span. Batches are drawn, and
    thereby decoded, while the clock stands. first: the pass that this one repeats. Its predictions are compared with
    this one's, which are let go: kept over many passes, thousands of small tensors among the model's large ones keep
    the allocator from using its memory again, and the model seems to need it. Raises PredictionError where predict
    doesn't return one prediction per input.
    """
    timed, done = Timed(), 0
    with precision():
        for batch in batches:
            cpu_start = process_time()
            start = perf_counter()
            predictions = model.predict(batch)
            timed.seconds.append(perf_counter() - start)
            timed.cpu_seconds.append(process_time() - cpu_start)
            if type(predictions) is not list or len(predictions) != len(batch):
                check_count(predictions, len(batch))
            if first is None:
                timed.predictions.extend(predictions)
            else:
                timed.repeats &= same_predictions(predictions, first.predictions[done : done + len(batch)])
            timed.counts.append(len(batch))
            done += len(batch)
    return timed


def summarise(timed: Sequence[Timed], turns: Turns) -> Latency:
    """Percentiles over all calls of all turns, in milliseconds per image; the median's interval is over turns."""
    milliseconds = np.concatenate([one.milliseconds for one in timed])
    images = sum(sum(one.counts) for one in timed)
    p50, p90, p99 = np.percentile(milliseconds, (50, 90, 99))
    return Latency(
        p50=median_interval(p50, turns.medians),
        p90=p90,
        p99=p99,
        mean=milliseconds.mean(),
        throughput=images / sum(sum(one.seconds) for one in timed),
        samples=[round(value, 4) for value in milliseconds.tolist()],
        cpu=1000 * sum(sum(one.cpu_seconds) for one in timed) / images,
        turns=turns,
    )


class StageClock:
    """Adds up the time of each stage; of nested stages, the inner one's counts for the inner one alone."""

    def __init__(self, device: torch.device) -> None:
        self.seconds: dict[str, float] = {}
        self._device = device
        self._open: list[str] = []
        self._since = 0.0

    def enter(self, name: str) -> None:
        self._charge()
        self._open.append(name)

    def exit(self, name: str) -> None:
        self._charge()
        self._open.remove(name)

    def _charge(self) -> None:
        if self._device.type == "cuda":
            torch.cuda.synchronize(self._device)
        now = perf_counter()
        if self._open:
            self.seconds[self._open[-1]] = self.seconds.get(self._open[-1], 0.0) + now - self._since
        self._since = now


def time_stages(
    model: Model,
    batches: Iterable[Sequence[Input]],
    precision: Callable[[], AbstractContextManager],
    device: torch.device,
) -> list[Stage]:
    """Median milliseconds per image of each declared stage, and of the time outside all of them.

    Raises ValueError for a stage that the model marks but does not declare.
    """
    rows = []
    with precision():
        for batch in batches:
            clock = StageClock(device)
            with listening(clock):
                start = perf_counter()
                model.predict(batch)
                total = perf_counter() - start
            if undeclared := set(clock.seconds) - set(model.stages):
                raise ValueError(f"predict marks {sorted(undeclared)}, which {type(model).__name__}.stages lacks")
            marked = [clock.seconds.get(name, 0.0) for name in model.stages]
            rows.append([1000 * value / len(batch) for value in (*marked, total - sum(marked))])
    table = np.array(rows)
    shares = table.sum(0) / table.sum()
    names = (*model.stages, UNMARKED)
    return [
        Stage(name=name, milliseconds=value, share=share)
        for name, value, share in zip(names, np.median(table, 0), shares, strict=True)
    ]
