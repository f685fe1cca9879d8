"""GAN dissection (Bau et al. 2019, arXiv 1811.10597): which units of a generator's layer are about which class, and
whether a class comes and goes with them.

A segmenter says which pixels are of a class. Thresholds and units are chosen on one sample of pictures; all that is
told of them is measured on another.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor
from torchvision.transforms.functional import center_crop

from roibench.dataset import Dataset
from roibench.metric import Estimate
from roibench.metrics.bootstrap import bootstrap, mean_statistic
from roibench.metrics.matching import Booleans, Floats, Integers
from roibench.metrics.semantic_segmentation import mean_iou
from roibench.plugins.generation.gan import as_pixels, shrunk
from roibench.plugins.generation.intervention import Intervention, intervene, raised_levels
from roibench.plugins.generation.lens import BATCH, Lens, Segment, Watched
from roibench.plugins.generation.quality import ENOUGH
from roibench.plugins.generation.unit_agreement import agreement, find_thresholds, iou, iou_estimate
from roibench.structures import Prediction, Sample, Target

SHOWN = 1 / 256  # of a picture's pixels: fewer of a class are no sight of it
LEAST = 20  # pictures of a sample that show a class, of one that is looked into
NAMED = 3  # units of a class that are told of

Confident = Callable[[Tensor], Booleans]  # uint8 pictures [N, 3, H, W] -> [N], which a judge recognises


@dataclass(frozen=True)
class UnitMatch:
    """A unit, and how well it agrees with a class on the second sample."""

    unit: int
    iou: Estimate


@dataclass(frozen=True)
class Findings:
    """What was found of a layer.

    recognised: the share of the first sample's pictures of which the judge is confident.
    second: the other sample.
    thresholds, iou: [U, C], IoU on the second sample.
    matches: by class that enough pictures show, its best units, best first.
    units, draws: of a class that were turned off and on; of as many random ones.
    interventions: None where too few pictures are recognised.
    """

    recognised: Estimate
    second: Watched
    thresholds: Tensor
    iou: Floats
    matches: dict[int, list[UnitMatch]]
    units: int
    draws: int
    interventions: list[Intervention] | None


def dissect(lens: Lens, classes: int, confident: Confident, samples: int, units: int, draws: int) -> Findings:
    """confident: pictures [N, 3, H, W] -> of which the judge is. samples: pictures, and as many others. units: of a
    class, that are turned off and on. draws: of as many random ones.

    Raises ValueError for more units than the layer has.
    """
    names = [[f"{which}-{index}" for index in range(samples)] for which in ("first", "second")]
    first, second = map(lens.watch, names)
    if not 1 <= units <= first.maps.shape[1]:
        raise ValueError(f"--units {units}: want 1 to {first.maps.shape[1]}, which the layer has")
    thresholds = find_thresholds(first, classes)
    ranked = np.argsort(-iou(*agreement(first, thresholds)), axis=0, kind="stable")
    both, either = agreement(second, thresholds)
    labels = [
        label for label in range(classes) if all(one.showing(label, SHOWN).sum() >= LEAST for one in (first, second))
    ]
    matches = {label: [_match(unit, label, both, either) for unit in ranked[:NAMED, label]] for label in labels}
    hits = mean_statistic({"recognised": confident(first.pictures)})
    share = bootstrap(hits, samples)["recognised"]
    interventions = None
    if share.value >= ENOUGH:
        own = {label: ranked[:units, label].tolist() for label in labels}
        interventions = intervene(lens, names[1], second, own, raised_levels(first), draws) if own else []
    return Findings(share, second, thresholds, iou(both, either), matches, units, draws, interventions)


def _match(unit: int, label: int, both: Integers, either: Integers) -> UnitMatch:
    return UnitMatch(int(unit), iou_estimate(both[:, unit, label], either[:, unit, label]))


@dataclass(frozen=True)
class Judges:
    """What is known of those who judge: what they make of the dataset's own images at the pictures' size.

    segmenter: in words.
    recognised: the share of which the classifier is confident.
    mean_iou: the segmenter's, None where the dataset has no semantic maps.
    """

    segmenter: str
    recognised: Estimate
    mean_iou: Estimate | None


def judge_judges(
    data: Dataset, images: int, side: int, segmenter: str, segment: Segment, confident: Confident
) -> Judges:
    """side: of the pictures, in pixels. segmenter: its name. images: how many of the dataset's, at most."""
    samples = [data[index] for index in range(min(images, len(data)))]
    pictures = as_pixels(torch.stack([shrunk(one.input, side) for one in samples]))
    hits = mean_statistic({"recognised": confident(pictures)})
    known = "semantic_map" in data.info.fields
    return Judges(
        segmenter,
        bootstrap(hits, len(samples))["recognised"],
        _mean_iou(segment, pictures, samples) if known else None,
    )


def _mean_iou(segment: Segment, pictures: Tensor, samples: Sequence[Sample]) -> Estimate | None:
    batches = [pictures[start : start + BATCH] for start in range(0, len(pictures), BATCH)]
    found = [Prediction(semantic_map=one) for batch in batches for one in segment(batch)]
    true = [Target(semantic_map=_shrunk_map(one.target.semantic_map, pictures.shape[2])) for one in samples]
    return mean_iou(found, true).values.get("mIoU")


def _shrunk_map(semantic_map: Tensor, side: int) -> Tensor:
    """The middle square of a map [H, W] -> [side, side], as shrunk has it of images."""
    square = center_crop(semantic_map[None], [min(semantic_map.shape)] * 2)
    return F.interpolate(square[None], (side, side), mode="nearest-exact")[0, 0]
