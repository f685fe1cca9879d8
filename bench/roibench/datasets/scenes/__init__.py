"""Scenes: the embedded dataset. Shapes and figures on photographs, rendered on the spot, the same everywhere.

`scenes[split][i]` depends on (split, i) and the image size alone: the same bytes on every platform, numpy version and
SIMD level. So nothing here computes a pixel, a place or a choice in floating point.
"""

import hashlib
import json
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import torch

from roibench.dataset import DatasetInfo
from roibench.datasets.cache import cache_root
from roibench.datasets.scenes import cache
from roibench.datasets.scenes.backgrounds import PHOTOGRAPHS
from roibench.datasets.scenes.captions import VOCABULARY, describe
from roibench.datasets.scenes.compose import SPLITS, Scene, render
from roibench.datasets.scenes.raster import PIXEL
from roibench.datasets.scenes.shapes import CLASSES, JOINTS
from roibench.structures import Input, Sample, Target

GENERATOR = 2  # to be raised whenever a scene changes: hashes, caches and published figures hang on it
LENGTHS = {"train": 4_000, "val": 500}
FIELDS = frozenset(
    {"boxes", "labels", "areas", "masks", "keypoints", "captions", "main", "image_label", "semantic_map"}
)


def open_scenes(path: None, split: str) -> "Scenes":
    """Opens a split, `train` or `val`; there is no path to give."""
    return Scenes(split)


@dataclass(frozen=True)
class Scenes:
    """One split: a Dataset. Cheap to make and to pickle; scenes are rendered on access.

    Rendered scenes are kept on disk: all of val (34 MB) and the first epoch of train (270 MB), 66 KiB each; a train
    scene beyond it is rendered on every access.

    split: train or val.
    size: height and width of the images in pixels; objects grow with it.
    info: as of every Dataset.
    hash: likewise.
    unbounded: likewise.
    """

    split: str
    size: int = 128
    info: DatasetInfo = field(init=False, repr=False)
    hash: str = field(init=False, repr=False)
    unbounded: bool = field(init=False, repr=False)

    def __post_init__(self):
        if self.split not in SPLITS:
            raise ValueError(f"scenes has the splits {' and '.join(SPLITS)}, not {self.split!r}")
        if self.size < 32:
            raise ValueError(f"scenes: size: want at least 32 pixels, got {self.size}")
        info = DatasetInfo("scenes", self.split, CLASSES, JOINTS, VOCABULARY, (self.size, self.size), FIELDS)
        origin = json.dumps([GENERATOR, self.split, self.size, PHOTOGRAPHS])
        object.__setattr__(self, "info", info)
        object.__setattr__(self, "hash", hashlib.sha256(origin.encode()).hexdigest())
        object.__setattr__(self, "unbounded", self.split == "train")

    def __len__(self) -> int:
        return LENGTHS[self.split]

    def __iter__(self) -> Iterator[Sample]:
        return (self[index] for index in range(len(self)))

    def __getitem__(self, index: int) -> Sample:
        if index < 0 or (index >= len(self) and not self.unbounded):
            raise IndexError(f"scenes@{self.split} has no image {index}")
        return _sample(f"scenes-{self.split}-{index:06d}", self._scene(int(index)))

    def _scene(self, index: int) -> Scene:
        if index >= len(self):
            return render(self.split, index, self.size)
        file = self._folder() / f"{index:06d}.scene"
        scene = cache.load(file, self.size)
        if scene is None:
            scene = render(self.split, index, self.size)
            cache.save(file, scene)
        return scene

    def _folder(self) -> Path:
        return cache_root() / "scenes" / self.hash[:16]


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
