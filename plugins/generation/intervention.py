"""Units off and on: what becomes of a class (Bau et al. 2019, arXiv 1811.10597, section 3.2).

A unit that is off is 0 everywhere; one that is on is raised in a part of the map. As many random units, treated alike,
tell what that does by itself. Other than in the paper, units are those that agree best with the class, not those that
an optimisation finds for their effect; and on is the same high value of each unit's own, not its mean where the class
is, which would leave random units about where they were.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from roibench.metric import Estimate
from roibench.metrics.bootstrap import Weights, bootstrap, fraction
from roibench.metrics.matching import Floats, Integers
from roibench.plugins.generation.lens import Edit, Lens, Watched

RAISED = 0.01  # a unit that is on has what the highest 1 % of its values begin with


@dataclass(frozen=True)
class Contrast:
    """own: what a class's units do. random: what as many random units do, the mean over draws. difference: own -
    random. most: the most that one draw does.
    """

    own: Estimate
    random: Estimate
    difference: Estimate
    most: float


@dataclass(frozen=True)
class Intervention:
    """What becomes of a class, with intervals over pictures.

    label: the class.
    off: the share of its pixels that are gone when units are 0 everywhere; negative: there are more.
    on: the share of a random quarter of the picture that becomes the class's when units are raised there.
    off_pictures, on_pictures: uint8 [3, H, W], of the one that shows most of the class and of one that shows least: as
        it is, with the class's units off or on, with random ones.
    """

    label: int
    off: Contrast
    on: Contrast
    off_pictures: tuple[Tensor, ...]
    on_pictures: tuple[Tensor, ...]


def intervene(
    lens: Lens,
    names: Sequence[str],
    seen: Watched,
    units: dict[int, list[int]],
    levels: Tensor,
    draws: int,
    seed: int = 0,
) -> list[Intervention]:
    """Units off and on, beside `draws` draws of as many random ones, the same for every class: they may hold some of a
    class's own.

    seen: the names' pictures as they are, some of which show each class. units: by class, equally many each. levels:
    [U], of a unit that is on.
    """
    generator = torch.Generator().manual_seed(seed)
    count = len(next(iter(units.values())))
    random = [torch.randperm(len(levels), generator=generator)[:count].tolist() for _ in range(draws)]
    places = random_quarters(len(names), tuple(seen.maps.shape[2:]), generator)
    where = F.interpolate(places[:, None].to(torch.uint8), seen.classes.shape[1:], mode="nearest-exact")[:, 0].bool()
    area = where.sum((1, 2)).numpy()
    random_off = [lens.look(names, silence(one)) for one in random]
    random_on = [lens.look(names, light_up(one, levels, places)) for one in random]
    found = []
    for label, own in units.items():
        off, on = lens.look(names, silence(own)), lens.look(names, light_up(own, levels, places))
        pixels, inside = seen.pixels(label), seen.pixels(label, where)
        shown, absent = int(pixels.argmax()), int(pixels.argmin())
        others_off = np.stack([one.pixels(label) for one in random_off])
        others_on = np.stack([one.pixels(label, where) for one in random_on])
        found.append(
            Intervention(
                label,
                contrast(pixels - off.pixels(label), pixels - others_off, pixels),
                contrast(on.pixels(label, where) - inside, others_on - inside, area),
                tuple(one.pictures[shown] for one in (seen, off, random_off[0])),
                tuple(one.pictures[absent] for one in (seen, on, random_on[0])),
            )
        )
    return found


def silence(units: list[int]) -> Edit:
    """0 everywhere."""

    def edit(maps: Tensor, _which: slice) -> Tensor:
        maps[:, units] = 0
        return maps

    return edit


def light_up(units: list[int], levels: Tensor, places: Tensor) -> Edit:
    """levels [U] at places, bool [N, h, w]; elsewhere, they are as they were."""

    def edit(maps: Tensor, which: slice) -> Tensor:
        raised = levels[units].to(maps)[:, None, None]
        maps[:, units] = torch.where(places[which, None].to(maps.device), raised, maps[:, units])
        return maps

    return edit


def raised_levels(seen: Watched) -> Tensor:
    """[U]: what the highest hundredth of a unit's values begin with."""
    columns = seen.maps.transpose(0, 1).flatten(1)
    return columns.kthvalue(columns.shape[1] - int(RAISED * columns.shape[1])).values


def random_quarters(count: int, size: tuple[int, int], generator: torch.Generator) -> Tensor:
    """bool [count, h, w]: a rectangle of half of each side, anywhere."""
    found = torch.zeros(count, *size, dtype=torch.bool)
    height, width = (max(1, side // 2) for side in size)
    tops = torch.randint(size[0] - height + 1, (count,), generator=generator).tolist()
    lefts = torch.randint(size[1] - width + 1, (count,), generator=generator).tolist()
    for one, top, left in zip(found, tops, lefts, strict=True):
        one[top : top + height, left : left + width] = True
    return found


def contrast(own: Integers, random: Integers, whole: Integers) -> Contrast:
    """What becomes of pixels, [N] by a class's units and [draws, N] by random ones, as shares of the whole [N], all
    pictures together; the whole is some.
    """
    mean = random.mean(0)

    def statistic(weights: Weights) -> dict[str, Floats]:
        parts = {"own": own, "random": mean, "difference": own - mean}
        return {name: fraction(weights @ part, weights @ whole) for name, part in parts.items()}

    return Contrast(**bootstrap(statistic, len(own)), most=float(random.sum(1).max() / whole.sum()))
