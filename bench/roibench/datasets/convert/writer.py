"""What every format of a copy is written by."""

from abc import ABC, abstractmethod
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

import numpy as np
from torch import Tensor

from roibench.dataset import Dataset
from roibench.datasets.image_files import ImageFiles
from roibench.structures import Target


@dataclass(frozen=True)
class Placed:
    """An image of a copy.

    number: in its split, from 1.
    file: where it lies.
    size: (height, width).
    source: its id in the dataset.
    """

    number: int
    file: Path
    size: tuple[int, int]
    source: str


class Writer(ABC):
    """Writes a split of a dataset into a folder, where other splits may lie already.

    form: what is typed.
    open: opens the copy, by folder and split.
    needs: fields of Target without which there is nothing to write.
    keeps: those of which the copy has the same.
    ordered: it keeps the images' order.
    """

    form: ClassVar[str]
    open: ClassVar[Callable[[str, str], ImageFiles]]
    needs: ClassVar[frozenset[str]] = frozenset({"boxes", "labels"})
    keeps: ClassVar[frozenset[str]]
    ordered: ClassVar[bool] = True

    def __init__(self, out: Path, data: Dataset):
        self.out, self.info, self.hash = out, data.info, data.hash

    @property
    @abstractmethod
    def file(self) -> Path:
        """What is written last."""

    @property
    def exists(self) -> bool:
        """Whether the split has been written already."""
        return self.file.exists()

    def check(self, names: list[str]) -> list[str]:
        """Names of the images, without endings, that may be used: these, or others. Raises ValueError where the folder
        holds what the split doesn't go together with.
        """
        return names

    @abstractmethod
    def folder(self, target: Target) -> Path:
        """Where an image goes."""

    @abstractmethod
    def add(self, image: Placed, target: Target) -> None:
        """Writes, or keeps in mind, what is known of an image that has been written."""

    @abstractmethod
    def finish(self) -> None:
        """Writes what is left, `file` last."""

    def notes(self) -> list[str]:
        """What is different in the copy: sentences."""
        return []


def true(flags: Tensor | None, index: int) -> bool:
    return flags is not None and bool(flags[index])


def short(value: float) -> str:
    """As few digits as tell a float32 from its neighbours, whole numbers without a decimal point."""
    return np.format_float_positional(np.float32(value), trim="-")
