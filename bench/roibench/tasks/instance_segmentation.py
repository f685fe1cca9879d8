"""Instance segmentation: a mask of each object, with its class."""

from collections.abc import Iterator
from dataclasses import replace

import torch

from roibench.draw.masks import draw_masks
from roibench.field_checks import check_tensor
from roibench.model import TrainableModel
from roibench.specs import MetricSpec
from roibench.structures import Target
from roibench.task import Field, Frame, Layer, Place, Scored, TargetField
from roibench.tasks.detection import DetectorContract
from roibench.tasks.doubts import nothing_found, share
from roibench.tasks.objects import (
    COCO_VALUES,
    LABELS,
    SCORES,
    TRUE_LABELS,
    ObjectTask,
    describe_objects,
    objects_of,
)

FEW = 0.05  # of the masks


def check_masks(value: object, frame: Frame) -> str | None:
    return check_tensor("masks", value, (torch.bool,), ("K", *frame.sides))


def doubt_masks(scored: Scored) -> Iterator[str]:
    filled = [one.masks.flatten(1).any(1) for one in scored.kept]
    empty = ~torch.cat(filled) if filled else torch.zeros(0, dtype=torch.bool)
    if not len(empty):
        yield nothing_found(scored)
    # A detection of low score may have no pixel that is likely enough; many are another matter.
    elif empty.double().mean() > FEW:
        yield f"{share(empty)} masks have no pixel"


MASKS = Field(
    "masks",
    check_masks,
    per_object=True,
    doubts=doubt_masks,
    layers=(Layer(draw_masks, Place.AREA),),
    describe=describe_objects,
)
TRUE_MASKS = TargetField("masks", check_masks, objects_of("masks"))


class InstanceSegmenterContract(DetectorContract):
    """What the instance segmentation task relies on, of a network that learns boxes, labels and masks."""

    @staticmethod
    def objects(*rows: tuple[float, float, float, float, int], ignored: bool = False) -> Target:
        """Boxes and their labels; a mask fills the left half of its box."""
        target = DetectorContract.objects(*rows, ignored=ignored)
        masks = torch.zeros(len(rows), 128, 128, dtype=torch.bool)
        for mask, (x1, y1, x2, y2) in zip(masks, target.boxes.int().tolist(), strict=True):
            mask[y1:y2, x1 : (x1 + x2) // 2] = True
        return replace(target, masks=masks)

    def test_an_image_alone_and_in_a_batch_gives_the_same_masks(self, eager: TrainableModel) -> None:
        inputs = self.noise((128, 128), (128, 128))
        alone, together = eager.predict(inputs[:1])[0], eager.predict(inputs)[0]
        best = slice(10)  # further down, scores of an untrained network are too close to keep their order
        differing = (alone.masks[best] != together.masks[best]).float()
        assert differing.numel() and differing.mean() < 1e-3


class InstanceSegmentation(ObjectTask):
    name = "instance_segmentation"
    target_fields = (TRUE_MASKS, TRUE_LABELS)
    prediction_fields = (MASKS, SCORES, LABELS)
    metrics = (MetricSpec("coco_mask_ap", name, "roibench.metrics.instance_segmentation:coco_mask_ap", COCO_VALUES),)
    contract = InstanceSegmenterContract
