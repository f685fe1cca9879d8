"""Which person of an image is meant where a network sees but one, and images that have one."""

import hashlib

from torch import Tensor

from roibench.cache import cache_root, load, save
from roibench.dataset import Dataset
from roibench.plugins.localization.subset import Subset
from roibench.structures import Target
from roibench.tasks.objects import counted


def person_of(target: Target) -> Tensor:
    """The keypoints [J, 3] of the largest object that counts and has a joint that is there; zeros where none has."""
    keypoints = target.keypoints
    persons = (keypoints[..., 2] > 0).any(1) & counted(target, len(keypoints))
    if not persons.any():
        return keypoints.new_zeros(keypoints.shape[1:])
    areas = (target.boxes[:, 2:] - target.boxes[:, :2]).prod(1)
    return keypoints[areas.masked_fill(~persons, -1).argmax()]


def with_persons(data: Dataset, images: int) -> Subset:
    """Of a dataset's first images, all with a person, and at most as many without: the first ones.

    images: how many are looked through, of a dataset that has so many. Which have persons is kept on disk.
    """
    images = images if data.unbounded else min(images, len(data))
    file = cache_root() / "persons" / hashlib.sha256(f"{data.hash} {images}".encode()).hexdigest()
    content = load(file)
    if content is None:
        content = bytes(bool(person_of(data[index].target).any()) for index in range(images))
        save(file, content, "indices of images with persons")
    persons, others = ([i for i, there in enumerate(content) if there == kind] for kind in (1, 0))
    return Subset(data, tuple(persons + others[: len(persons)]))
