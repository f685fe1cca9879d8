"""A residual network (He et al. 2015, arXiv 1512.03385) with global average pooling and one linear layer.

What comes after the last feature maps is linear, so that a class's score is the mean of a map of it: class activation
mapping (Zhou et al. 2016, arXiv 1512.04150) explains it exactly. Beside the residual network's maps there are
probabilities of what each cell shows, whose mean is how much of the image a class takes. Images are resized to one
size; the aspect is kept, and the padding has no part in the mean.

The class of an image is all that it needs to learn from; where the data set has more, it learns from few images by
naming objects that are cut out, and what each cell shows.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from roibench.model import TrainableModel, stage
from roibench.nn.backbones import SmallResNet
from roibench.nn.classification import class_predictions, image_labels
from roibench.nn.dense_labels import dense_labels, dense_loss
from roibench.nn.images import ImageBatch, batch_images
from roibench.nn.object_crops import object_crops, unrecorded_statistics
from roibench.structures import Input, Prediction, Target
from roibench.tasks import DatasetInfo


@dataclass(frozen=True)
class Config:
    """Hyperparameters, with ResNet-18's values in brackets where small images want others. Lengths are pixels."""

    image_size: int = 128  # what the longer side is resized to [224]
    widths: tuple[int, ...] = (32, 48, 96, 128)  # stem, then one per stride 4, 8, 16 [64, then 64 to 512]
    blocks: tuple[int, ...] = (2, 2, 2)  # [2, 2, 2, 2]
    crops: int = 3  # objects that are cut out of each image, at most
    crop_size: int = 48


class ResNetClassifier(TrainableModel):
    stages = ("preprocess", "backbone", "head")

    def __init__(self, classes: int, config: Config) -> None:
        super().__init__()
        self.config = config
        self.backbone = SmallResNet(config.widths, config.blocks)
        self.stride = self.backbone.strides[-1]
        self.parts = nn.Conv2d(config.widths[-1], 1 + classes, 1)  # what a cell shows: background, the classes
        self.last = nn.Identity()  # sees the last maps
        self.head = nn.Linear(config.widths[-1] + 1 + classes, classes)
        with torch.no_grad():  # it begins by naming what takes most of the image
            self.head.weight.zero_()[:, -classes:].fill_diagonal_(10.0)

    @torch.inference_mode()
    def predict(self, inputs: Sequence[Input]) -> list[Prediction]:
        with stage("preprocess"):
            batch = self.batch(inputs)
        with stage("backbone"):
            features, _ = self.features(batch.pixels)
        with stage("head"):
            return class_predictions(self.logits(features, batch))

    def losses(self, inputs: Sequence[Input], targets: Sequence[Target]) -> dict[str, Tensor]:
        """Cross entropy of the image and, as far as there are labels for it, of its cells and its objects."""
        batch = self.batch(inputs)
        features, parts = self.features(batch.pixels)
        losses = {"class": F.cross_entropy(self.logits(features, batch), image_labels(targets, self.device))}
        cells = dense_labels(batch, targets, self.head.out_features, self.stride)
        if cells is not None:
            losses["cells"] = dense_loss(parts, cells)
        crops, labels = object_crops(batch, targets, self.config.crop_size, self.config.crops)
        if crops is not None:
            with unrecorded_statistics(self.backbone):
                features, _ = self.features(crops)
            losses["objects"] = F.cross_entropy(self.head(features.mean((2, 3))).float(), labels)
        return losses

    def batch(self, inputs: Sequence[Input]) -> ImageBatch:
        """Images of any sizes, resized to one and padded to squares."""
        size = self.config.image_size
        return batch_images(inputs, self.device, size, size, divisor=size)

    @property
    def feature_layer(self) -> nn.Module:
        return self.last

    def class_scores(self, batch: ImageBatch) -> Tensor:
        features, _ = self.features(batch.pixels)
        return self.logits(features, batch)

    def features(self, pixels: Tensor) -> tuple[Tensor, Tensor]:
        """[B, 3, H, W] -> the last maps, float32 [B, D + 1 + classes, h, w], and the logits of the parts in them."""
        features = self.backbone(pixels)[-1]
        parts = self.parts(features).float()
        return self.last(torch.cat([features.float(), parts.softmax(1)], dim=1)), parts

    def logits(self, features: Tensor, batch: ImageBatch) -> Tensor:
        """float32 [B, classes], of the features' mean over what isn't padding."""
        inside = ~batch.padding(self.stride)[:, None]
        return self.head((features * inside).sum((2, 3)) / inside.sum((2, 3))).float()


def build(info: DatasetInfo, config: Mapping[str, Any]) -> ResNetClassifier:
    return ResNetClassifier(len(info.classes), Config(**config))
