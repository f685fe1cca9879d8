"""What the harness asks of a dataset."""

from dataclasses import dataclass
from typing import Protocol

from roibench.structures import Sample


@dataclass(frozen=True)
class DatasetInfo:
    """What a model may know of a dataset before it sees an image.

    name: what it was opened as, e.g. `scenes` or `voc:PATH`.
    split: which part.
    classes: names, in label order, background not counted.
    joints: names, in order.
    vocabulary: words of the captions.
    image_size: (height, width) in pixels where all images share one, else None.
    fields: the attributes of Target that it fills.
    """

    name: str
    split: str
    classes: tuple[str, ...]
    joints: tuple[str, ...] = ()
    vocabulary: tuple[str, ...] = ()
    image_size: tuple[int, int] | None = None
    fields: frozenset[str] = frozenset()


class Dataset(Protocol):
    """A sequence of samples; `dataset[i]` decodes the i-th image and depends on nothing but i.

    hash: SHA-256 (hex) of everything that the samples depend on: two datasets with one hash hold the same samples.
    unbounded: any i >= 0 is accepted, and the length is that of one epoch (Scenes' train split).
    """

    info: DatasetInfo
    hash: str
    unbounded: bool

    def __len__(self) -> int: ...
    def __getitem__(self, index: int) -> Sample: ...
