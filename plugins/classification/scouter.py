"""SCOUTER (Li et al. 2021, arXiv 2009.06138): a classifier whose scores are sums over what it attends to.

Each class has a slot, which asks the last maps where the class is. Attention is a sigmoid at every location, not a
softmax over them, so that a slot may attend to much, or to nothing at all. What it gathers is summed up: that is the
class's score, or, for a negative explanation, its opposite: there a slot attends to what rules the class out. A loss on
the area of attention keeps explanations small.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from roibench.dataset import DatasetInfo
from roibench.model import TrainableModel, stage
from roibench.nn.backbones import BackboneConfig, build_backbone
from roibench.nn.classification import class_predictions, image_labels
from roibench.nn.images import ImageBatch, batch_images
from roibench.nn.transformer import sine_embedding
from roibench.structures import Input, Prediction, Target


@dataclass(frozen=True)
class Config(BackboneConfig):
    """Hyperparameters, with the paper's values in brackets where small images want others.

    image_size: what the longer side is resized to, in pixels.
    dim: of slots and of what they look at.
    iterations: how often slots ask.
    positive: attention speaks for a class, else against it.
    area_weight: lambda, of the area's loss.
    area_power: what the mean attention is raised to.
    """

    image_size: int = 128  # [260]
    dim: int = 64
    iterations: int = 3
    positive: bool = True
    area_weight: float = 1.0  # [1 to 10]
    area_power: float = 2.0


class Attended(NamedTuple):
    """attention: of each class's slot to each location, in (0, 1), [B, C, h * w]. scores: [B, C]."""

    attention: Tensor
    scores: Tensor


class SlotAttention(nn.Module):
    """Slots that are updated, again and again, by what they attend to (section 3.1)."""

    def __init__(self, slots: int, dim: int, iterations: int) -> None:
        super().__init__()
        self.iterations = iterations
        self.slots = nn.Parameter(torch.randn(slots, dim) * dim**-0.5)
        self.query, self.key = nn.Linear(dim, dim), nn.Linear(dim, dim)
        self.update = nn.GRUCell(dim, dim)

    def forward(self, values: Tensor, positions: Tensor) -> tuple[Tensor, Tensor]:
        """values [B, N, dim], positions [N, dim] -> attention [B, C, N], and what was gathered [B, C, dim].

        Keys know where they are; values, of which scores are made, don't.
        """
        keys = self.key(values + positions)
        slots = self.slots.expand(len(values), -1, -1)
        for iteration in range(self.iterations):
            products = self.query(slots) @ keys.transpose(1, 2) * keys.shape[-1] ** -0.5
            attention = products.sigmoid()
            gathered = attention @ values / values.shape[1]
            if iteration < self.iterations - 1:
                slots = self.update(gathered.flatten(0, 1), slots.flatten(0, 1)).view_as(slots)
        return attention, gathered


class Scouter(TrainableModel):
    stages = ("preprocess", "backbone", "slots")

    def __init__(self, classes: int, config: Config) -> None:
        super().__init__()
        self.config = config
        self.backbone = build_backbone(config)
        self.stride = self.backbone.strides[-1]
        self.reduce = nn.Conv2d(self.backbone.channels[-1], config.dim, 1)
        self.attend = SlotAttention(classes, config.dim, config.iterations)
        self.gain = nn.Parameter(torch.tensor(1.0))  # of the sums, which begin small

    @torch.inference_mode()
    def predict(self, inputs: Sequence[Input]) -> list[Prediction]:
        with stage("preprocess"):
            batch = self.batch(inputs)
        with stage("backbone"):
            values = self._values(batch)
        with stage("slots"):
            return class_predictions(self._attend(values, batch).scores)

    def losses(self, inputs: Sequence[Input], targets: Sequence[Target]) -> dict[str, Tensor]:
        """Equation 9: cross entropy, and lambda times a power of the mean attention."""
        batch = self.batch(inputs)
        found = self._attend(self._values(batch), batch)
        area = found.attention.float().mean() ** self.config.area_power
        return {
            "class": F.cross_entropy(found.scores, image_labels(targets, self.device)),
            "area": self.config.area_weight * area,
        }

    def batch(self, inputs: Sequence[Input]) -> ImageBatch:
        """Images of any sizes, resized to one and padded to squares."""
        size = self.config.image_size
        return batch_images(inputs, self.device, size, size, divisor=size)

    def class_scores(self, batch: ImageBatch) -> Tensor:
        return self._attend(self._values(batch), batch).scores

    def class_maps(self, batch: ImageBatch) -> Tensor:
        """What each class's slot attends to, [B, C, h, w]."""
        values = self._values(batch)
        return self._attend(values, batch).attention.unflatten(2, values.shape[2:])

    def _values(self, batch: ImageBatch) -> Tensor:
        """[B, dim, h, w], 0 in the padding: nothing is gathered there."""
        maps = self.reduce(self.backbone(batch.pixels)[-1]).relu()
        return maps * (~batch.padding(self.stride))[:, None]

    def _attend(self, values: Tensor, batch: ImageBatch) -> Attended:
        height, width = values.shape[2:]
        rows, columns = ((torch.arange(side, device=values.device) + 0.5) / side for side in (height, width))
        y, x = torch.meshgrid(rows, columns, indexing="ij")
        positions = sine_embedding(torch.stack([y, x], -1).flatten(0, 1), self.config.dim // 2)
        attention, gathered = self.attend(values.flatten(2).transpose(1, 2), positions.to(values.dtype))
        inside = ~batch.padding(self.stride).flatten(1)[:, None]
        sign = 1 if self.config.positive else -1
        return Attended(attention * inside, sign * (self.gain.exp() * gathered.float().sum(2)))


def build(info: DatasetInfo, config: Mapping[str, Any]) -> Scouter:
    return Scouter(len(info.classes), Config(**config))
