"""COCO's result files (cocodataset.org/#format-results): what a detector made elsewhere found, as Predictions.

A list of {image_id, category_id, score} with a bbox (x, y, width, height), a segmentation (polygons, or runs) or
keypoints (x, y, score, ...). In a dataset that was read from COCO's JSON, ids are that file's. In any other, category
ids count the classes from 1, and an image's id is its own, or counts the images from 1: what `roibench convert` writes.
"""

import json
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from roibench.dataset import Dataset
from roibench.datasets.coco import Coco, mask
from roibench.datasets.coco_json import read_outline
from roibench.datasets.values import brief, identity, number
from roibench.measure.checks import Frame
from roibench.structures import Prediction

_NAMED = 5  # unknown ids that an error lists
KINDS: Mapping[str, str] = {"bbox": "boxes", "segmentation": "masks", "keypoints": "keypoints"}


def load_results(file: Path) -> list[dict[str, Any]]:
    """The entries of a result file, unchecked. Raises ValueError where it is no list of objects."""
    try:
        entries = json.loads(file.read_bytes())
    except (OSError, ValueError) as error:  # broken JSON and text that is no UTF-8, too
        raise ValueError(f"{file}: can't be read: {error}") from error
    if not isinstance(entries, list) or not all(isinstance(entry, dict) for entry in entries):
        raise ValueError(f"{file} is no COCO result file: want a list of {{image_id, category_id, bbox, score}}")
    return entries


def read_results(
    file: Path, entries: Sequence[Mapping[str, Any]], kind: str, data: Dataset, frames: Sequence[Frame]
) -> list[Prediction]:
    """A Prediction per frame, in float64, of the entries' boxes, masks or keypoints. kind: of KINDS.

    Raises ValueError, naming the file and what is wrong: ids that the dataset doesn't have, and broken entries.
    """
    images = _images(file, entries, data, frames)
    exported = [str(number) for number in range(1, len(data.info.classes) + 1)]
    labels = {id: label for label, id in enumerate(data.category_ids if isinstance(data, Coco) else exported)}
    _refuse_strangers(file, "category", [entry.get("category_id") for entry in entries], labels)
    found: list[list[tuple[float, int, object]]] = [[] for _ in frames]
    for place, entry in enumerate(entries):
        index = images[identity(entry.get("image_id"))]
        label = labels[identity(entry.get("category_id"))]
        score = number(entry.get("score"))
        if score is None:
            raise ValueError(f"{file}: results[{place}]: score {brief(entry.get('score'))}: want a number")
        try:
            found[index].append((score, label, _READERS[kind](entry.get(kind), frames[index])))
        except ValueError as error:
            raise ValueError(f"{file}: results[{place}]: {error}") from error
    return [_prediction(kind, objects, frame) for objects, frame in zip(found, frames, strict=True)]


def _images(
    file: Path, entries: Sequence[Mapping[str, Any]], data: Dataset, frames: Sequence[Frame]
) -> Mapping[str | None, int]:
    """Indices of images by what the file calls them."""
    given = [entry.get("image_id") for entry in entries]
    own = {identity(frame.id): index for index, frame in enumerate(frames)}
    exported = {str(number): index for index, number in enumerate(range(1, len(frames) + 1))}
    if not isinstance(data, Coco) and _strangers(given, own) and not _strangers(given, exported):
        return exported
    _refuse_strangers(file, "image", given, own)
    return own


def _strangers(given: Sequence[object], known: Mapping[str | None, int]) -> list[str]:
    """Those of the ids that aren't known, as written, each once."""
    return list(dict.fromkeys(brief(id) for id in given if identity(id) not in known))


def _refuse_strangers(file: Path, what: str, given: Sequence[object], known: Mapping[str | None, int]) -> None:
    if strangers := _strangers(given, known):
        listed = ", ".join(strangers[:_NAMED])
        more = f" and {len(strangers) - _NAMED} more" if len(strangers) > _NAMED else ""
        some = ", ".join(map(str, list(known)[:_NAMED])) + (", ..." if len(known) > _NAMED else "")
        raise ValueError(f"{file}: {what} ids that the dataset doesn't have: {listed}{more}; it has {some}")


def _box(value: object, frame: Frame) -> list[float]:
    x, y, width, height = _numbers("bbox", value, 4)
    return [x, y, x + width, y + height]


def _mask(value: object, frame: Frame) -> NDArray[np.uint8]:
    outline = read_outline(value or None, "object", frame.size)
    if outline is None:
        raise ValueError("no segmentation")
    return mask(outline, frame.size)


def _keypoints(value: object, frame: Frame) -> list[float]:
    return _numbers("keypoints", value, 3 * (frame.joints or 0))


def _numbers(name: str, value: object, count: int) -> list[float]:
    found = [number(one) for one in value] if isinstance(value, list) else []
    if len(found) != count or not all(one is not None for one in found):
        raise ValueError(f"{name} {brief(value)}: want {count} numbers")
    return found


_READERS: Mapping[str, Callable[[object, Frame], object]] = {
    "bbox": _box,
    "segmentation": _mask,
    "keypoints": _keypoints,
}


def _prediction(kind: str, objects: Sequence[tuple[float, int, object]], frame: Frame) -> Prediction:
    """Best first; equal scores in the file's order, as pycocotools takes them."""
    objects = sorted(objects, key=lambda one: -one[0])
    shape = {"bbox": (4,), "segmentation": frame.size, "keypoints": (frame.joints or 0, 3)}[kind]
    values = np.array([value for _, _, value in objects], np.float64).reshape(len(objects), *shape)
    field = torch.from_numpy(values.astype(bool) if kind == "segmentation" else values)
    return Prediction(
        scores=torch.tensor([score for score, _, _ in objects], dtype=torch.float64),
        labels=torch.tensor([label for _, label, _ in objects], dtype=torch.int64),
        **{KINDS[kind]: field},
    )
