"""Which person of an image is meant where a network sees but one, and images that have one."""

import hashlib
import json
from dataclasses import dataclass
from typing import ClassVar, Self

import torch
from torch import Tensor

from roibench.cache import cache_root, load, save
from roibench.dataset import Dataset, DatasetInfo
from roibench.structures import Sample, Target
from roibench.tasks.objects import counted


def person_of(target: Target) -> Tensor:
    """The keypoints [J, 3] of the largest object that counts and has a joint that is there; zeros where none has."""
    keypoints = target.keypoints
    persons = (keypoints[..., 2] > 0).any(1) & counted(target, len(keypoints))
    if not persons.any():
        return keypoints.new_zeros(keypoints.shape[1:])
    areas = (target.boxes[:, 2:] - target.boxes[:, :2]).prod(1)
    return keypoints[areas.masked_fill(~persons, -1).argmax()]


@dataclass(frozen=True)
class WithPersons:
    """Some images of a dataset, as a dataset.

    data: the dataset.
    indices: which of its images.
    """

    unbounded: ClassVar[bool] = False

    data: Dataset
    indices: tuple[int, ...]

    @classmethod
    def found_in(cls, data: Dataset, images: int) -> Self:
        """Of the first images, all with a person, and at most as many without: the first ones.

        images: how many are looked through, of a dataset that has so many. Which they are is kept on disk.
        """
        images = images if data.unbounded else min(images, len(data))
        file = cache_root() / "persons" / hashlib.sha256(f"{data.hash} {images}".encode()).hexdigest()
        content = load(file)
        if content is None:
            content = json.dumps([bool(person_of(data[index].target).any()) for index in range(images)]).encode()
            save(file, content, "indices of images with persons")
        there = torch.tensor(json.loads(bytes(content)))
        persons, others = torch.where(there)[0], torch.where(~there)[0]
        return cls(data, tuple(torch.cat([persons, others[: len(persons)]]).tolist()))

    @property
    def info(self) -> DatasetInfo:
        return self.data.info

    @property
    def hash(self) -> str:
        return hashlib.sha256(f"{self.data.hash} {self.indices}".encode()).hexdigest()

    def __len__(self) -> int:
        return len(self.indices)

    def __getitem__(self, index: int) -> Sample:
        return self.data[self.indices[index]]
