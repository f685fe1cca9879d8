"""Ground truth as a detector's losses want it: on the model's device, in pixels of the batch."""

from collections.abc import Sequence
from typing import NamedTuple

import torch
from torch import Tensor

from roibench.nn.images import ImageBatch
from roibench.structures import Target


class Truth(NamedTuple):
    """boxes: float32 [G, 4], xyxy. labels: int64 [G]. ignored: bool [G], which boxes must not be learned, or None."""

    boxes: Tensor
    labels: Tensor
    ignored: Tensor | None


def batch_truths(batch: ImageBatch, targets: Sequence[Target]) -> list[Truth]:
    """One Truth per image. Crowds and what the data set ignores are kept, because candidates on them are undecided."""
    device = batch.pixels.device
    truths = []
    for index, target in enumerate(targets):
        flags = [flag.to(device) for flag in (target.crowd, target.ignored) if flag is not None]
        truths.append(
            Truth(
                batch.to_batch(index, target.boxes.to(device)),
                target.labels.to(device),
                torch.stack(flags).any(0) if flags else None,
            )
        )
    return truths
