"""Whether a copy reads as what was written."""

from collections.abc import Sequence
from dataclasses import dataclass

import torch

from roibench.dataset import DatasetInfo
from roibench.datasets.convert.writer import Writer, true
from roibench.datasets.image_files import ImageFiles
from roibench.structures import Target


@dataclass(frozen=True)
class Facts:
    """What a copy keeps of an image. objects: class, flags and, where they are exact, box of each, sorted."""

    objects: tuple[tuple[str | bool | float, ...], ...]

    @property
    def names(self) -> list[str]:
        """The classes of the objects."""
        return [str(one[0]) for one in self.objects]


def facts_of(target: Target, classes: Sequence[str], writer: Writer) -> Facts:
    """What the writer keeps of an image's ground truth."""
    if "labels" not in writer.keeps:
        return Facts(((classes[target.image_label],),))
    objects = []
    for index, label in enumerate(target.labels.tolist()):
        crowd, ignored = true(target.crowd, index), true(target.ignored, index)
        if "crowd" not in writer.keeps:  # neither required nor wrong, either
            crowd, ignored = False, crowd or ignored
        box = target.boxes[index].tolist() if "boxes" in writer.keeps else ()
        objects.append((classes[label], crowd, ignored and "ignored" in writer.keeps, *box))
    return Facts(tuple(sorted(objects)))


def check_copy(writer: Writer, written: Sequence[Facts]) -> DatasetInfo:
    """Opens what was written; every image is decoded. Raises BadDataError where the copy is broken, and RuntimeError
    where it holds something else.
    """
    copy: ImageFiles = writer.open(str(writer.out), writer.info.split)
    found = [facts_of(copy.target(picture), copy.info.classes, writer) for picture in copy.pictures]
    if not writer.ordered:
        found, written = (sorted(facts, key=lambda one: one.objects) for facts in (found, written))
    if len(found) != len(written):
        raise RuntimeError(f"{writer.file}: the copy has {len(found)} images, not the {len(written)} that were written")
    for picture, one, other in zip(copy.pictures, found, written, strict=True):
        if one != other:
            raise RuntimeError(f"{writer.file}: the copy of {picture.id} reads otherwise than what was written")
    return copy.info


def areas_differ(target: Target) -> bool:
    """Whether some object's area isn't that of its box."""
    if target.areas is None or target.boxes is None:
        return False
    boxes = target.boxes.double()
    return not torch.allclose(target.areas.double(), (boxes[:, 2:] - boxes[:, :2]).prod(1), rtol=1e-6)
