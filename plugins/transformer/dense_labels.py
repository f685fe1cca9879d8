"""What each location of a feature map shows: a classifier that learns it as well needs far fewer images.

As in token labelling (Jiang et al. 2021, arXiv 2104.10858), whose labels come from a larger network; here they come
from a semantic map, where the dataset has one.
"""

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor

from roibench.nn.images import ImageBatch
from roibench.nn.targets import batch_maps
from roibench.structures import Target


def dense_labels(batch: ImageBatch, targets: Sequence[Target], classes: int, stride: int) -> Tensor | None:
    """Each location's shares of background, class 0, class 1, ...: float32 [B, 1 + classes, H / stride, W / stride].

    Pixels that are void, or in the padding, count for none of them: the shares sum to less than 1. None where some
    image has no semantic map.
    """
    if any(target.semantic_map is None for target in targets):
        return None
    maps = batch_maps(batch, targets)
    values = torch.arange(1 + classes, device=maps.device)[:, None, None]
    return F.avg_pool2d((maps[:, None] == values).float(), stride)


def dense_loss(logits: Tensor, labels: Tensor) -> Tensor:
    """Cross entropy of logits [B, 1 + classes, h, w] with labels of that shape, per location that is known."""
    return -(labels * logits.log_softmax(1)).sum() / labels.sum().clamp(min=1)
