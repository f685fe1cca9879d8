"""How often the intervals hold the true value: `python -m roibench.metrics.coverage` writes results/coverage.md.

A population of generated images with ground truth and the predictions of imagined models; the true value is the
metric's on the whole population. Samples are drawn from it, and their intervals counted that hold the true value.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np
import torch

from roibench.datasets.scenes.shapes import CLASSES as SCENES_CLASSES
from roibench.metric import Estimate
from roibench.metrics.attribution import pointing_game
from roibench.metrics.average_precision import mean_precision
from roibench.metrics.bootstrap import bootstrap_precision
from roibench.metrics.classification import top_k_accuracy
from roibench.metrics.detection import pair_boxes
from roibench.metrics.fields import by_image
from roibench.metrics.matching import AREAS, match
from roibench.metrics.semantic_segmentation import mean_iou
from roibench.structures import Prediction, Target

POPULATION = 3000  # images
SIZES = (50, 100, 500)
REPETITIONS = 300  # a coverage of 95 % is known to within 2.5 points: 1.96 standard errors
CLASSES = len(SCENES_CLASSES)
FILE = Path("results/coverage.md")

Image = tuple[Prediction, Target]
Measure = Callable[[Sequence[int]], Estimate]  # of these images of a population


@dataclass(frozen=True)
class Coverage:
    """What became of the intervals of many samples.

    images: in each sample.
    held: fraction of the intervals that hold the true value.
    width: mean of high - low.
    bias: mean of the values minus the true one.
    """

    images: int
    held: float
    width: float
    bias: float


def coverage(measure: Measure, true: float, images: int, repetitions: int, seed: int = 0) -> Coverage:
    """Draw samples of so many images, with replacement, from the population and measure each."""
    generator = np.random.default_rng((seed, images))
    drawn = [measure(generator.integers(POPULATION, size=images).tolist()) for _ in range(repetitions)]
    value, low, high = np.array([(one.value, one.low, one.high) for one in drawn]).T
    held = ((low <= true) & (true <= high)).mean()
    return Coverage(images, float(held), float((high - low).mean()), float(value.mean() - true))


def detection(generator: np.random.Generator) -> Measure:
    """AP of a detector that overlooks objects, blurs boxes, confuses classes and sees what isn't there."""
    pairings = [pair_boxes(*one) for one in by_image(*zip(*_many(_detected, generator), strict=True))]

    def measure(indices: Sequence[int]) -> Estimate:
        matching = match([pairings[i] for i in indices], areas={"all": AREAS["all"]})
        statistic = partial(mean_precision, matching)
        return bootstrap_precision(statistic, len(indices))["AP"]

    return measure


def segmentation(generator: np.random.Generator) -> Measure:
    images = _many(_segmented, generator)
    return lambda indices: mean_iou(*_pick(images, indices)).values["mIoU"]


def classification(generator: np.random.Generator, accuracy: float) -> Measure:
    images = _many(_classified, generator, accuracy)
    return lambda indices: top_k_accuracy(*_pick(images, indices)).values["top1"]


def pointing(generator: np.random.Generator, accuracy: float) -> Measure:
    images = _many(_pointed, generator, accuracy)
    return lambda indices: pointing_game(*_pick(images, indices)).values["pointing"]


SIMULATIONS: dict[str, Callable[[np.random.Generator], Measure]] = {
    "AP": detection,
    "mIoU": segmentation,
    "top1, p = 0.8": partial(classification, accuracy=0.8),
    "top1, p = 0.995": partial(classification, accuracy=0.995),
    "pointing, p = 0.8": partial(pointing, accuracy=0.8),
    "pointing, p = 0.995": partial(pointing, accuracy=0.995),
}


def _many(make: Callable[..., Image], generator: np.random.Generator, *arguments: float) -> list[Image]:
    return [make(generator, *arguments) for _ in range(POPULATION)]


def _pick(images: Sequence[Image], indices: Sequence[int]) -> tuple[list[Prediction], list[Target]]:
    picked = [images[i] for i in indices]
    return [prediction for prediction, _ in picked], [target for _, target in picked]


