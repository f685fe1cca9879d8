"""A residual network (He et al. 2015, arXiv 1512.03385) with global average pooling and one linear layer.

What comes after the last feature maps is linear, so that a class's score is the mean of a map of it: class activation
mapping (Zhou et al. 2016, arXiv 1512.04150) explains it exactly. Beside the residual network's maps there is each
class's share of a cell, by FCN's way up to the pixels: its mean is how much of the image a class takes. Images are
resized to one size; the aspect is kept, and the padding has no part in the mean.

The class of an image is all that it needs to learn from; where the data set has more, it also learns what each pixel
shows.
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
from roibench.nn.images import ImageBatch, batch_images
from roibench.nn.pixel_losses import pixel_losses
from roibench.nn.skip_decoder import SkipDecoder
from roibench.nn.truth import batch_maps
from roibench.structures import Input, Prediction, Target
from roibench.tasks import DatasetInfo

# A class's score for a whole image of it. With 80, FCN's areas on Scenes' training images have the least cross entropy.
AREA_SCALE = 80.0
# Of the image's cross entropy beside its pixels' losses. With 1, areas told fewer main objects than before training.
CLASS_WEIGHT = 0.1


@dataclass(frozen=True)
class Config:
    """Hyperparameters, with ResNet-18's values in brackets where small images want others. Lengths are pixels."""

    image_size: int = 128  # what the longer side is resized to [224]
    widths: tuple[int, ...] = (32, 48, 96, 128)  # stem, then one per stride 4, 8, 16 [64, then 64 to 512]
    blocks: tuple[int, ...] = (2, 2, 2)  # [2, 2, 2, 2]


class ResNetClassifier(TrainableModel):
    stages = ("preprocess", "backbone", "head")

    def __init__(self, classes: int, config: Config) -> None:
        super().__init__()
        self.config = config
        self.backbone = SmallResNet(config.widths, config.blocks)
        self.stride = self.backbone.strides[0]
        parts = 1 + classes  # what a pixel shows: background, the classes
        self.decoder = SkipDecoder(self.backbone.channels, self.backbone.strides, parts)
        self.last = nn.Identity()  # sees the last maps
        self.head = nn.Linear(config.widths[-1] + parts, classes)
        with torch.no_grad():  # it begins by naming what takes most of the image
            self.head.weight.zero_()[:, -classes:].fill_diagonal_(AREA_SCALE)

    @torch.inference_mode()
    def predict(self, inputs: Sequence[Input]) -> list[Prediction]:
        with stage("preprocess"):
            batch = self.batch(inputs)
        with stage("backbone"):
            maps = self.backbone(batch.pixels)
        with stage("head"):
            features, _ = self.features(maps)
            return class_predictions(self.logits(features, batch))

    def losses(self, inputs: Sequence[Input], targets: Sequence[Target]) -> dict[str, Tensor]:
        """Cross entropy of the image and, where there are labels for it, of its pixels."""
        batch = self.batch(inputs)
        features, parts = self.features(self.backbone(batch.pixels))
        wrong = F.cross_entropy(self.logits(features, batch), image_labels(targets, self.device))
        losses = {"class": CLASS_WEIGHT * wrong}
        if all(target.semantic_map is not None for target in targets):
            losses |= pixel_losses(parts, batch_maps(batch, targets))
        return losses

    def batch(self, inputs: Sequence[Input]) -> ImageBatch:
        """Images of any sizes, resized to one and padded to squares."""
        size = self.config.image_size
        return batch_images(inputs, self.device, size, size, divisor=size)

    @property
    def feature_layer(self) -> nn.Module:
        return self.last

    def class_scores(self, batch: ImageBatch) -> Tensor:
        features, _ = self.features(self.backbone(batch.pixels))
        return self.logits(features, batch)

    def features(self, maps: Sequence[Tensor]) -> tuple[Tensor, Tensor]:
        """The backbone's maps -> the last ones, float32 [B, D + 1 + classes, H / 4, W / 4], and what each pixel
        shows: logits [B, 1 + classes, H, W].
        """
        parts = self.decoder(maps).float()
        shares = F.avg_pool2d(parts.softmax(1), self.stride)
        coarse = F.interpolate(maps[-1].float(), shares.shape[2:])  # each cell repeated
        return self.last(torch.cat([coarse, shares], dim=1)), parts

    def logits(self, features: Tensor, batch: ImageBatch) -> Tensor:
        """float32 [B, classes], of the features' mean over what isn't padding."""
        inside = ~batch.padding(self.stride)[:, None]
        return self.head((features * inside).sum((2, 3)) / inside.sum((2, 3))).float()


def build(info: DatasetInfo, config: Mapping[str, Any]) -> ResNetClassifier:
    return ResNetClassifier(len(info.classes), Config(**config))
