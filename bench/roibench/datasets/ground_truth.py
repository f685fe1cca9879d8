"""Whether a dataset has anything to score: asked before measuring, which would end in undefined values."""

from collections.abc import Collection

import torch

from roibench.dataset import Dataset
from roibench.datasets.image_files import ImageFiles
from roibench.structures import Target

_VOID = 255  # in Target.semantic_map


def any_counts(data: Dataset, fields: Collection[str], images: int | None = None) -> bool:
    """Whether any of the first images (None: all) has ground truth in all these fields of Target that can be scored.

    Looks no further than it must: mostly at one image.
    """
    find = data.target if isinstance(data, ImageFiles) else None
    count = min(len(data), images or len(data))
    targets = (find(data.pictures[k]) if find else data[k].target for k in range(count))
    return any(all(_counts(target, field) for field in fields) for target in targets)


def _counts(target: Target, field: str) -> bool:
    value = getattr(target, field)
    if value is None:
        return False
    if field in ("main", "image_label"):
        return True
    if field == "semantic_map":
        return bool((value != _VOID).any())
    counted = torch.ones(len(value), dtype=torch.bool)
    for passed_over in (target.crowd, target.ignored):
        if passed_over is not None:
            counted &= ~passed_over
    if field == "keypoints":
        counted &= (value[:, :, 2] > 0).any(dim=1)
    return bool(counted.any())