def _boxes(generator: np.random.Generator, count: int) -> torch.Tensor:
    corner, size = generator.uniform(0, 200, (count, 2)), generator.uniform(10, 110, (count, 2))
    return torch.from_numpy(np.concatenate([corner, corner + size], 1))


def _detected(generator: np.random.Generator) -> Image:
    count, wrong = generator.integers(0, 5), generator.poisson(0.5)
    boxes, labels = _boxes(generator, count), torch.from_numpy(generator.integers(CLASSES, size=count))
    sides = (boxes[:, 2:] - boxes[:, :2]).repeat(1, 2)
    seen = torch.from_numpy(generator.random(count) < 0.9)
    confused = torch.from_numpy(generator.random(count) < 0.05)
    found = boxes + sides * torch.from_numpy(generator.normal(0, 0.04, (count, 4)))
    prediction = Prediction(
        boxes=torch.cat([found[seen], _boxes(generator, wrong)]),
        labels=torch.cat(
            [
                torch.where(confused, (labels + 1) % CLASSES, labels)[seen],
                torch.from_numpy(generator.integers(CLASSES, size=wrong)),
            ]
        ),
        scores=torch.from_numpy(np.concatenate([generator.beta(5, 2, int(seen.sum())), generator.beta(2, 4, wrong)])),
    )
    return prediction, Target(boxes=boxes, labels=labels)


def _segmented(generator: np.random.Generator) -> Image:
    """Two rectangles on a background, some pixels wrong, more on some images than on others."""
    true = np.zeros((12, 12), np.uint8)
    for label in 1 + generator.integers(CLASSES, size=2):
        y, x = generator.integers(0, 8, 2)
        true[y : y + generator.integers(3, 8), x : x + generator.integers(3, 8)] = label
    wrong = generator.random(true.shape) < generator.beta(1, 5)
    predicted = np.where(wrong, generator.integers(0, CLASSES + 1, true.shape), true).astype(np.uint8)
    return Prediction(semantic_map=torch.from_numpy(predicted)), Target(semantic_map=torch.from_numpy(true))


def _classified(generator: np.random.Generator, accuracy: float) -> Image:
    label = int(generator.integers(CLASSES))
    scores = torch.zeros(CLASSES)
    scores[(label + (generator.random() >= accuracy)) % CLASSES] = 1
    return Prediction(class_scores=scores), Target(image_label=label)


def _pointed(generator: np.random.Generator, accuracy: float) -> Image:
    """An object in a corner, and a map that has its maximum there or in the opposite one."""
    relevance = torch.zeros(8, 8)
    corner = 1 if generator.random() < accuracy else 6
    relevance[corner, corner] = 1
    target = Target(
        boxes=torch.tensor([[0.0, 0, 3, 3]]), labels=torch.from_numpy(generator.integers(CLASSES, size=1)), main=0
    )
    return Prediction(extra={"attribution": relevance}), target


_HEADING = f"""# Coverage of the 95 % intervals over images

Simulated: {REPETITIONS} samples of n images from a population of {POPULATION} generated images of {CLASSES} classes,
whose value is the true one. coverage: how many of the intervals hold it (95 % is seen as 92.5 to 97.5). width: of an
interval, the mean. bias: the mean of the samples' values minus the true one; values are reported as they are, only
intervals are corrected. Written by `python -m roibench.metrics.coverage`.

| value | true | n | coverage | width | bias |
| :-- | --: | --: | --: | --: | --: |
"""


def table(rows: Sequence[tuple[str, float, Coverage]]) -> str:
    """Markdown, from each simulation's name, true value and coverage."""
    return _HEADING + "".join(
        f"| {name} | {true:.4f} | {one.images} | {one.held:.1%} | {one.width:.4f} | {one.bias:+.4f} |\n"
        for name, true, one in rows
    )


def main() -> None:
    rows = []
    for name, make in SIMULATIONS.items():
        measure = make(np.random.default_rng(0))
        true = measure(range(POPULATION)).value
        rows += [(name, true, coverage(measure, true, images, REPETITIONS)) for images in SIZES]
    FILE.write_text(table(rows))
    print(FILE.read_text(), end="")


if __name__ == "__main__":
    main()
