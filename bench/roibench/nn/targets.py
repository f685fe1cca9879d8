"""Ground truth as losses need it: on the model's device, in pixels of the batch."""

from collections.abc import Sequence
from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor

from roibench.nn.images import ImageBatch
from roibench.structures import VOID, Target


class BoxTargets(NamedTuple):
    """The G objects of one image.

    boxes: float32 [G, 4], xyxy.
    labels: int64 [G].
    ignored: bool [G], which of them must not be learned; None if all are to be.
    """

    boxes: Tensor
    labels: Tensor
    ignored: Tensor | None


def batch_maps(batch: ImageBatch, targets: Sequence[Target]) -> Tensor:
    """The semantic maps in pixels of the batch, int64 [B, H, W]: resized to the nearest pixel, padded with VOID."""
    maps = torch.full((len(targets), *batch.pixels.shape[-2:]), VOID, dtype=torch.uint8)
    for one, target, (height, width) in zip(maps, targets, batch.sizes, strict=True):
        resized = F.interpolate(target.semantic_map[None, None], (height, width), mode="nearest-exact")
        one[:height, :width] = resized[0, 0]
    return maps.to(batch.pixels.device, torch.int64)


def batch_boxes(batch: ImageBatch, targets: Sequence[Target]) -> list[BoxTargets]:
    """The objects of each image. Crowds and what the dataset ignores are kept: candidates on them are undecided."""
    device = batch.pixels.device
    objects = []
    for index, target in enumerate(targets):
        flags = [flag.to(device) for flag in (target.crowd, target.ignored) if flag is not None]
        objects.append(
            BoxTargets(
                batch.to_batch(index, target.boxes.to(device)),
                target.labels.to(device),
                torch.stack(flags).any(0) if flags else None,
            )
        )
    return objects
