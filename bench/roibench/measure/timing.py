"""The clocks: how long predict takes, and how long each of its stages does."""

from collections.abc import Callable, Iterable, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from time import perf_counter

import numpy as np
import torch

from roibench.measure.checks import check_count
from roibench.measure.predictions import same_predictions
from roibench.measure.record import Interval, Latency, Stage
from roibench.model import Model, listening
from roibench.structures import Input, Prediction

UNMARKED = "(unmarked)"


@dataclass
class Timed:
    """One timed pass: predictions in order, seconds per call, and images per call.

    Of a repeated pass, in place of the predictions, whether they were the first one's again, to the last bit.
    """

    predictions: list[Prediction] = field(default_factory=list)
    seconds: list[float] = field(default_factory=list)
    counts: list[int] = field(default_factory=list)
    repeats: bool = True


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
            start = perf_counter()
            predictions = model.predict(batch)
            timed.seconds.append(perf_counter() - start)
            if type(predictions) is not list or len(predictions) != len(batch):
                check_count(predictions, len(batch))
            if first is None:
                timed.predictions.extend(predictions)
            else:
                timed.repeats &= same_predictions(predictions, first.predictions[done : done + len(batch)])
            timed.counts.append(len(batch))
            done += len(batch)
    return timed


def summarise(rounds: Sequence[Timed], resamples: int = 1000) -> Latency:
    """Percentiles over all calls of all rounds, in milliseconds per image.

    The 95 % interval of the median resamples rounds as well as images (the pigeonhole bootstrap, Owen 2007, arXiv
    0712.1111): calls on one image are not independent of each other, nor are those of one round, which share the state
    that the machine was in. One round tells nothing of how that state varies.
    """
    seconds = np.array([one.seconds for one in rounds])
    milliseconds = seconds / np.array(rounds[0].counts) * 1000
    generator = np.random.default_rng(0)
    medians = [
        np.median(milliseconds[np.ix_(*(generator.integers(0, size, size) for size in milliseconds.shape))])
        for _ in range(resamples)
    ]
    p50, p90, p99 = np.percentile(milliseconds, (50, 90, 99))
    low, high = np.percentile(medians, (2.5, 97.5))
    return Latency(
        p50=Interval(value=p50, low=low, high=high),
        p90=p90,
        p99=p99,
        mean=milliseconds.mean(),
        throughput=sum(rounds[0].counts) * len(rounds) / seconds.sum(),
        samples=[round(value, 4) for value in milliseconds.ravel().tolist()],
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
