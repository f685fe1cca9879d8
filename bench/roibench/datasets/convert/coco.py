"""As COCO does (cocodataset.org/#format-data), for whatever reads COCO.

    OUT/SPLIT/NAME.jpg, ...                       the images
    OUT/annotations/instances_SPLIT.json          boxes, classes, areas; masks as compressed runs (RLE); captions
    OUT/annotations/person_keypoints_SPLIT.json   the objects that have joints, where the dataset knows joints
    OUT/annotations/captions_SPLIT.json           a caption per image, of its objects' own joined by "; "

An image's name in the dataset is its "source"; VOC's difficult objects have "ignore": 1, which pycocotools and coco:
don't look at. The instances are written last: where their file is, the copy is complete.
"""

import json
from collections.abc import Iterator, Sequence
from importlib.metadata import version
from itertools import combinations
from pathlib import Path
from typing import Any

import numpy as np
from pycocotools import mask as rle

from roibench.dataset import Dataset, DatasetInfo
from roibench.datasets.coco import open_coco
from roibench.datasets.convert.writer import Placed, Writer
from roibench.files import write_atomically
from roibench.structures import Target

# Of joints as COCO and LSP call them, without their side: those of one side, and the two of a pair, are joined.
_LIMBS = (
    *({"ankle", "knee"}, {"knee", "hip"}, {"hip", "shoulder"}, {"shoulder", "elbow"}, {"elbow", "wrist"}),
    *({"neck", "head top"}, {"neck", "shoulder"}, {"nose", "eye"}, {"eye", "ear"}, {"ear", "shoulder"}),
)
_PAIRS = ("hip", "shoulder", "eye")


class CocoWriter(Writer):
    """COCO's JSON files."""

    form = "coco"
    open = staticmethod(open_coco)
    keeps = frozenset({"boxes", "labels", "crowd", "areas", "masks", "keypoints", "captions"})

    def __init__(self, out: Path, data: Dataset):
        super().__init__(out, data)
        self.images: list[dict] = []
        self.annotations: list[dict] = []
        self.captions: list[dict] = []
        self.ignored = 0

    @property
    def file(self) -> Path:
        return self.out / "annotations" / f"instances_{self.info.split}.json"

    def folder(self, target: Target) -> Path:
        return self.out / self.info.split

    def add(self, image: Placed, target: Target) -> None:
        number, (height, width) = image.number, image.size
        named = {"id": number, "file_name": image.file.name, "width": width, "height": height}
        self.images.append(named | {"source": image.source})
        for one in _annotations(target, self.info):  # ids from 1: COCOeval takes 0 for no match
            self.annotations.append({"id": len(self.annotations) + 1, "image_id": number} | one)
        if target.captions:
            self.captions.append({"id": number, "image_id": number, "caption": "; ".join(target.captions)})
        self.ignored += 0 if target.ignored is None else int(target.ignored.sum())

    def finish(self) -> None:
        info, folder = self.info, self.file.parent
        source = f"{info.name}, split {info.split}, written by RoIBench {version('roibench')}"
        head = {"info": {"description": source, "version": self.hash}, "licenses": [], "images": self.images}
        categories = [{"id": k, "name": name, "supercategory": name} for k, name in enumerate(info.classes, start=1)]
        if "keypoints" in info.fields:
            persons = _persons(self.annotations, categories, info)
            _write_json(folder / f"person_keypoints_{info.split}.json", head | persons)
        if "captions" in info.fields:
            _write_json(folder / f"captions_{info.split}.json", head | {"annotations": self.captions})
        plain = [{key: one[key] for key in one if "keypoints" not in key} for one in self.annotations]
        _write_json(self.file, head | {"annotations": plain, "categories": categories})

    def notes(self) -> list[str]:
        return [f"{self.ignored} ignored objects count: COCO knows crowds alone"] if self.ignored else []


def limbs(joints: Sequence[str]) -> list[list[int]]:
    """COCO's skeleton: pairs of joints that are joined, counted from 1; of names that aren't known there are none."""
    parts = enumerate(map(_part, joints), start=1)
    return [[i, j] for (i, one), (j, other) in combinations(parts, 2) if _joined(one, other)]


def _joined(one: tuple[str, str], other: tuple[str, str]) -> bool:
    (side, name), (other_side, other_name) = one, other
    if name == other_name:
        return name in _PAIRS
    return {name, other_name} in _LIMBS and (side == other_side or "" in (side, other_side))


def _part(joint: str) -> tuple[str, str]:
    """Side (left, right or neither) and name."""
    side, _, name = joint.replace("_", " ").partition(" ")
    return (side, name) if side in ("left", "right") else ("", joint.replace("_", " "))


def _persons(annotations: list[dict], categories: list[dict], info: DatasetInfo) -> dict[str, list[dict]]:
    """Annotations and categories that have joints: those of which an object shows one; else person; else all."""
    ids = (
        {one["category_id"] for one in annotations if one["num_keypoints"]}
        or {kind["id"] for kind in categories if kind["name"] == "person"}
        or {kind["id"] for kind in categories}
    )
    skeleton = {"keypoints": list(info.joints), "skeleton": limbs(info.joints)}
    return {
        "annotations": [one for one in annotations if one["category_id"] in ids],
        "categories": [kind | skeleton for kind in categories if kind["id"] in ids],
    }


def _annotations(target: Target, info: DatasetInfo) -> Iterator[dict[str, Any]]:
    """COCO's annotations of one image, without their ids."""
    boxes = target.boxes.double()
    sides = boxes[:, 2:] - boxes[:, :2]
    areas = sides.prod(dim=1) if target.areas is None else target.areas
    for k, label in enumerate(target.labels.tolist()):
        annotation = {
            "category_id": label + 1,
            "bbox": boxes[k, :2].tolist() + sides[k].tolist(),
            "area": float(areas[k]),
            "iscrowd": 0 if target.crowd is None else int(target.crowd[k]),
        }
        if target.ignored is not None:
            annotation["ignore"] = int(target.ignored[k])
        if target.masks is not None:
            runs = rle.encode(np.asfortranarray(target.masks[k].numpy(), np.uint8))
            annotation["segmentation"] = {"size": runs["size"], "counts": runs["counts"].decode()}
        if target.captions is not None:
            annotation["caption"] = target.captions[k]
        if "keypoints" in info.fields:
            annotation["keypoints"] = [_number(value) for value in target.keypoints[k].flatten().tolist()]
            annotation["num_keypoints"] = int((target.keypoints[k, :, 2] > 0).sum())
        yield annotation


def _number(value: float) -> float:
    """Whole numbers without a decimal point: tools want visibilities as integers."""
    return int(value) if value.is_integer() else value


def _write_json(file: Path, content: dict[str, Any]) -> Path:
    return write_atomically(file, json.dumps(content, allow_nan=False).encode())
