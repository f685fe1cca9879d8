"""Whether a dataset has anything to score: checked before measuring, which would end in undefined values."""

from collections.abc import Callable

from roibench.dataset import Dataset
from roibench.datasets.image_files import ImageFiles
from roibench.structures import Target


def any_counts(data: Dataset, counts: Callable[[Target], bool], images: int | None = None) -> bool:
    """Whether any of the first images (None: all) has ground truth that counts.

    Looks no further than it must: mostly at one image.
    """
    find = data.target if isinstance(data, ImageFiles) else None
    count = min(len(data), images or len(data))
    targets = (find(data.pictures[k]) if find else data[k].target for k in range(count))
    return any(map(counts, targets))
