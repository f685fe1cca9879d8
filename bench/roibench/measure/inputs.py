"""What a cell's model is given: the inputs of a dataset, decoded when they are asked for, one by one or in batches."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

from roibench.dataset import Dataset
from roibench.structures import Input
from roibench.task import Task


@dataclass(frozen=True)
class Inputs(Sequence[Input]):
    """The first `images` inputs of a dataset, each with what its tasks ask."""

    data: Dataset
    images: int
    tasks: Sequence[Task]

    def __getitem__(self, index: int) -> Input:
        if not 0 <= index < self.images:
            raise IndexError(f"there are {self.images} inputs, none is {index}")
        sample = self.data[index]
        for task in self.tasks:
            if task.query_help:
                return replace(sample.input, query=task.query(sample.target))
        return sample.input

    def __len__(self) -> int:
        return self.images

    def first(self, images: int) -> "Inputs":
        return replace(self, images=min(images, self.images))


@dataclass(frozen=True)
class Batches:
    """Inputs, `size` at a time. block: which of these batches, all by default."""

    inputs: Inputs
    size: int
    block: range | None = None

    def __iter__(self) -> Iterator[list[Input]]:
        images = len(self.inputs)
        for number in range(-(-images // self.size)) if self.block is None else self.block:
            yield [self.inputs[i] for i in range(number * self.size, min((number + 1) * self.size, images))]
