"""COCO's JSON (cocodataset.org/#format-data): `coco:FOLDER@SPLIT`, `coco:FILE.json` or `coco:FILE.json:IMAGES`.

In a folder, annotations/instances_SPLIT.json is read, else the one instances_SPLIT with a year at its end (val finds
val2017), else person_keypoints_ likewise. An image's file_name is looked up in NAME/, images/NAME/, SPLIT/,
images/SPLIT/, images/ and the folder itself, in this order, where SPLIT is as typed and NAME may have the year. A
single file is all one split, whatever that is called; its images lie beside it, in images/ beside it, or in the folder
IMAGES (there under their file_name, or its last part). Captions of whole images are read from a captions_ file alone.

roibench.datasets.coco_json tells what becomes of an annotation.
"""

import os
import re
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from pycocotools import mask as rle

from roibench.dataset import DatasetInfo
from roibench.datasets.bad_data import BadData
from roibench.datasets.checked_images import check_images
from roibench.datasets.coco_json import Picture, read_annotations
from roibench.datasets.image_files import ImageFiles
from roibench.datasets.images import shared_size
from roibench.structures import Target
from roibench.words import words_of

_KINDS = ("instances", "person_keypoints")


def open_coco(path: str, split: str, on_bad_data: str = "fail") -> "Coco":
    """Opens a split of a COCO folder, or a file. All annotations are read, and every image is decoded once.

    on_bad_data: "fail" raises BadDataError, which lists all that is wrong; "skip" leaves out a bad annotation, or an
    image that can't be read, and warns; "clip" does, too, but clips boxes to their images first. A file that is no
    JSON always fails.
    """
    bad = BadData(on_bad_data)
    file, keypoint_file, folders = _find(path, split)
    annotations = read_annotations(file, bad, keypoint_file)
    places = [_locate(picture.file_name, folders) for picture in annotations.pictures]
    images = check_images(places, bad)
    pictures = []
    for picture, place in zip(annotations.pictures, places, strict=True):
        if (image := images.get(place)) is None:
            continue
        if problem := image.size_problem(picture.size):
            bad.report(file, f"image {picture.id}: {problem}")
        else:
            pictures.append(picture._replace(image=image))
    annotations = annotations._replace(pictures=tuple(pictures))
    problems = bad.settle()
    fields = annotations.fields
    words = {word for one in annotations.objects for word in words_of(one.caption or "")}
    info = DatasetInfo(
        name=f"coco:{path}",
        split=split,
        classes=annotations.classes,
        joints=annotations.joints,
        vocabulary=tuple(sorted(words)) if "captions" in fields else (),
        image_size=shared_size(picture.size for picture in annotations.pictures),
        fields=fields,
    )
    return Coco(info, annotations.pictures, problems, annotations.category_ids)


@dataclass(frozen=True)
class Coco(ImageFiles[Picture]):
    """A split of a COCO folder, or a file.

    category_ids: as written, by label.
    """

    category_ids: tuple[str, ...] = ()

    def target(self, picture: Picture) -> Target:
        return target(picture, self.info.fields, len(self.info.joints))

    def facts(self, picture: Picture) -> tuple:
        return picture.id, picture.size, picture.objects, self.info.joints


def target(picture: Picture, fields: Iterable[str], joints: int) -> Target:
    """Ground truth of one image, which needn't exist. joints: how many J a keypoint annotation has."""
    objects = picture.objects
    absent = (0.0,) * (3 * joints)
    keypoints = torch.tensor([one.keypoints or absent for one in objects], dtype=torch.float32)
    return Target(
        boxes=torch.tensor([one.box for one in objects], dtype=torch.float32).reshape(-1, 4),
        labels=torch.tensor([one.label for one in objects], dtype=torch.int64) if "labels" in fields else None,
        crowd=torch.tensor([one.crowd for one in objects], dtype=torch.bool),
        areas=torch.tensor([one.area for one in objects], dtype=torch.float32),
        masks=_masks(picture) if "masks" in fields else None,
        keypoints=keypoints.reshape(len(objects), joints, 3) if "keypoints" in fields else None,
        captions=tuple(one.caption for one in objects) if "captions" in fields else None,
    )


def _masks(picture: Picture) -> torch.Tensor:
    """bool [N, H, W]."""
    height, width = picture.size
    masks = np.zeros((len(picture.objects), height, width), np.bool_)
    for index, one in enumerate(picture.objects):
        masks[index] = mask(one.segmentation, picture.size)
    return torch.from_numpy(masks)


def mask(outline: list | dict, size: tuple[int, int]) -> NDArray[np.uint8]:
    """[H, W] of a segmentation that read_outline let through."""
    if isinstance(outline, list):
        outline = rle.merge(rle.frPyObjects(outline, *size))
    elif isinstance(outline["counts"], list):
        outline = rle.frPyObjects(outline, *size)
    return rle.decode(outline)


def _find(text: str, split: str) -> tuple[Path, Path | None, tuple[Path, ...]]:
    """The annotation file, its keypoint file if there is one, and the folders where images may lie."""
    path = Path(text)
    if path.is_file():
        return path, None, (path.parent, path.parent / "images")
    if not path.exists() and (parts := re.fullmatch(r"(.+\.json):(.+)", text, re.IGNORECASE)):
        path, folder = map(Path, parts.groups())
        if not path.is_file():
            raise ValueError(f"{path}: no such file, in coco:FILE.json:IMAGES")
        if not folder.is_dir():
            raise ValueError(f"{folder}: no such folder, in coco:FILE.json:IMAGES")
        return path, None, (folder,)
    folder = path / "annotations"
    if not folder.is_dir():
        raise ValueError(f"{path} is no COCO folder: it has no annotations; nor is it a JSON file")
    for kind in _KINDS:
        found = {file.stem.removeprefix(f"{kind}_"): file for file in sorted(folder.glob(f"{kind}_*.json"))}
        dated = [name for name in found if re.fullmatch(rf"{re.escape(split)}\d{{4}}", name)]
        if split not in found and len(dated) > 1:
            raise ValueError(f"{path} has more than one split {split!r}; name one: {', '.join(dated)}")
        if names := [split] if split in found else dated:
            (name,) = names
            beside = folder / f"person_keypoints_{name}.json"
            keypoint_file = beside if kind == "instances" and beside.is_file() else None
            images = path / "images"
            return (
                found[name],
                keypoint_file,
                (*(top / n for n in (name, split) for top in (path, images)), images, path),
            )
    known = {file.stem.removeprefix(f"{kind}_") for kind in _KINDS for file in folder.glob(f"{kind}_*.json")}
    raise ValueError(f"{path} has no split {split!r}; it has: {', '.join(sorted(known)) or 'none'}")


def _locate(file_name: str, folders: tuple[Path, ...]) -> Path:
    """Where an image lies; where it should, if it lies nowhere."""
    places = [folder / file_name for folder in folders]
    if len(folders) == 1:  # of coco:FILE.json:IMAGES
        places.append(folders[0] / Path(file_name).name)
    return next((place for place in places if os.path.isfile(place)), places[0])  # noqa: PTH113 - false for any name
