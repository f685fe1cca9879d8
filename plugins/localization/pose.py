"""The joints of a person by regression: DeepPose's first stage (Toshev and Szegedy 2014, arXiv 1312.4659).

All coordinates are read off the last maps at once, by L2 as in the paper, or by L1.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

import torch.nn.functional as F
from torch import Tensor, nn

from roibench.dataset import DatasetInfo
from roibench.nn.regression import MapRegressor
from roibench.plugins.localization.single_pose import Joints, PoseConfig, SinglePose, joints_of

JointLoss = Literal["l2", "l1"]


@dataclass(frozen=True)
class Config(PoseConfig):
    """reduced: channels of the last maps that the joints are read off.

    hidden: width of the layer between them and the joints.
    joint_loss: of the coordinates.
    joint_weight: of that loss, where the one of the joints' presence has 1.
    """

    reduced: int = 32
    hidden: int = 256
    joint_loss: JointLoss = "l2"
    joint_weight: float = 100.0


class Pose(SinglePose):
    """The head gives three numbers per joint: x and y, and whether it is there."""

    def __init__(self, joints: int, classes: int, config: Config) -> None:
        super().__init__(joints, classes, config)
        if config.joint_loss not in JointLoss.__args__:
            raise ValueError(f"joint_loss {config.joint_loss!r}: want {' or '.join(JointLoss.__args__)}")
        side = config.image_size // self.backbone.strides[-1]
        self.head = MapRegressor(self.backbone.channels[-1], side, config.reduced, config.hidden, 3 * joints)

    @property
    def feature_layer(self) -> nn.Module:
        return self.head[2]

    def presence(self, output: Tensor) -> Tensor:
        return output.unflatten(1, (-1, 3))[..., 2]

    def decode(self, output: Tensor) -> Joints:
        places = output.unflatten(1, (-1, 3))[..., :2]
        return Joints(places.sigmoid(), self.presence(output).sigmoid())

    def errors(self, output: Tensor, true: Joints) -> dict[str, Tensor]:
        """Per joint that is there, squares or absolute values of what x and y are off; per joint, its presence."""
        error = F.mse_loss if self.config.joint_loss == "l2" else F.l1_loss
        distance = error(self.decode(output).places[true.scores], true.places[true.scores], reduction="sum")
        presence = self.presence(output)
        return {
            "joints": self.config.joint_weight * distance / true.scores.sum().clamp(min=1),
            "presence": F.binary_cross_entropy_with_logits(presence, true.scores.to(presence.dtype)),
        }


def build(info: DatasetInfo, config: Mapping[str, Any]) -> Pose:
    return Pose(joints_of(info), len(info.classes), Config(**config))
