"""What the suite's own work costs."""

from collections.abc import Callable
from contextlib import nullcontext
from statistics import median
from time import perf_counter

import pytest
import torch
from torch import Tensor

from roibench.datasets.scenes import compose
from roibench.measure.timing import time_predictions
from roibench.metrics.detection import coco_ap
from roibench.structures import Input, Prediction, Target


def timed(benchmark, group: str, call: Callable[[], object]) -> None:
    benchmark.group = group
    benchmark.pedantic(call, rounds=15, warmup_rounds=2)


class Nothing:
    """A model whose predict costs as little as one can."""

    stages = ()

    def predict(self, inputs: list[Input]) -> list[Prediction]:
        return [Prediction() for _ in inputs]


@pytest.mark.parametrize("loop", ["bare", "harness"])
def test_harness_overhead(loop, benchmark):
    """What timing and collecting add to a bare loop around predict; added_us_per_image in the JSON is how much."""
    model = Nothing()
    batches = [[Input(str(i), None)] for i in range(2_000)]

    def bare() -> list[Prediction]:
        collected: list[Prediction] = []
        for batch in batches:
            collected.extend(model.predict(batch))
        return collected

    def harness() -> object:
        return time_predictions(model, batches, nullcontext)

    def seconds(call: Callable[[], object]) -> float:
        start = perf_counter()
        call()
        return perf_counter() - start

    added = [(seconds(harness) - seconds(bare)) / len(batches) for _ in range(15)]
    benchmark.extra_info["added_us_per_image"] = median(added) * 1e6
    timed(benchmark, "loop over 2,000 images", bare if loop == "bare" else harness)


def test_scenes_rendering(benchmark):
    """Twenty scenes of 128 x 128 pixels, not from the cache: 0.2 s is 100 images a second."""
    timed(benchmark, "render 20 scenes", lambda: [compose.render("train", index, 128) for index in range(20)])


def test_coco_ap_with_intervals(benchmark):
    """COCO's 12 numbers and their 1,000 resamples: 500 images, 12 classes, about 25,000 detections."""
    generator = torch.Generator().manual_seed(0)

    def some(count: int) -> dict[str, Tensor]:
        corner = torch.rand(count, 2, generator=generator) * 100
        side = 4 + torch.rand(count, 2, generator=generator) * 30
        labels = torch.randint(0, 12, (count,), generator=generator)
        return {"boxes": torch.cat([corner, corner + side], dim=1), "labels": labels}

    targets = [Target(**some(6)) for _ in range(500)]
    predictions = [Prediction(**some(50), scores=torch.rand(50, generator=generator)) for _ in range(500)]
    benchmark.group = "coco_ap, 500 images, 1,000 resamples"
    benchmark.pedantic(lambda: coco_ap(predictions, targets), rounds=1)
