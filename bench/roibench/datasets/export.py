"""Writes a dataset that has boxes as COCO does (cocodataset.org/#format-data), for whatever reads COCO.

    DIR/SPLIT/000000000001.png, ...               the images, lossless
    DIR/annotations/instances_SPLIT.json          boxes, classes, areas; masks as compressed runs (RLE); captions
    DIR/annotations/person_keypoints_SPLIT.json   the objects that have joints, where the dataset knows joints
    DIR/annotations/captions_SPLIT.json           a caption per image, of its objects' own joined by "; "

An image's name in the dataset is its "source"; VOC's difficult objects have "ignore": 1, which pycocotools and coco:
don't look at. The instances are written last: where their file is, the export is complete.
"""

import json
from collections.abc import Callable, Iterator, Sequence
from importlib.metadata import version
from io import BytesIO
from itertools import combinations
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image
from pycocotools import mask as rle
from torch import Tensor

from roibench.dataset import Dataset, DatasetInfo
from roibench.files import write_atomically
from roibench.structures import Target

FORMATS = ("coco",)
# Of joints as COCO and LSP call them, without their side: those of one side, and the two of a pair, are joined.
_LIMBS = (
    *({"ankle", "knee"}, {"knee", "hip"}, {"hip", "shoulder"}, {"shoulder", "elbow"}, {"elbow", "wrist"}),
    *({"neck", "head top"}, {"neck", "shoulder"}, {"nose", "eye"}, {"eye", "ear"}, {"ear", "shoulder"}),
)
_PAIRS = ("hip", "shoulder", "eye")


def export(
    data: Dataset,
    out: Path,
    form: str = "coco",
    images: int | None = None,
    progress: Callable[[int, int], None] | None = None,
) -> Path:
    """Writes the first `images` samples (None: all) to a folder; returns the file of instances.

    progress: called with images written and images in all. Every file is whole or not there; an export that was
    interrupted is run again. Raises ValueError for an unknown format or a dataset without boxes and labels, and
    FileExistsError where the split has been exported already.
    """
    if form not in FORMATS:
        raise ValueError(f"unknown format {form!r}; known: {', '.join(FORMATS)}")
    info = data.info
    if missing := {"boxes", "labels"} - info.fields:
        raise ValueError(f"{info.name} can't be exported as {form}: it has no {' and no '.join(sorted(missing))}")
    if images is not None and images < 1:
        raise ValueError(f"images: want 1 or more, got {images}")
    folder = out / "annotations"
    instances = folder / f"instances_{info.split}.json"
    if instances.exists():
        raise FileExistsError(f"{instances} is there already: name another folder, or delete it")
    count = len(data) if images is None else images if data.unbounded else min(images, len(data))
    pictures, annotations, captions = [], [], []
    for number in range(1, count + 1):
        given, target = data[number - 1]
        file_name = f"{number:012d}.png"
        _write_image(out / info.split / file_name, given.image)
        _, height, width = given.image.shape
        pictures.append({"id": number, "file_name": file_name, "width": width, "height": height, "source": given.id})
        for one in _annotations(target, info):  # ids from 1: COCOeval takes 0 for no match
            annotations.append({"id": len(annotations) + 1, "image_id": number} | one)
        if target.captions:
            captions.append({"id": number, "image_id": number, "caption": "; ".join(target.captions)})
        if progress:
            progress(number, count)
    source = f"{info.name}, split {info.split}, exported by RoIBench {version('roibench')}"
    head = {"info": {"description": source, "version": data.hash}, "licenses": [], "images": pictures}
    categories = [{"id": k, "name": name, "supercategory": name} for k, name in enumerate(info.classes, start=1)]
    if "keypoints" in info.fields:
        persons = _persons(annotations, categories, info)
        _write_json(folder / f"person_keypoints_{info.split}.json", head | persons)
    if "captions" in info.fields:
        _write_json(folder / f"captions_{info.split}.json", head | {"annotations": captions})
    plain = [{key: one[key] for key in one if "keypoints" not in key} for one in annotations]
    return _write_json(instances, head | {"annotations": plain, "categories": categories})


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


def _write_image(file: Path, image: Tensor) -> None:
    buffer = BytesIO()
    Image.fromarray(image.permute(1, 2, 0).numpy()).save(buffer, "PNG")
    write_atomically(file, buffer.getvalue())


def _write_json(file: Path, content: dict[str, Any]) -> Path:
    return write_atomically(file, json.dumps(content, allow_nan=False).encode())
