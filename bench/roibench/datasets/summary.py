"""What a dataset holds, counted: images, sizes, objects by class and size, and what looks like a mistake."""

from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field

import torch

from roibench.dataset import Dataset
from roibench.datasets.image_files import ImageFiles
from roibench.metrics.matching import AREAS
from roibench.structures import VOID, Target

SIZES = ("small", "medium", "large")  # COCO's, by the object's area


@dataclass
class ClassCount:
    """What there is of a class.

    images: with an object of it, or of it as a whole, or with a pixel of it.
    objects: that count.
    sizes: how many of these are small, medium, large.
    uncounted: crowds and ignored objects.
    pixels: of semantic maps.
    """

    images: int = 0
    objects: int = 0
    sizes: Counter[str] = field(default_factory=Counter)
    uncounted: int = 0
    pixels: int = 0


@dataclass
class Summary:
    """What a split holds.

    images: how many were looked at.
    sizes: (width, height) -> images.
    empty: images without an object, where the dataset has objects.
    classes: by name, in label order.
    pixels: of semantic maps: of classes, background and void.
    doubts: what is possible but most likely a mistake: sentences.
    """

    images: int
    sizes: Counter[tuple[int, int]]
    empty: int
    classes: dict[str, ClassCount]
    pixels: Counter[str]
    doubts: list[str]


def summarize(data: Dataset, images: int | None = None, progress: Callable[[int, int], None] | None = None) -> Summary:
    """Counts what the first `images` (None: all) hold. Of a dataset in files, no image is decoded again."""
    count = min(len(data), images or len(data))
    found = Summary(count, Counter(), 0, {name: ClassCount() for name in data.info.classes}, Counter(), [])
    twice: list[str] = []
    files: dict[str, list[str]] = {}
    for index in range(count):
        if isinstance(data, ImageFiles):
            picture = data.pictures[index]
            id, target, (height, width) = picture.id, data.target(picture), picture.image.size
            files.setdefault(picture.image.sha256, []).append(id)
        else:
            sample, target = data[index]
            id, (_, height, width) = sample.id, sample.image.shape
        found.sizes[width, height] += 1
        _count(target, data.info.classes, found)
        twice += [id] if _repeated(target) else []
        if progress:
            progress(index + 1, count)
    if twice:
        found.doubts.append(f"images with the same box and class twice: {_some(twice)}")
    if same := [" = ".join(ids) for ids in files.values() if len(ids) > 1]:
        found.doubts.append(f"images that are the same file: {_some(same)}")
    if absent := [name for name, one in found.classes.items() if not one.images]:
        found.doubts.append(f"classes that nothing is of: {_some(absent)}")
    return found


def _count(target: Target, classes: tuple[str, ...], found: Summary) -> None:
    if target.labels is not None:
        found.empty += not len(target.labels)
        off = torch.zeros(len(target.labels), dtype=torch.bool)
        uncounted = (off if target.crowd is None else target.crowd) | (
            off if target.ignored is None else target.ignored
        )
        sides = target.boxes[:, 2:] - target.boxes[:, :2]
        areas = sides.prod(1) if target.areas is None else target.areas
        for label in set(target.labels.tolist()):
            found.classes[classes[label]].images += 1
        for label, area, needless in zip(target.labels.tolist(), areas.tolist(), uncounted.tolist(), strict=True):
            one = found.classes[classes[label]]
            one.uncounted += needless
            one.objects += not needless
            one.sizes[size_of(area)] += not needless
    elif target.image_label is not None:
        found.classes[classes[target.image_label]].images += 1
    elif target.semantic_map is not None:
        values, counts = target.semantic_map.unique(return_counts=True)
        for value, pixels in zip(values.tolist(), counts.tolist(), strict=True):
            if 0 < value < VOID:
                found.classes[classes[value - 1]].images += 1
                found.classes[classes[value - 1]].pixels += pixels
            found.pixels["background" if value == 0 else "void" if value == VOID else "classes"] += pixels


def size_of(area: float) -> str:
    """small, medium or large."""
    return next(name for name in SIZES if area < AREAS[name][1])


def _repeated(target: Target) -> bool:
    if target.boxes is None or target.labels is None or len(target.labels) < 2:
        return False
    rows = torch.cat([target.boxes, target.labels[:, None].float()], 1)
    return len(rows.unique(dim=0)) < len(rows)


def _some(names: list[str], shown: int = 5) -> str:
    more = f" and {len(names) - shown} more" if len(names) > shown else ""
    return f"{', '.join(names[:shown])}{more} ({len(names)})" if more or len(names) > 1 else names[0]
