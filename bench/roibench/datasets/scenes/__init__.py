"""Scenes and Icons: the embedded datasets. Shapes and figures on photographs, drawn on the spot, the same everywhere.

An image depends on the dataset, the split, its index and its size alone: the same bytes on every platform, numpy
version and SIMD level. So nothing here computes a pixel, a place or a choice in floating point.
"""

import hashlib
import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import ClassVar

import numpy as np
import torch

from roibench.cache import cache_root
from roibench.dataset import DatasetInfo
from roibench.datasets.scenes import cache
from roibench.datasets.scenes.backgrounds import PHOTOGRAPHS
from roibench.datasets.scenes.captions import VOCABULARY, WORD_KINDS, describe
from roibench.datasets.scenes.compose import SPLITS, Scene, render
from roibench.datasets.scenes.layout import ICONS, SCENES, Layout
from roibench.datasets.scenes.raster import PIXEL
from roibench.datasets.scenes.shapes import CLASSES, JOINTS
from roibench.structures import Input, Sample, Target

LENGTHS = {"train": 4_000, "val": 500, "test": 500}
FIELDS = frozenset(
    {"boxes", "labels", "areas", "masks", "keypoints", "captions", "word_kinds", "main", "image_label", "semantic_map"}
)


def open_scenes(path: None, split: str) -> "Scenes":
    """Opens a split, `train`, `val` or `test`; there is no path to give."""
    return Scenes(split)


def open_icons(path: None, split: str) -> "Icons":
    """Opens a split, `train`, `val` or `test`; there is no path to give."""
    return Icons(split)


@dataclass(frozen=True)
class Embedded:
    """One split of an embedded dataset. Cheap to make and to pickle; images are rendered on access.

    Rendered images are kept on disk: all of val and test (34 MB each) and the first epoch of train (270 MB), 66 KiB
    each; a train image beyond it is rendered on every access.

    name: of the dataset.
    layout: of its images.
    generator: by split, of which there are these, what made it; to be changed whenever an image of the split does:
        hashes, caches and published figures hang on it.
    split: train, val or test.
    size: height and width of the images in pixels; objects grow with it.
    info: as of every Dataset.
    hash: likewise.
    unbounded: likewise.
    """

    name: ClassVar[str]
    layout: ClassVar[Layout]
    generator: ClassVar[Mapping[str, int | str]]  # numbers are Scenes' own

    split: str
    size: int = 128
    info: DatasetInfo = field(init=False, repr=False)
    hash: str = field(init=False, repr=False)
    unbounded: bool = field(init=False, repr=False)

    def __post_init__(self):
        if self.split not in self.generator:
            *others, last = self.generator
            raise ValueError(f"{self.name} has the splits {', '.join(others)} and {last}, not {self.split!r}")
        if self.size < 32:
            raise ValueError(f"{self.name}: size: want at least 32 pixels, got {self.size}")
        info = DatasetInfo(self.name, self.split, CLASSES, JOINTS, VOCABULARY, (self.size, self.size), FIELDS)
        origin = json.dumps([self.generator[self.split], self.split, self.size, PHOTOGRAPHS])
        object.__setattr__(self, "info", info)
        object.__setattr__(self, "hash", hashlib.sha256(origin.encode()).hexdigest())
        object.__setattr__(self, "unbounded", self.split == "train")

    def __len__(self) -> int:
        return LENGTHS[self.split]

    def __iter__(self) -> Iterator[Sample]:
        return (self[index] for index in range(len(self)))

    def __getitem__(self, index: int) -> Sample:
        if index < 0 or (index >= len(self) and not self.unbounded):
            raise IndexError(f"{self.name}@{self.split} has no image {index}")
        return _sample(f"{self.name}-{self.split}-{index:06d}", self._scene(int(index)))

    def _scene(self, index: int) -> Scene:
        if index >= len(self):
            return render(self.split, index, self.size, self.layout)
        file = self._folder() / f"{index:06d}.scene"
        scene = cache.load(file, self.size)
        if scene is None:
            scene = render(self.split, index, self.size, self.layout)
            cache.save(file, scene)
        return scene

    def _folder(self) -> Path:
        return cache_root() / self.name / self.hash[:16]


class Scenes(Embedded):
    """1 to 10 objects of any size, occluded, cut off, in crowds."""

    name = "scenes"
    layout = SCENES
    generator: ClassVar = {"train": 3, "val": 2, "test": 3}


class Icons(Embedded):
    """One object, whole and in front; in half of the images there are distractors of at most a quarter of its area."""

    name = "icons"
    layout = ICONS
    generator: ClassVar = dict.fromkeys(SPLITS, "icons 1")


def _sample(name: str, scene: Scene) -> Sample:
    objects = scene.objects
    masks = scene.instances == np.arange(1, len(objects) + 1, dtype=np.uint8)[:, None, None]
    boxes, areas, labels = _boxes(masks), masks.sum(axis=(1, 2)), objects["label"].astype(np.int64)
    main = int(areas.argmax())
    classes = np.array((0, *(labels + 1)), np.uint8)
    joints = objects["joints"].astype(np.float32)
    joints[..., :2] /= PIXEL
    target = Target(
        boxes=torch.from_numpy(boxes.astype(np.float32)),
        labels=torch.from_numpy(labels),
        areas=torch.from_numpy(areas.astype(np.float32)),
        masks=torch.from_numpy(masks),
        keypoints=torch.from_numpy(joints),
        captions=describe(objects, boxes, len(scene.instances)),
        word_kinds=WORD_KINDS,
        main=main,
        image_label=int(labels[main]),
        semantic_map=torch.from_numpy(classes[scene.instances]),
    )
    return Sample(Input(name, torch.from_numpy(scene.image)), target)


def _boxes(masks: np.ndarray) -> np.ndarray:
    """The tight boxes of masks none of which is empty: bool [N, H, W] -> int64 [N, 4]."""
    columns, rows = masks.any(axis=1), masks.any(axis=2)
    right, bottom = (seen.shape[1] - seen[:, ::-1].argmax(axis=1) for seen in (columns, rows))
    return np.stack((columns.argmax(axis=1), rows.argmax(axis=1), right, bottom), axis=1)
