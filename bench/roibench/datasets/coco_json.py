"""What a COCO JSON file holds, checked entry by entry, without looking at its images.

Boxes are COCO's x, y, width, height, in pixel corners counted from 0, as xyxy. Labels count the categories by ascending
id; an id is the same as 1, 1.0 and "1". Areas are the annotation's (of the outline); where it has none, the box's.
Masks are filled if every object has an outline: polygons, or runs (RLE), plain or compressed. Keypoints come from the
file itself or from a person_keypoints_ file, matched by annotation id, with x and y as written; an object without them
has visibility 0 throughout. Captions are filled if every annotation has a "caption" of its own. COCO's captions_ files
have nothing else, neither categories nor boxes: each annotation of such a file is a box as large as its image, without
a label; nothing of them goes into what an instances_ file gives.
"""

import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from roibench.datasets.bad_data import BORDER, BadData, BadDataError, Box, Problem
from roibench.datasets.checked_images import CheckedImage
from roibench.datasets.values import brief, flag, identity, number, whole

_LARGEST = float(np.finfo(np.float32).max)


class Object(NamedTuple):
    """An object, of one annotation.

    box: xyxy.
    label: into the classes.
    crowd: whether it is one.
    area: in pixels.
    segmentation: as written, None without an outline.
    keypoints: x, y, visibility, ..., None without joints.
    caption: its own, if it has one.
    """

    box: Box
    label: int
    crowd: bool
    area: float
    segmentation: list | dict | None
    keypoints: tuple[float, ...] | None
    caption: str | None

    def __repr__(self) -> str:
        """Goes into the dataset's hash (ImageFiles.facts), which records keep: under the class's first name."""
        return f"Thing({', '.join(f'{name}={value!r}' for name, value in self._asdict().items())})"


class Picture(NamedTuple):
    """An image with its objects.

    id: as text.
    file_name: as written.
    size: (height, width), as written.
    objects: in the file's order.
    image: None until it has been found.
    """

    id: str
    file_name: str
    size: tuple[int, int]
    objects: tuple[Object, ...]
    image: CheckedImage | None = None


class Annotations(NamedTuple):
    """What a JSON file holds.

    classes: names, in label order.
    category_ids: as text, by label.
    joints: names, in order.
    pictures: its images, by ascending id.
    """

    classes: tuple[str, ...]
    category_ids: tuple[str, ...]
    joints: tuple[str, ...]
    pictures: tuple[Picture, ...]

    @property
    def objects(self) -> Iterator[Object]:
        return (one for picture in self.pictures for one in picture.objects)

    @property
    def fields(self) -> frozenset[str]:
        """Those of Target that all objects can fill."""
        objects = tuple(self.objects)
        masks = {"masks"} if objects and all(one.segmentation is not None for one in objects) else set()
        captions = {"captions"} if objects and all(one.caption is not None for one in objects) else set()
        joints = {"keypoints"} if self.joints else set()
        labels = {"labels"} if self.classes else set()
        return frozenset({"boxes", "crowd", "areas"} | labels | masks | captions | joints)


def read_annotations(file: Path, bad: BadData, keypoint_file: Path | None = None) -> Annotations:
    """The sound annotations of a file; images needn't exist. Ids may be numbers or text, in any mixture."""
    document = _load(file, ("images", "annotations"))
    if of_whole_images := _describes_whole_images(document):
        document |= {"categories": []}
    _check_lists(document, ("categories",), file)
    categories = sorted(_unique(document, "categories", file, bad), key=lambda category: _order(category[0]))
    names = tuple(str(entry.get("name", f"category {id}")) for id, entry in categories)
    labels = {id: label for label, (id, _) in enumerate(categories)}
    joints, poses = _keypoints(document, file, bad)
    sizes, file_names, named = {}, {}, set()
    # By id, as pycocotools goes through them: of equal scores, COCO's AP takes the image with the lower id first.
    for id, entry in sorted(_unique(document, "images", file, bad), key=lambda image: _order(image[0])):
        named.add(id)
        size, name = (whole(entry.get("height")), whole(entry.get("width"))), entry.get("file_name")
        if all(side is not None and side > 0 for side in size) and isinstance(name, str) and "\0" not in name:
            sizes[id], file_names[id] = size, name
        else:
            bad.report(file, f"image {id}: needs file_name, height and width")
    entries = dict(_unique(document, "annotations", file, bad))
    if keypoint_file is not None and not joints:
        joints, poses = _keypoints(_load(keypoint_file, ("annotations", "categories")), keypoint_file, bad)
        for id in sorted(poses.keys() - entries.keys()):
            bad.report(keypoint_file, f"annotation {id}: {file.name} has no such annotation")
    objects: dict[str, list[Object]] = {id: [] for id in sizes}
    reader = _Reader(file, bad, labels, names)
    for id, entry in entries.items():
        image = identity(entry.get("image_id"))
        if image not in named:
            bad.report(file, f"annotation {id}: image {brief(entry.get('image_id'))} is unknown")
        elif image in sizes:
            size, pose = sizes[image], poses.get(id)
            one = _whole_image(entry["caption"], size) if of_whole_images else reader.read(id, entry, size, pose)
            objects[image] += [] if one is None else [one]
    pictures = (Picture(id, file_names[id], sizes[id], tuple(objects[id])) for id in sizes)
    return Annotations(names, tuple(labels), joints, tuple(pictures))


