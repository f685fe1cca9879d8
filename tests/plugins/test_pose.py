"""Estimators of a single pose through the doors that everybody uses; what they learn, and how joints are found."""

from dataclasses import replace

import torch

from roibench.contract import NetworkContract
from roibench.datasets.scenes.shapes import JOINTS
from roibench.structures import Target


class PoseContract(NetworkContract):
    info = replace(NetworkContract.info, joints=JOINTS)

    def targets(self):
        generator = torch.Generator().manual_seed(0)
        joints = torch.cat([torch.rand(2, 14, 2, generator=generator) * 128, torch.full((2, 14, 1), 2.0)], 2)
        boxes = torch.cat([joints[..., :2].amin(1), joints[..., :2].amax(1)], 1)
        return [Target(boxes=boxes[i : i + 1], keypoints=joints[i : i + 1]) for i in range(2)]

    def empty_targets(self):
        nobody = Target(boxes=torch.zeros(0, 4), keypoints=torch.zeros(0, 14, 3))
        thing = Target(boxes=torch.tensor([[3.0, 4.0, 40.0, 50.0]]), keypoints=torch.zeros(1, 14, 3))
        return [nobody, thing]


class TestPose(PoseContract):
    model = "pose"


class TestPoseL1(PoseContract):
    model = "pose_l1"


class TestPoseHeatmaps(PoseContract):
    model = "pose_heatmaps"
