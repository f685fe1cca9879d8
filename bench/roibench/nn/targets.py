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


class LearnedObjects(NamedTuple):
    """The K objects of a whole batch that are to be learned.

    image: int64 [K], whose they are.
    boxes: float32 [K, 4], xyxy.
    labels: int64 [K].
    """

    image: Tensor
    boxes: Tensor
    labels: Tensor


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


def learned_objects(objects: Sequence[BoxTargets]) -> LearnedObjects:
    """Image by image, in order; crowds and what the dataset ignores are left out."""
    kept = [slice(None) if one.ignored is None else ~one.ignored for one in objects]
    labels = [one.labels[keep] for one, keep in zip(objects, kept, strict=True)]
    image = torch.cat([torch.full_like(label, index) for index, label in enumerate(labels)])
    boxes = torch.cat([one.boxes[keep] for one, keep in zip(objects, kept, strict=True)])
    return LearnedObjects(image, boxes, torch.cat(labels))


def ignored_locations(objects: BoxTargets, stride: int, size: tuple[int, int]) -> Tensor:
    """Which locations of a map (height, width) an ignored object touches, edges and all, bool [h, w]: undecided."""
    locations = torch.zeros(size, dtype=torch.bool, device=objects.boxes.device)
    if objects.ignored is None:
        return locations
    x1, y1, x2, y2 = (objects.boxes[objects.ignored] / stride).unbind(-1)
    y, x = (torch.arange(side, device=locations.device)[:, None] for side in size)
    rows, columns = (y + 1 > y1) & (y <= y2), (x + 1 > x1) & (x <= x2)  # [h, G], [w, G]
    return (rows[:, None] & columns).any(-1)
