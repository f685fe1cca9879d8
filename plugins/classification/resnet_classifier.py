"""A residual network (He et al. 2015, arXiv 1512.03385) with global average pooling and one linear layer.

What comes after the last feature maps is linear, so that a class's score is the mean of a map of it: class activation
mapping (Zhou et al. 2016, arXiv 1512.04150) explains it exactly. Beside the residual network's maps there is each
class's share of a location, by FCN's way up to the pixels. Both are weighted by attention (as in Ilse et al. 2018,
arXiv 1802.04712) before they are averaged: to what isn't background, and there to what is large rather than to many
small ones, which a plain mean could not tell apart. Images are resized to one size; the aspect is kept, and the padding
gets no attention.

The class of an image is all that it needs to learn from; where the dataset has more, it also learns what each pixel
shows.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from roibench.dataset import DatasetInfo
from roibench.model import TrainableModel, stage
from roibench.nn.backbones import SmallResNet
from roibench.nn.classification import class_predictions, image_labels
from roibench.nn.images import ImageBatch, batch_images
from roibench.nn.pixel_losses import pixel_losses
from roibench.nn.skip_decoder import SkipDecoder
from roibench.nn.targets import batch_maps
from roibench.structures import Input, Prediction, Target

# A class's score for an image that shows nothing else, before training.
SHARE_SCALE = 8.0
# Of the image's cross entropy beside its pixels' losses: small, or all objects but the main one fade.
CLASS_WEIGHT = 0.1
LEAST_SHARE = 1e-6  # of objects in a location, for attention: an image of nothing but background gets it evenly


@dataclass(frozen=True)
class Config:
    """Hyperparameters, with ResNet-18's values in brackets where small images want others. Lengths are pixels."""

    image_size: int = 128  # what the longer side is resized to [224]
    widths: tuple[int, ...] = (32, 48, 96, 128)  # stem, then one per stride 4, 8, 16 [64, then 64 to 512]
    blocks: tuple[int, ...] = (2, 2, 2)  # [2, 2, 2, 2]
    attention_width: int = 64


class ResNetClassifier(TrainableModel):
    stages = ("preprocess", "backbone", "head")

    def __init__(self, classes: int, config: Config) -> None:
        super().__init__()
        self.config = config
        self.backbone = SmallResNet(config.widths, config.blocks)
        self.stride = self.backbone.strides[0]
        parts = 1 + classes  # what a pixel shows: background, the classes
        self.decoder = SkipDecoder(self.backbone.channels, self.backbone.strides, parts)
        channels = config.widths[-1] + parts
        self.attention = nn.Sequential(
            nn.Conv2d(channels, config.attention_width, 3, padding=1),
            nn.ReLU(inplace=True),
            nn.Conv2d(config.attention_width, config.attention_width, 3, padding=1),
            nn.ReLU(inplace=True),
            nn.Conv2d(config.attention_width, 1, 1),
        )
        self.last = nn.Identity()  # the last maps pass here
        self.head = nn.Linear(channels, classes)
        nn.init.normal_(self.attention[-1].weight, std=0.01)  # it begins by attending to all objects nearly alike
        with torch.no_grad():  # and by predicting the class that takes most of their area
            self.head.weight.zero_()[:, -classes:].fill_diagonal_(SHARE_SCALE)

    @torch.inference_mode()
    def predict(self, inputs: Sequence[Input]) -> list[Prediction]:
        with stage("preprocess"):
            batch = self.batch(inputs)
        with stage("backbone"):
            maps = self.backbone(batch.pixels)
        with stage("head"):
            features, _ = self.features(maps, batch)
            return class_predictions(self.logits(features))

    def losses(self, inputs: Sequence[Input], targets: Sequence[Target]) -> dict[str, Tensor]:
        """Cross entropy of the image and, where there are labels for it, of its pixels."""
        batch = self.batch(inputs)
        features, parts = self.features(self.backbone(batch.pixels), batch)
        wrong = F.cross_entropy(self.logits(features), image_labels(targets, self.device))
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
        features, _ = self.features(self.backbone(batch.pixels), batch)
        return self.logits(features)

    def features(self, maps: Sequence[Tensor], batch: ImageBatch) -> tuple[Tensor, Tensor]:
        """The backbone's maps -> the last ones, float32 [B, D + 1 + classes, H / 4, W / 4], and what each pixel
        shows: logits [B, 1 + classes, H, W].
        """
        parts = self.decoder(maps).float()
        shares = F.avg_pool2d(parts.softmax(1), self.stride)
        coarse = maps[-1].float()
        seen = torch.cat([coarse, F.adaptive_avg_pool2d(shares, coarse.shape[2:])], dim=1)
        # [B, 1, h, w], [B, D, h, w] -> each location repeated
        attention, coarse = (F.interpolate(one, shares.shape[2:]) for one in (self.attention(seen).float(), coarse))
        attention = attention + (1 - shares[:, :1]).clamp(min=LEAST_SHARE).log()
        attention = attention.masked_fill(batch.padding(self.stride)[:, None], -torch.inf)
        locations = shares[0, 0].numel()
        weights = attention.flatten(1).softmax(1).view_as(attention) * locations  # their mean is 1
        return self.last(weights * torch.cat([coarse, shares], dim=1)), parts

    def logits(self, features: Tensor) -> Tensor:
        """float32 [B, classes], of the features' mean."""
        return self.head(features.mean((2, 3))).float()


def build(info: DatasetInfo, config: Mapping[str, Any]) -> ResNetClassifier:
    return ResNetClassifier(len(info.classes), Config(**config))
