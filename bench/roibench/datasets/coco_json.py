"""What a COCO JSON file says, checked entry by entry, without looking at its images.

Boxes are COCO's x, y, width, height, in pixel corners counted from 0, as xyxy. Labels count the categories by ascending
id. Areas are the annotation's (of the outline); where it has none, the box's. Masks are filled if every object has an
outline: polygons, or runs (RLE), plain or compressed. Keypoints come from the file itself or from a person_keypoints_
file, matched by annotation id, with x and y as written; an object without them has visibility 0 throughout. Captions
are filled if every annotation has a "caption" of its own; COCO's captions_ files describe whole images, which Target
has no place for, and are not read.
"""

import json
import math
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

from roibench.datasets.bad_data import BadData, BadDataError, Problem, box_problem

_ROUNDING = 0.02  # pixels: COCO writes x and width with two decimals, so that their sum may miss the border by this


class Thing(NamedTuple):
    """An annotation. box: xyxy. label: into the classes. segmentation: as written. keypoints: x, y, visibility, ..."""

    box: tuple[float, float, float, float]
    label: int
    crowd: bool
    area: float
    segmentation: list | dict | None
    keypoints: tuple[float, ...] | None
    caption: str | None


class Picture(NamedTuple):
    """An image with its things. size: (height, width). file: None until it has been found."""

    id: str
    file_name: str
    size: tuple[int, int]
    things: tuple[Thing, ...]
    file: Path | None = None


class Annotations(NamedTuple):
    """What a JSON file says. Its fields are those of Target that all its things can fill."""

    classes: tuple[str, ...]
    joints: tuple[str, ...]
    pictures: tuple[Picture, ...]

    @property
    def things(self) -> Iterator[Thing]:
        return (thing for picture in self.pictures for thing in picture.things)

    @property
    def fields(self) -> frozenset[str]:
        things = tuple(self.things)
        masks = {"masks"} if things and all(thing.segmentation is not None for thing in things) else set()
        captions = {"captions"} if things and all(thing.caption is not None for thing in things) else set()
        joints = {"keypoints"} if self.joints else set()
        return frozenset({"boxes", "labels", "crowd", "areas"} | masks | captions | joints)


def read_annotations(file: Path, bad: BadData, keypoint_file: Path | None = None) -> Annotations:
    """The sound annotations of a file; images needn't exist. Ids may be numbers or text, in any mixture."""
    document = _load(file, ("images", "annotations", "categories"))
    # By length first: numbers sort by value, and a text among them does no harm.
    categories = sorted(_unique(document, "categories", file, bad), key=lambda category: (len(category[0]), category))
    names = tuple(str(entry.get("name", f"category {id}")) for id, entry in categories)
    labels = {id: label for label, (id, _) in enumerate(categories)}
    joints, poses = _keypoints(document, file, bad)
    sizes, file_names = {}, {}
    # By id, as pycocotools goes through them: of equal scores, COCO's AP takes the image with the lower id first.
    for id, entry in sorted(_unique(document, "images", file, bad), key=lambda image: _rank(image[1]["id"])):
        size = entry.get("height"), entry.get("width")
        if all(isinstance(side, int) and side > 0 for side in size) and isinstance(entry.get("file_name"), str):
            sizes[id], file_names[id] = size, entry["file_name"]
        else:
            bad.report(file, f"image {id}: needs file_name, height and width")
    named = {str(entry.get("id")) for entry in document["images"] if isinstance(entry, dict)}
    entries = dict(_unique(document, "annotations", file, bad))
    if keypoint_file is not None and not joints:
        joints, poses = _keypoints(_load(keypoint_file, ("annotations", "categories")), keypoint_file, bad)
        for id in sorted(poses.keys() - entries.keys()):
            bad.report(keypoint_file, f"annotation {id}: {file.name} has no such annotation")
    things: dict[str, list[Thing]] = {id: [] for id in sizes}
    for id, entry in entries.items():
        image = str(entry.get("image_id"))
        try:
            if image not in named:
                raise ValueError(f"image {image} is unknown")
            if image in sizes:
                things[image].append(_thing(entry, labels, names, sizes[image], poses.get(id)))
        except ValueError as error:
            bad.report(file, f"annotation {id}: {error}")
    pictures = (Picture(id, file_names[id], sizes[id], tuple(things[id])) for id in sizes)
    return Annotations(names, joints, tuple(pictures))


def _rank(id: object) -> tuple[bool, float, str]:
    """For sorting ids as numpy.unique does: numbers by value; text, which comes after them, as text."""
    is_number = isinstance(id, int | float) and math.isfinite(id)
    return (False, id, "") if is_number else (True, 0.0, str(id))


