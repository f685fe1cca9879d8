"""A set of predictions against a set of objects (Carion et al. 2020, arXiv 2005.12872, section 3.1).

Boxes are centre x, centre y, width, height in units of the image.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from scipy.optimize import linear_sum_assignment
from torch import Tensor
from torchvision.ops import box_convert

from roibench import ops
from roibench.nn.targets import BoxTargets


@dataclass(frozen=True)
class SetCriterion:
    """What it costs to match a prediction with an object, and the losses of a whole set of them.

    The weights are the same in the matching and in the losses [the paper's: 1, 5, 2, with cross entropy]. Focal loss
    in place of cross entropy is Deformable DETR's (Zhu et al. 2021, arXiv 2010.04159).

    class_weight: of the class.
    l1_weight: of the boxes' L1 distance.
    giou_weight: of 1 - GIoU.
    focal_alpha: focal loss's weight of the positive class.
    focal_gamma: how fast its weight of what is easy falls.
    """

    class_weight: float = 2.0
    l1_weight: float = 5.0
    giou_weight: float = 2.0
    focal_alpha: float = 0.25
    focal_gamma: float = 2.0

    def losses(self, logits: Tensor, boxes: Tensor, targets: Sequence[BoxTargets]) -> dict[str, Tensor]:
        """Of logits [L, B, G, Q, C] and boxes [L, B, G, Q, 4]: L layers, B images, G groups of Q queries.

        Every layer and group is matched on its own. Per object: focal loss of every query, L1 and 1 - GIoU of those
        that are matched. Returns `class`, `l1` and `giou` of the last layer and, as `auxiliary`, the sum of the others.
        """
        indices, box_targets, label_targets = [], [], []
        for image, (true_boxes, true_labels, _) in enumerate(targets):
            cost = self.matching_cost(logits[:, image], boxes[:, image], true_labels, true_boxes)
            layer, group, query, object_ = assign(cost)
            indices.append(torch.stack([layer, torch.full_like(layer, image), group, query]))
            box_targets.append(true_boxes[object_])
            label_targets.append(true_labels[object_])
        matched, true_boxes, labels = tuple(torch.cat(indices, 1)), torch.cat(box_targets), torch.cat(label_targets)
        class_targets = torch.zeros_like(logits)
        class_targets[*matched, labels] = 1
        focal = ops.sigmoid_focal_loss(logits, class_targets, self.focal_alpha, self.focal_gamma)
        predicted = boxes[matched]
        giou = ops.box_iou(corners(predicted), corners(true_boxes), kind="giou", elementwise=True)
        zeros = logits.new_zeros(len(logits))
        count = max(1, len(labels)) / len(logits)  # objects, once per group
        by_layer = {
            "class": self.class_weight / count * focal.sum((1, 2, 3, 4)),
            "l1": self.l1_weight / count * zeros.index_add(0, matched[0], (predicted - true_boxes).abs().sum(1)),
            "giou": self.giou_weight / count * zeros.index_add(0, matched[0], 1 - giou),
        }
        last = {name: values[-1] for name, values in by_layer.items()}
        return last | {"auxiliary": sum(values[:-1].sum() for values in by_layer.values())}

    @torch.no_grad()
    def matching_cost(self, logits: Tensor, boxes: Tensor, labels: Tensor, true_boxes: Tensor) -> Tensor:
        """What it would cost to match a query with an object: [..., Q, N].

        logits: [..., Q, C]. boxes: [..., Q, 4]. labels: [N]. true_boxes: [N, 4]. The class costs what focal loss grows
        by when the query's target is the class rather than no object.
        """
        negative = ops.sigmoid_focal_loss(logits, torch.zeros_like(logits), self.focal_alpha, self.focal_gamma)
        positive = ops.sigmoid_focal_loss(logits, torch.ones_like(logits), self.focal_alpha, self.focal_gamma)
        giou = ops.box_iou(corners(boxes).flatten(0, -2), corners(true_boxes), kind="giou")
        return (
            self.class_weight * (positive - negative)[..., labels]
            + self.l1_weight * torch.cdist(boxes, true_boxes.expand(*boxes.shape[:-2], -1, -1), p=1)
            - self.giou_weight * giou.view(*boxes.shape[:-1], -1)
        )


def assign(cost: Tensor) -> Tensor:
    """The cheapest matching, one to one, of each table of costs [L, G, Q, N].

    Returns int64 [4, K]: layer, group, query, object.
    """
    tables = cost.nan_to_num(1e6).cpu().numpy()  # of a network that has diverged, the loss is to tell
    matches = [
        (layer, group, query, object_)
        for layer, groups in enumerate(tables)
        for group, table in enumerate(groups)
        for query, object_ in zip(*linear_sum_assignment(table), strict=True)
    ]
    return torch.tensor(matches, dtype=torch.int64, device=cost.device).reshape(-1, 4).T


def corners(boxes: Tensor) -> Tensor:
    """[..., 4] -> xyxy."""
    return box_convert(boxes, "cxcywh", "xyxy")


def from_pixels(boxes: Tensor, size: tuple[int, int]) -> Tensor:
    """xyxy boxes [N, 4] in an image of (height, width) pixels -> centre x, centre y, width, height in units of it."""
    return box_convert(boxes, "xyxy", "cxcywh") / _extent(boxes, size)


def to_pixels(boxes: Tensor, size: tuple[int, int]) -> Tensor:
    """The inverse of from_pixels."""
    return corners(boxes) * _extent(boxes, size)


def _extent(boxes: Tensor, size: tuple[int, int]) -> Tensor:
    height, width = size
    return boxes.new_tensor((width, height, width, height))
