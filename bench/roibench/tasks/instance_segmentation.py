"""Instance segmentation: a mask of each object, with its class."""

from collections.abc import Iterator

import torch

from roibench.draw.masks import draw_masks
from roibench.field_checks import check_tensor
from roibench.specs import MetricSpec
from roibench.structures import Prediction, Target
from roibench.task import Field, Frame, Layer, Place, Scored, TargetField, Task
from roibench.tasks.doubts import nothing_found, share
from roibench.tasks.objects import (
    COCO_VALUES,
    LABELS,
    MAX_DETECTIONS,
    SCORE_THRESHOLD,
    SCORES,
    TRUE_LABELS,
    objects_of,
    true_objects,
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


class InstanceSegmentation(Task):
    name = "instance_segmentation"
    target_fields = (TRUE_MASKS, TRUE_LABELS)
    prediction_fields = (MASKS, SCORES, LABELS)
    score_threshold = SCORE_THRESHOLD
    max_detections = MAX_DETECTIONS
    metrics = (MetricSpec("coco_mask_ap", name, "roibench.metrics.instance_segmentation:coco_mask_ap", COCO_VALUES),)

    def ground_truth(self, target: Target) -> Prediction:
        return true_objects(self.prediction_fields, target)
