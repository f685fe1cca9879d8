"""What the adapters share: a split whose images lie in files, decoded on access."""

import hashlib
from abc import ABC, abstractmethod
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from typing import Generic, Protocol, TypeVar

from roibench.dataset import DatasetInfo
from roibench.datasets.bad_data import Problem
from roibench.datasets.checked_images import CheckedImage
from roibench.datasets.images import decode
from roibench.structures import Input, Sample, Target


class ImageFile(Protocol):
    """An image; an adapter's own type adds what is known of it.

    id: its name, unique in its dataset.
    image: its file.
    """

    id: str
    image: CheckedImage


Picture = TypeVar("Picture", bound=ImageFile)


@dataclass(frozen=True)
class ImageFiles(ABC, Generic[Picture]):
    """A split that has been read: a Dataset.

    info: as of every Dataset.
    pictures: its images, in order.
    problems: what was left out.
    """

    info: DatasetInfo
    pictures: tuple[Picture, ...]
    problems: tuple[Problem, ...] = ()
    unbounded = False

    @abstractmethod
    def target(self, picture: Picture) -> Target:
        """Ground truth of one image."""

    @abstractmethod
    def facts(self, picture: Picture) -> tuple:
        """All that id and target depend on beside the classes: what has a repr goes into the dataset's hash."""

    def __len__(self) -> int:
        return len(self.pictures)

    def __iter__(self) -> Iterator[Sample]:
        return (self[index] for index in range(len(self)))

    def __getitem__(self, index: int) -> Sample:
        picture = self.pictures[index]
        return Sample(Input(picture.id, decode(picture.image.file)), self.target(picture))

    @cached_property
    def hash(self) -> str:
        """Covers classes, facts and the image files, as they were when the split was opened."""
        digest = hashlib.sha256(repr(self.info.classes).encode())
        for picture in self.pictures:
            digest.update(repr(self.facts(picture)).encode())
            digest.update(bytes.fromhex(picture.image.sha256))
        return digest.hexdigest()
