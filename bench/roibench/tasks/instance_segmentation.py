"""Instance segmentation: a mask of each object, with its class."""

from collections.abc import Iterator

import torch

from roibench.draw.masks import draw_masks
from roibench.field_checks import check_tensor
from roibench.specs import MetricSpec
from roibench.task import Field, Frame, Layer, Place, Scored, TargetField
from roibench.tasks.doubts import nothing_found, share
from roibench.tasks.objects import (
    COCO_VALUES,
    LABELS,
    SCORES,
    TRUE_LABELS,
    ObjectTask,
    objects_of,
)


def check_masks(value: object, frame: Frame) -> str | None:
    return check_tensor("masks", value, (torch.bool,), ("K", *frame.sides))


def doubt_masks(scored: Scored) -> Iterator[str]:
    filled = [one.masks.flatten(1).any(1) for one in scored.kept]
    empty = ~torch.cat(filled) if filled else torch.zeros(0, dtype=torch.bool)
    if not len(empty):
        yield nothing_found(scored)
    elif empty.any():
        yield f"{share(empty)} masks have no pixel"


MASKS = Field("masks", check_masks, per_object=True, doubts=doubt_masks, layers=(Layer(draw_masks, Place.AREA),))
TRUE_MASKS = TargetField("masks", check_masks, objects_of("masks"))


class InstanceSegmentation(ObjectTask):
    name = "instance_segmentation"
    target_fields = (TRUE_MASKS, TRUE_LABELS)
    prediction_fields = (MASKS, SCORES, LABELS)
    metrics = (MetricSpec("coco_mask_ap", name, "roibench.metrics.instance_segmentation:coco_mask_ap", COCO_VALUES),)