def _thing(
    entry: dict[str, Any],
    labels: dict[str, int],
    names: tuple[str, ...],
    size: tuple[int, int],
    pose: tuple[float, ...] | None,
) -> Thing:
    """Raises ValueError with what is wrong."""
    label = labels.get(str(entry.get("category_id")))
    if label is None:
        raise ValueError(f"category {entry.get('category_id')} is unknown")
    box = _box(entry.get("bbox"), names[label], size)
    area = entry.get("area", (box[2] - box[0]) * (box[3] - box[1]))
    if not isinstance(area, int | float) or not 0 <= area < float("inf"):
        raise ValueError(f"{names[label]}: area {area} is no area")
    outline = entry.get("segmentation") or None
    if outline is not None and (problem := _outline_problem(outline, size)):
        raise ValueError(f"{names[label]}: {problem}")
    caption = entry.get("caption")
    return Thing(box, label, bool(entry.get("iscrowd")), area, outline, pose, None if caption is None else str(caption))


def _box(bbox: object, name: str, size: tuple[int, int]) -> tuple[float, float, float, float]:
    """xyxy of a sound bbox."""
    if not _numbers(bbox) or len(bbox) != 4:
        raise ValueError(f"{name}: bbox without four numbers: {bbox}")
    x, y, width, height = map(float, bbox)
    x2, y2 = (
        float(end) if end < start + length <= end + _ROUNDING else start + length
        for start, length, end in ((x, width, size[1]), (y, height, size[0]))
    )
    if problem := box_problem((x, y, x2, y2), size[1], size[0]):
        raise ValueError(f"{name}: bbox {bbox} is {problem}")
    return x, y, x2, y2


def _outline_problem(outline: object, size: tuple[int, int]) -> str | None:
    """What is wrong with a segmentation: polygons, or runs, plain or compressed."""
    if isinstance(outline, list):
        if not all(_numbers(polygon) and len(polygon) >= 6 and len(polygon) % 2 == 0 for polygon in outline):
            return "polygon without three or more x, y pairs"
        reach = max(size)  # a polygon may stick out, but drawing one that goes to infinity takes as long
        return None if all(-reach <= v <= 2 * reach for polygon in outline for v in polygon) else "polygon far outside"
    if not isinstance(outline, dict) or not isinstance(counts := outline.get("counts"), list | str):
        return "segmentation that is neither polygons nor runs"
    if outline.get("size") != list(size):
        return f"runs of size {outline.get('size')}, in an image of height and width {list(size)}"
    runs = counts if isinstance(counts, list) else _decompress(counts)
    sound = all(isinstance(run, int) and run >= 0 for run in runs) and sum(runs) == math.prod(size)
    return None if sound else f"runs that do not add up to the {math.prod(size)} pixels"


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
        if isinstance(entry, dict) and entry.get("keypoints")
    }
    if len(skeletons) != 1:
        if skeletons:
            bad.report(file, "categories with different joints: all keypoints are left out")
        return (), {}
    (joints,) = skeletons
    poses = {}
    for entry in document["annotations"]:
        if isinstance(entry, dict) and (pose := entry.get("keypoints")):
            if (
                not _numbers(pose)
                or not all(map(math.isfinite, pose))
                or len(pose) != 3 * len(joints)
                or not set(pose[2::3]) <= {0, 1, 2}
            ):
                bad.report(file, f"annotation {entry.get('id')}: keypoints want x, y and 0, 1 or 2 per joint: {pose}")
            else:
                poses.setdefault(str(entry.get("id")), tuple(map(float, pose)))
    return joints, poses


def _numbers(values: object) -> bool:
    return isinstance(values, list) and all(isinstance(value, int | float) for value in values)


def _unique(document: dict, key: str, file: Path, bad: BadData) -> Iterator[tuple[str, dict[str, Any]]]:
    """Id and entry of a list in the file; an id that was there before is reported, and the first one counts."""
    seen = set()
    for place, entry in enumerate(document[key]):
        if not isinstance(entry, dict) or entry.get("id") is None:
            bad.report(file, f"{key}[{place}] has no id")
        elif (id := str(entry["id"])) in seen:
            bad.report(file, f"{key}[{place}]: id {id} is there already")
        else:
            seen.add(id)
            yield id, entry


def _load(file: Path, lists: tuple[str, ...]) -> dict[str, Any]:
    try:
        document = json.loads(file.read_bytes())
    except json.JSONDecodeError as error:
        raise BadDataError((Problem(file, error.lineno, f"broken JSON: {error.msg}"),)) from error
    except (OSError, UnicodeDecodeError) as error:
        raise BadDataError((Problem(file, None, f"can't be read: {error}"),)) from error
    for key in lists:
        if not isinstance(document, dict) or not isinstance(document.get(key), list):
            raise ValueError(f"{file} is no COCO ground truth: it has no list {key!r}")
    return document
