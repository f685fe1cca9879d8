"""Images with objects, as the adapters for plain text (YOLO's, CSV) hold them."""

from collections.abc import Iterable
from pathlib import Path
from typing import NamedTuple

import torch

from roibench.datasets.bad_data import BadData, Box
from roibench.datasets.checked_images import CheckedImage
from roibench.datasets.coco import mask
from roibench.datasets.image_files import ImageFiles
from roibench.datasets.values import read_lines
from roibench.structures import Target

CLASSES = "classes.txt"  # names in label order, one per line


class Object(NamedTuple):
    """An object.

    box: xyxy in pixel corners.
    label: into DatasetInfo.classes.
    area: in pixels, of the object itself where it is known, else of its box.
    crowd, ignored: as Target's.
    outline: x, y, ... of a polygon in pixels; None without one.
    joints: x, y, visibility, ...; None without any.
    """

    box: Box
    label: int
    area: float
    crowd: bool = False
    ignored: bool = False
    outline: tuple[float, ...] | None = None
    joints: tuple[float, ...] | None = None


class Picture(NamedTuple):
    """An image file with its objects. id: unique in its dataset."""

    id: str
    image: CheckedImage
    objects: tuple[Object, ...]


class ObjectFiles(ImageFiles[Picture]):
    """A split whose images hold objects."""

    def target(self, picture: Picture) -> Target:
        objects, joints = picture.objects, len(self.info.joints)
        absent = (0.0,) * (3 * joints)
        keypoints = torch.tensor([one.joints or absent for one in objects], dtype=torch.float32)
        return Target(
            boxes=torch.tensor([one.box for one in objects], dtype=torch.float32).reshape(-1, 4),
            labels=torch.tensor([one.label for one in objects], dtype=torch.int64),
            crowd=torch.tensor([one.crowd for one in objects], dtype=torch.bool),
            ignored=torch.tensor([one.ignored for one in objects], dtype=torch.bool),
            areas=torch.tensor([one.area for one in objects], dtype=torch.float32),
            masks=_masks(picture) if "masks" in self.info.fields else None,
            keypoints=keypoints.reshape(len(objects), joints, 3) if "keypoints" in self.info.fields else None,
        )

    def facts(self, picture: Picture) -> tuple:
        return picture.id, picture.objects, self.info.joints


def known_fields(pictures: Iterable[Picture], joints: tuple[str, ...]) -> frozenset[str]:
    """The fields of Target that these fill: masks where every object has an outline."""
    objects = [one for picture in pictures for one in picture.objects]
    masks = {"masks"} if objects and all(one.outline is not None for one in objects) else set()
    return frozenset({"boxes", "labels", "crowd", "ignored", "areas"} | masks | ({"keypoints"} if joints else set()))


def unique_ids(files: Iterable[Path], root: Path) -> list[str]:
    """An id for each image file: its name where no other has it, else its path below the root."""
    files = list(files)
    names = [file.name for file in files]
    if len(set(names)) == len(names):
        return names
    return [(file.relative_to(root) if file.is_relative_to(root) else file).as_posix() for file in files]


def read_classes(file: Path, bad: BadData) -> tuple[str, ...]:
    """The names in a classes.txt; one that is there twice is reported."""
    names: dict[str, int] = {}
    for number, name in read_lines(file, bad):
        if name in names:
            bad.report(file, f"the name {name!r} is in line {names[name]} already", number)
        names.setdefault(name, number)
    return tuple(names)


def area_of(box: Box) -> float:
    return (box[2] - box[0]) * (box[3] - box[1])


def _masks(picture: Picture) -> torch.Tensor:
    """bool [N, H, W]."""
    filled = torch.zeros((len(picture.objects), *picture.image.size), dtype=torch.bool)
    for index, one in enumerate(picture.objects):
        filled[index] = torch.from_numpy(mask([list(one.outline)], picture.image.size)).bool()
    return filled
