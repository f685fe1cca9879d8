"""Some images of a dataset, as a dataset."""

import hashlib
from dataclasses import dataclass
from typing import ClassVar

from roibench.dataset import Dataset, DatasetInfo
from roibench.structures import Sample


@dataclass(frozen=True)
class Subset:
    """data: the dataset. indices: which of its images, in this order; an epoch has these and no others."""

    unbounded: ClassVar[bool] = False

    data: Dataset
    indices: tuple[int, ...]

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