@dataclass
class _Reader:
    """Reads annotations, one by one; a bad one is reported.

    file: where they stand.
    bad: where they are reported.
    labels: by category id.
    names: of the classes, by label.
    """

    file: Path
    bad: BadData
    labels: dict[str, int]
    names: tuple[str, ...]

    def read(
        self, id: str, entry: dict[str, Any], size: tuple[int, int], pose: tuple[float, ...] | None
    ) -> Object | None:
        try:
            label = self.labels.get(identity(entry.get("category_id")))
            if label is None:
                raise ValueError(f"category {brief(entry.get('category_id'))} is unknown")
            name = self.names[label]
            corners = _corners(entry.get("bbox"), name)
            crowd = False if entry.get("iscrowd") is None else flag(entry["iscrowd"])
            if crowd is None:
                raise ValueError(f"{name}: iscrowd {brief(entry['iscrowd'])} is neither yes nor no")
            outline = read_outline(entry.get("segmentation") or None, name, size)
            area = _area(entry.get("area"), name, size)
        except ValueError as error:
            self.bad.report(self.file, f"annotation {id}: {error}")
            return None
        what = f"annotation {id}: {name}: bbox {brief(entry['bbox'])}"
        box = self.bad.fit_box(corners, size, self.file, what)
        if box is None:
            return None
        if area is None:
            area = (box[2] - box[0]) * (box[3] - box[1])
        caption = entry.get("caption")
        return Object(box, label, crowd, area, outline, pose, None if caption is None else str(caption))


def _describes_whole_images(document: dict) -> bool:
    """Whether it is a captions_ file."""
    entries = document["annotations"]
    return "categories" not in document and all(
        isinstance(one, dict) and isinstance(one.get("caption"), str) and "bbox" not in one for one in entries
    )


def _whole_image(caption: str, size: tuple[int, int]) -> Object:
    height, width = size
    return Object((0.0, 0.0, float(width), float(height)), 0, False, float(width * height), None, None, caption)


def _corners(bbox: object, name: str) -> Box:
    """xyxy of a bbox, wherever it lies."""
    if not _are_numbers(bbox) or len(bbox) != 4:
        raise ValueError(f"{name}: bbox without four numbers: {brief(bbox)}")
    x, y, width, height = map(number, bbox)
    return x, y, x + width, y + height


def _area(area: object, name: str, size: tuple[int, int]) -> float | None:
    """As written; None if there is none. More than the image has is no area."""
    if area is None:
        return None
    found, largest = number(area), (size[0] + 2 * BORDER) * (size[1] + 2 * BORDER)
    if found is None or not 0 <= found <= largest:
        raise ValueError(f"{name}: area {brief(area)} is no area in an image of {size[1]}x{size[0]}")
    return area


def read_outline(outline: object, name: str, size: tuple[int, int]) -> list | dict | None:
    """A segmentation: polygons, or runs, plain or compressed. Raises ValueError, with the name, for what is none."""
    if outline is None:
        return None
    if isinstance(outline, list):
        if not all(_are_numbers(polygon) and len(polygon) >= 6 and len(polygon) % 2 == 0 for polygon in outline):
            raise ValueError(f"{name}: polygon without three or more x, y pairs")
        reach = max(size)  # a polygon may stick out, but drawing one that goes to infinity takes as long
        if not all(-reach <= value <= 2 * reach for polygon in outline for value in polygon):
            raise ValueError(f"{name}: polygon far outside")
        return outline
    if not isinstance(outline, dict) or not isinstance(counts := outline.get("counts"), list | str):
        raise ValueError(f"{name}: segmentation that is neither polygons nor runs")
    if outline.get("size") != list(size):
        given = brief(outline.get("size"))
        raise ValueError(f"{name}: runs of size {given}, in an image of height and width {list(size)}")
    runs = [whole(run) for run in counts] if isinstance(counts, list) else _decompress(counts)
    pixels = size[0] * size[1]
    if not all(run is not None and run >= 0 for run in runs) or sum(runs) != pixels:
        raise ValueError(f"{name}: runs that do not add up to the {pixels} pixels")
    return outline | {"size": list(size), "counts": runs if isinstance(counts, list) else counts}


