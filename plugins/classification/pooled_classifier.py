"""A backbone, global average pooling and one linear layer, as residual networks end (He et al. 2015, arXiv 1512.03385).

All that follows the last maps is linear, so that a class's score is the mean of a map of it: class activation mapping
(Zhou et al. 2016, arXiv 1512.04150) explains it exactly. Images are resized to one size; the aspect is kept, and
padding doesn't count in the mean.

It learns from nothing but the class of an image. What that taught its backbone is where other models begin.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from roibench.dataset import DatasetInfo
from roibench.model import TrainableModel, stage
from roibench.nn.backbones import BackboneConfig, build_backbone
from roibench.nn.classification import class_predictions, image_labels
from roibench.nn.images import ImageBatch, batch_images
from roibench.structures import Input, Prediction, Target


@dataclass(frozen=True)
class Config(BackboneConfig):
    """image_size: what the longer side is resized to, in pixels."""

    image_size: int = 128


class PooledClassifier(TrainableModel):
    stages = ("preprocess", "backbone", "head")
    networks = ("weighted_maps", "logits")

    def __init__(self, classes: int, config: Config) -> None:
        super().__init__()
        self.config = config
        self.backbone = build_backbone(config)
        self.stride = self.backbone.strides[-1]
        self.last = nn.Identity()  # the last maps pass here
        self.head = nn.Linear(self.backbone.channels[-1], classes)

    @torch.inference_mode()
    def predict(self, inputs: Sequence[Input]) -> list[Prediction]:
        with stage("preprocess"):
            batch = self.batch(inputs)
        with stage("backbone"):
            features = self.features(batch)
        with stage("head"):
            return class_predictions(self.logits(features))

    def losses(self, inputs: Sequence[Input], targets: Sequence[Target]) -> dict[str, Tensor]:
        return {"class": F.cross_entropy(self.class_scores(self.batch(inputs)), image_labels(targets, self.device))}

    def batch(self, inputs: Sequence[Input]) -> ImageBatch:
        """Images of any sizes, resized to one and padded to squares."""
        size = self.config.image_size
        return batch_images(inputs, self.device, size, size, divisor=size)

    @property
    def feature_layer(self) -> nn.Module:
        return self.last

    def class_scores(self, batch: ImageBatch) -> Tensor:
        return self.logits(self.features(batch))

    def features(self, batch: ImageBatch) -> Tensor:
        return self.weighted_maps(batch.pixels, batch.padding(self.stride))

    def weighted_maps(self, pixels: Tensor, padding: Tensor) -> Tensor:
        """Normalised pixels [B, 3, H, W], and which locations are padding, bool [B, H / stride, W / stride] -> the last
        maps [B, D, H / stride, W / stride], 0 in the padding, and larger for it: their mean is the image's own.
        """
        maps = self.backbone(pixels)[-1]
        inside = (~padding)[:, None].to(maps.dtype)
        return self.last(maps * (inside / inside.mean((2, 3), keepdim=True)))

    def logits(self, features: Tensor) -> Tensor:
        """float32 [B, classes], of the features' mean."""
        return self.head(features.mean((2, 3))).float()


def build(info: DatasetInfo, config: Mapping[str, Any]) -> PooledClassifier:
    return PooledClassifier(len(info.classes), Config(**config))
