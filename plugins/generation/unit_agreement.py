"""How well units and classes agree (Bau et al. 2019, arXiv 1811.10597, section 3.1).

A unit is a channel of a layer's output; it fires where that, enlarged to the picture's size, lies above a threshold.
"""

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from roibench.metric import Estimate
from roibench.metrics.bootstrap import bootstrap, fraction
from roibench.metrics.matching import Floats, Integers
from roibench.plugins.generation.lens import BATCH, Watched

TAILS = np.geomspace(5e-4, 0.9, 64)  # candidates for a threshold: the part of a unit's pixels that lie above it
STRIDE = 5  # pixels between those that candidates are found by: out of step with enlarging by powers of 2


def find_thresholds(seen: Watched, classes: int) -> Tensor:
    """[U, C]: where each unit tells most of each class, by information quality I(fires; class) / H(fires, class)."""
    levels = _candidates(seen)
    counts = torch.zeros(len(levels), levels.shape[1] + 1, classes + 1, dtype=torch.int64)
    for start in range(0, len(seen.maps), BATCH):
        values = enlarged(seen.maps[start : start + BATCH], seen.classes).transpose(0, 1).flatten(1)
        exceeded = torch.searchsorted(levels, values, out_int32=True)  # how many levels
        both = exceeded * (classes + 1) + seen.classes[start : start + BATCH].flatten()
        for unit, one in zip(counts.view(len(levels), -1), both, strict=True):
            unit += torch.bincount(one, minlength=len(unit))
    above = counts.flip(1).cumsum(1).flip(1)[:, 1:].double()  # [U, L, 1 + C]: fires at a level, by class
    total = counts.sum(1)[0].double()
    quality = information_quality(above[..., 1:], above.sum(2, keepdim=True), total[1:], total.sum())
    return levels.gather(1, quality.argmax(1))


def _candidates(seen: Watched) -> Tensor:
    """[U, L], rising."""
    batches = seen.maps.split(BATCH)
    pixels = torch.cat([enlarged(batch, seen.classes)[:, :, ::STRIDE, ::STRIDE] for batch in batches])
    values = pixels.transpose(0, 1).flatten(1).sort(1, descending=True).values
    places = torch.from_numpy(TAILS * (values.shape[1] - 1)).round().long()
    return values[:, places].flip(1).contiguous()


def information_quality(both: Tensor, first: Tensor, second: Tensor, total: Tensor) -> Tensor:
    """Mutual information over joint entropy of two binary variables, in [0, 1], by how often both, the first and the
    second are true; 0 where nothing is left to be told.
    """
    joint = torch.stack([both, first - both, second - both, total - first - second + both]) / total
    entropy = torch.special.entr(joint).sum(0)
    alone = sum(torch.special.entr(share) + torch.special.entr(1 - share) for share in (first / total, second / total))
    return torch.where(entropy > 0, (alone - entropy) / entropy, 0.0)


def agreement(seen: Watched, thresholds: Tensor) -> tuple[Integers, Integers]:
    """Pixels where a unit fires and a class is, and where either is or does: [N, U, C] each."""
    both = torch.zeros(len(seen.maps), *thresholds.shape, dtype=torch.int64)
    either = torch.zeros_like(both)
    labels = torch.arange(1, thresholds.shape[1] + 1, dtype=torch.uint8)
    for index, (maps, classes) in enumerate(zip(seen.maps, seen.classes, strict=True)):
        values = enlarged(maps[None], seen.classes)[0].flatten(1)
        fires = values[:, None] > thresholds[:, :, None]
        true = classes.flatten() == labels[:, None]
        both[index] = (fires & true).sum(2)
        either[index] = fires.sum(2) + true.sum(1) - both[index]
    return both.numpy(), either.numpy()


def enlarged(maps: Tensor, pictures: Tensor) -> Tensor:
    """[B, U, h, w] -> [B, U, H, W], the size of the pictures [..., H, W]."""
    return F.interpolate(maps, pictures.shape[-2:], mode="bilinear")


def iou(both: Integers, either: Integers) -> Floats:
    """[N, U, C] each -> [U, C], over all pictures; 0 where a unit never fires at a class that never comes."""
    return np.nan_to_num(fraction(both.sum(0), either.sum(0)))


def iou_estimate(both: Integers, either: Integers) -> Estimate:
    """Of one unit and one class that some picture shows, [N] each, with an interval over pictures."""
    return bootstrap(lambda weights: {"iou": fraction(weights @ both, weights @ either)}, len(both))["iou"]