def _decompress(counts: str) -> list[int]:
    """Run lengths of the compressed form: five bits per character, lowest first; each is a change to the last but one.

    Only to check them: where they fall short, pycocotools leaves the rest of the mask uninitialised. Empty if broken.
    """
    runs, value, shift = [], 0, 0
    for character in counts:
        bits = ord(character) - 48
        if not 0 <= bits < 64:
            return []
        value |= (bits & 31) << shift
        shift += 5
        if not bits & 32:  # the last character of this number; bit 16 is its sign
            value -= (bits & 16) << (shift - 4)
            runs.append(value + runs[-2] if len(runs) > 2 else value)
            value = shift = 0
    return [] if shift else runs


def _keypoints(document: dict, file: Path, bad: BadData) -> tuple[tuple[str, ...], dict[str, tuple[float, ...]]]:
    """The joints' names, and x, y, visibility, ... by annotation id; bad ones are reported and left out."""
    skeletons = {
        tuple(map(str, entry["keypoints"]))
        for entry in document["categories"]
        if isinstance(entry, dict) and isinstance(entry.get("keypoints"), list) and entry["keypoints"]
    }
    if len(skeletons) != 1:
        if skeletons:
            bad.report(file, "categories with different joints: all keypoints are left out")
        return (), {}
    (joints,) = skeletons
    poses = {}
    for entry in document["annotations"]:
        if isinstance(entry, dict) and (pose := entry.get("keypoints")):
            values = [number(value) for value in pose] if _are_numbers(pose) else []
            if (
                len(values) != 3 * len(joints)
                or not all(abs(value) <= _LARGEST for value in values)  # false for NaN, too
                or not set(values[2::3]) <= {0, 1, 2}
            ):
                what = f"annotation {brief(entry.get('id'))}: keypoints want x, y and 0, 1 or 2 per joint"
                bad.report(file, f"{what}: {brief(pose)}")
            else:
                poses.setdefault(identity(entry.get("id")), tuple(values))
    poses.pop(None, None)  # of an annotation without an id, which is reported as such
    return joints, poses


def _are_numbers(values: object) -> bool:
    return isinstance(values, list) and all(number(value) is not None for value in values)


def _order(id: str) -> tuple[bool, int, str]:
    """Sorts ids as numpy does: numbers by value, then text."""
    value = whole(id)
    return (True, 0, id) if value is None else (False, value, "")


def _unique(document: dict, key: str, file: Path, bad: BadData) -> Iterator[tuple[str, dict[str, Any]]]:
    """Id and entry of a list in the file; an id that was there before is reported, and the first one counts."""
    seen = set()
    for place, entry in enumerate(document[key]):
        id = identity(entry.get("id")) if isinstance(entry, dict) else None
        if id is None:
            bad.report(file, f"{key}[{place}] has no id that is a whole number or text")
        elif id in seen:
            bad.report(file, f"{key}[{place}]: id {id} is there already")
        else:
            seen.add(id)
            yield id, entry


def _load(file: Path, lists: tuple[str, ...]) -> dict[str, Any]:
    try:
        document = json.loads(file.read_bytes())
    except json.JSONDecodeError as error:
        raise BadDataError((Problem(file, error.lineno, f"broken JSON: {error.msg}"),)) from error
    except (OSError, ValueError, RecursionError) as error:  # also of a text that is no UTF-8, or nested without end
        raise BadDataError((Problem(file, None, f"can't be read: {error}"),)) from error
    _check_lists(document, lists, file)
    return document


def _check_lists(document: object, lists: tuple[str, ...], file: Path) -> None:
    for key in lists:
        if not isinstance(document, dict) or not isinstance(document.get(key), list):
            raise ValueError(f"{file} is no COCO ground truth: it has no list {key!r}")
