"""COCO files as the tests of the adapter write them, and the real ones."""

import json
import os
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from pycocotools import mask as rle

SQUARE = np.zeros((30, 40), np.uint8)
SQUARE[4:9, 3:13] = 1
POLYGON = [[3, 4, 13, 4, 13, 9, 3, 9]]
RUNS = {"size": [30, 40], "counts": [94] + [5, 25] * 9 + [5, 1200 - 94 - 30 * 9 - 5]}
COMPRESSED = {"size": [30, 40], "counts": rle.encode(np.asfortranarray(SQUARE))["counts"].decode()}
CATEGORIES = [{"id": 18, "name": "dog"}, {"id": 2, "name": "ant"}, {"id": 17, "name": "cat"}]
JOINTS = [{"id": 17, "name": "cat", "keypoints": ["nose", "tail"]}]


def obj(id=1, image_id=7, category_id=17, bbox=(3, 4, 10, 5), **more) -> dict:
    return {"id": id, "image_id": image_id, "category_id": category_id, "bbox": list(bbox), "iscrowd": 0} | more


def image(id=7, file_name="one.jpg", width=40, height=30) -> dict:
    return {"id": id, "file_name": file_name, "width": width, "height": height}


def document(*annotations, images=None, categories=None) -> dict:
    return {
        "images": [image()] if images is None else images,
        "annotations": list(annotations),
        "categories": CATEGORIES if categories is None else categories,
    }


def write(folder: Path, content: dict, name="instances_val") -> Path:
    file = folder / "annotations" / f"{name}.json"
    file.write_text(json.dumps(content))
    return file


def one_image(folder: Path) -> Path:
    """One image of 40x30 in val, with a cat and a crowd of dogs."""
    for name in ("annotations", "val"):
        (folder / name).mkdir()
    pixels = np.random.default_rng(0).integers(0, 256, (30, 40, 3), np.uint8)
    Image.fromarray(pixels).save(folder / "val" / "one.jpg")
    dogs = obj(2, category_id=18, bbox=(0, 0, 40, 30.01), iscrowd=1, area=600, segmentation=RUNS)
    write(folder, document(obj(area=48.5, segmentation=POLYGON), dogs))
    return folder


def real(*parts: str) -> Path:
    root = os.environ.get("ROIBENCH_DATA")
    if not root or not (path := Path(root, *parts)).exists():
        pytest.skip(f"ROIBENCH_DATA names no folder with {'/'.join(parts)} in it")
    return path
