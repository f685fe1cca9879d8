"""What estimators of a single pose share: an image goes in, the joints of the one person in it come out.

The person's box is the image: nothing crops it first. Images may be without a person, so that a joint has a score, and
the person the mean of its joints'.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

import torch
from torch import Tensor, nn

from roibench.dataset import Dataset, DatasetInfo
from roibench.model import TrainableModel, Trainer, stage
from roibench.nn.backbones import BackboneConfig, build_backbone
from roibench.nn.images import ImageBatch, batch_images
from roibench.plugins.localization.persons import person_of, with_persons
from roibench.structures import Input, Prediction, Target


@dataclass(frozen=True)
class PoseConfig(BackboneConfig):
    """Lengths are pixels.

    image_size: what the longer side is resized to.
    joint: whose score class_scores gives; -1 for the mean of all.
    searched_images: how many training images are looked through for persons.
    """

    image_size: int = 128
    joint: int = -1
    searched_images: int = 24_000


class Joints(NamedTuple):
    """One person per image.

    places: x, y in units of the square that the network sees [B, J, 2].
    scores: of each joint in [0, 1]; of the ground truth, bool, whether it is there, visible or occluded: [B, J].
    """

    places: Tensor
    scores: Tensor


class SinglePose(TrainableModel):
    """head: from the backbone's last maps; what it gives is `decode`d into joints, and learned by `errors`.

    feature_layer: of the head, what gives its last maps of locations.
    """

    stages = ("preprocess", "backbone", "head", "postprocess")
    head: nn.Module
    feature_layer: nn.Module

    def __init__(self, joints: int, classes: int, config: PoseConfig) -> None:
        super().__init__()
        if not -1 <= config.joint < joints:
            known = f"want -1, for all, or one of the dataset's {joints}: 0 to {joints - 1}"
            raise ValueError(f"joint {config.joint}: {known}")
        self.config = config
        self.classes = classes
        self.backbone = build_backbone(config)

    def fit(self, data: Dataset, trainer: Trainer) -> None:
        trainer.fit(self, with_persons(data, self.config.searched_images))

    @torch.inference_mode()
    def predict(self, inputs: Sequence[Input]) -> list[Prediction]:
        with stage("preprocess"):
            batch = self.batch(inputs)
        with stage("backbone"):
            maps = self.backbone(batch.pixels)[-1]
        with stage("head"):
            output = self.head(maps)
        with stage("postprocess"):
            return self._poses(self.decode(output), batch)

    def losses(self, inputs: Sequence[Input], targets: Sequence[Target]) -> dict[str, Tensor]:
        batch = self.batch(inputs)
        return self.errors(self.head(self.backbone(batch.pixels)[-1]), true_joints(batch, targets))

    def class_scores(self, batch: ImageBatch) -> Tensor:
        """[B, classes]: how much speaks for the joints, whichever class is asked about: a pose knows none."""
        scores = self.presence(self.head(self.backbone(batch.pixels)[-1]))
        joint = self.config.joint
        asked = scores.mean(1) if joint < 0 else scores[:, joint]
        return asked[:, None].expand(-1, self.classes)

    def presence(self, output: Tensor) -> Tensor:
        """What speaks for each joint [B, J], before any sigmoid."""
        raise NotImplementedError(f"{type(self).__name__} must implement presence(output)")

    def decode(self, output: Tensor) -> Joints:
        raise NotImplementedError(f"{type(self).__name__} must implement decode(output)")

    def errors(self, output: Tensor, true: Joints) -> dict[str, Tensor]:
        raise NotImplementedError(f"{type(self).__name__} must implement errors(output, true)")

    def batch(self, inputs: Sequence[Input]) -> ImageBatch:
        """Images of any sizes, resized to one and padded to squares."""
        size = self.config.image_size
        return batch_images(inputs, self.device, size, size, divisor=size)

    def _poses(self, joints: Joints, batch: ImageBatch) -> list[Prediction]:
        predictions = []
        for index, (places, scores) in enumerate(zip(*joints, strict=True)):
            pixels = batch.to_image(index, _as_boxes(places * self.config.image_size))[:, :2]
            keypoints = torch.cat([pixels, scores[:, None]], dim=1)
            predictions.append(Prediction(keypoints=keypoints[None].cpu(), scores=scores.mean()[None].cpu()))
        return predictions


def true_joints(batch: ImageBatch, targets: Sequence[Target]) -> Joints:
    """The joints of the person that is meant; those that aren't there are at 0, 0."""
    side = batch.pixels.shape[-1]
    persons = torch.stack([person_of(target) for target in targets]).to(batch.pixels.device)
    places = [batch.to_batch(index, _as_boxes(one[:, :2]))[:, :2] for index, one in enumerate(persons)]
    there = persons[..., 2] > 0
    return Joints(torch.stack(places) / side * there[..., None], there)


def _as_boxes(points: Tensor) -> Tensor:
    """[N, 2] -> boxes of no size [N, 4], for what takes boxes."""
    return points.repeat(1, 2)


def joints_of(info: DatasetInfo) -> int:
    """How many a person has. Raises ValueError for a dataset that names none."""
    if not info.joints:
        raise ValueError(f"dataset {info.name!r} has no joints: want one that names them, such as icons or lsp:PATH")
    return len(info.joints)
