"""Objects cut out of their images: a classifier that learns them, too, knows much sooner what they look like.

The class of a picture full of objects tells little about any of them; a picture of one object alone tells all.
"""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager

import torch
from torch import Tensor, nn

from roibench import ops
from roibench.nn.images import ImageBatch
from roibench.nn.targets import batch_boxes
from roibench.structures import Target

MARGIN = 1.2  # a crop's side over the object's longer one


def object_crops(
    batch: ImageBatch, targets: Sequence[Target], side: int, most: int
) -> tuple[Tensor, Tensor] | tuple[None, None]:
    """The `most` largest objects of each image, as pixels [K, 3, side, side] and classes int64 [K].

    The aspect is kept; what lies outside the image is 0. Objects that are not to be learned are left out. None, None
    where there is nothing to cut out, or some image has no boxes or labels.
    """
    if any(target.boxes is None or target.labels is None for target in targets):
        return None, None
    squares, labels = [], []
    for boxes, classes, ignored in batch_boxes(batch, targets):
        if ignored is not None:
            boxes, classes = boxes[~ignored], classes[~ignored]
        sides = boxes[:, 2:] - boxes[:, :2]
        largest = sides.prod(1).argsort(descending=True, stable=True)[:most]
        centre = boxes[largest].unflatten(1, (2, 2)).mean(1)
        half = sides[largest].amax(1, keepdim=True) * MARGIN / 2
        squares.append(torch.cat([centre - half, centre + half], dim=1))
        labels.append(classes[largest])
    if sum(map(len, labels)) == 0:
        return None, None
    return ops.roi_align(batch.pixels, squares, side, sampling_ratio=2, aligned=True), torch.cat(labels)


@contextmanager
def unrecorded_statistics(network: nn.Module) -> Iterator[None]:
    """Batch norm leaves its running statistics as they are.

    Crops have other statistics than the images that the network is for (as adversarial images do, which Xie et al.
    2020, arXiv 1911.09665, give norms of their own).
    """
    norms = [module for module in network.modules() if isinstance(module, nn.BatchNorm2d)]
    before = [norm.momentum for norm in norms]
    try:
        for norm in norms:
            norm.momentum = 0.0
        yield
    finally:
        for norm, momentum in zip(norms, before, strict=True):
            norm.momentum = momentum
