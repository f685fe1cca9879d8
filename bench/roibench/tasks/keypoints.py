"""Keypoints: the joints of each object."""

from collections.abc import Iterator, Mapping
from dataclasses import replace
from typing import Any

import torch

from roibench.assemble import build_model
from roibench.contract import NetworkContract
from roibench.draw.keypoints import draw_keypoints
from roibench.field_checks import FLOATS, check_finite, check_tensor
from roibench.model import TrainableModel
from roibench.specs import MetricSpec, ModelSpec, Value
from roibench.structures import Target
from roibench.task import Field, Frame, Layer, Scored, TargetField
from roibench.tasks.doubts import nothing_found
from roibench.tasks.objects import SCORES, TRUE_BOXES, ObjectTask, counted, describe_objects


def check_keypoints(value: object, frame: Frame) -> str | None:
    shape = ("K", frame.joints or "J", 3)
    return check_tensor("keypoints", value, FLOATS, shape) or check_finite("keypoints", value)


def doubt_keypoints(scored: Scored) -> Iterator[str]:
    points = [one.keypoints[..., :2].flatten().double() for one in scored.kept]
    values = torch.cat(points) if points else torch.zeros(0)
    if not len(values):
        yield nothing_found(scored)
    elif values.min() >= 0 and values.max() <= 1 and any(max(frame.size or (0,)) > 2 for frame in scored.frames):
        yield f"all {len(values) // 2:,} keypoints lie within [0, 1]: divided by the image's size? want pixels"


def has_joints(target: Target) -> bool:
    """An object that counts, with a joint that is there."""
    visible = (target.keypoints[:, :, 2] > 0).any(dim=1)
    return bool((counted(target, len(visible)) & visible).any())


def _how_many(found: Mapping[str, Any]) -> str | None:
    """Where there are boxes, these are counted."""
    objects = found["objects"]
    return None if any("box" in one for one in objects) else f"joints of {len(objects)}"


KEYPOINTS = Field(
    "keypoints",
    check_keypoints,
    per_object=True,
    doubts=doubt_keypoints,
    layers=(Layer(draw_keypoints),),
    describe=describe_objects,
    in_words=_how_many,
)


class KeypointContract(NetworkContract):
    """What the keypoints task relies on, of a network that learns joints."""

    info = replace(NetworkContract.info, joints=("head", "left hand", "right hand"))

    def test_there_is_a_place_for_each_joint_of_the_dataset(self, eager: TrainableModel) -> None:
        [found] = eager.predict(self.noise((128, 128)))
        assert len(found.keypoints) and found.keypoints.shape[1:] == (len(self.info.joints), 3)
        assert ((found.keypoints[..., 2] >= 0) & (found.keypoints[..., 2] <= 1)).all()

    def test_one_joint_is_enough(self, spec: ModelSpec) -> None:
        model = build_model(spec, replace(self.info, joints=("head",)), self.overrides)
        [found] = model.eval().predict(self.noise((128, 128)))
        assert found.keypoints.shape[1:] == (1, 3)


class Keypoints(ObjectTask):
    name = "keypoints"
    target_fields = (TargetField("keypoints", check_keypoints, has_joints), TRUE_BOXES)
    prediction_fields = (KEYPOINTS, SCORES)
    metrics = (
        MetricSpec(
            "oks_ap",
            name,
            "roibench.metrics.keypoints:oks_ap",
            (
                Value("AP", ranks=True),
                Value("AP50", shown=True),
                Value("AP75", shown=True),
                *map(Value, ("AR", "AR50", "AR75", "APmedium", "ARmedium", "APlarge", "ARlarge")),
                Value("PCK", shown=True),
            ),
        ),
    )
    contract = KeypointContract
