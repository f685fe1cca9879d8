"""A classifier slid over the image: each pixel's class from the patch around it, on its own (Ciresan et al. 2012).

Neighbouring patches share nearly all of their pixels, and nothing of what is computed of them. The same weights can be
run convolutionally: over the whole image at once, with pooling at every pixel instead of every second one, and the
layers after it dilated by as much ("shared", 1). That is the same function of each patch, which is why fully
convolutional networks exist; what they leave out beside is the dilation.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from roibench import ops
from roibench.dataset import DatasetInfo
from roibench.model import stage
from roibench.nn.targets import batch_maps
from roibench.plugins.segmentation.segmenter import PixelClassifier, PixelConfig, check_classes
from roibench.structures import VOID, Input, Target


@dataclass(frozen=True)
class Config(PixelConfig):
    """widths: channels of the convolutions of 5x5, 3x3 and 3x3, then of the one that sees the rest of the patch.

    stride: every so many pixels one is classified, and those around it are given its class.
    shared: 1 runs the network convolutionally.
    patches: at a time.
    learned_patches: per image in training, half of them around objects.
    """

    widths: tuple[int, int, int, int] = (24, 48, 64, 96)
    stride: int = 4
    shared: int = 0
    patches: int = 512
    learned_patches: int = 64


class PatchNetwork(nn.Module):
    """Scores a patch of `side` pixels, by valid convolutions and two poolings."""

    side = 36

    def __init__(self, widths: Sequence[int], classes: int) -> None:
        super().__init__()
        self.layers = nn.Sequential(
            *_normalised(3, widths[0], 5),
            nn.MaxPool2d(2),
            *_normalised(widths[0], widths[1], 3),
            nn.MaxPool2d(2),
            *_normalised(widths[1], widths[2], 3),
            *_normalised(widths[2], widths[3], 5),
            nn.Conv2d(widths[3], classes, 1),
        )

    def forward(self, patches: Tensor) -> Tensor:
        """[K, 3, side, side] -> [K, classes]."""
        return self.layers(patches).flatten(1)

    def everywhere(self, pixels: Tensor) -> Tensor:
        """[B, 3, H + side - 1, W + side - 1] -> [B, classes, H, W]: of every patch, all at once."""
        x, dilation = pixels, 1
        for layer in self.layers:
            if isinstance(layer, nn.MaxPool2d):
                x = F.max_pool2d(x, 2, stride=1, dilation=dilation)
                dilation *= 2
            elif isinstance(layer, nn.Conv2d):
                x = F.conv2d(x, layer.weight, layer.bias, dilation=dilation)
            else:
                x = layer(x)
        return x


class SlidingWindowSegmenter(PixelClassifier):
    config: Config

    def __init__(self, classes: int, config: Config) -> None:
        super().__init__(config)
        self.network = PatchNetwork(config.widths, 1 + classes)

    def scores(self, pixels: Tensor) -> Tensor:
        with stage("network"):
            config, size = self.config, pixels.shape[2:]
            classify = self._everywhere if config.shared else self._one_by_one
            coarse = classify(self._padded(pixels, config.stride // 2))
            return ops.nearest_unpool(coarse, config.stride)[..., : size[0], : size[1]]

    def losses(self, inputs: Sequence[Input], targets: Sequence[Target]) -> dict[str, Tensor]:
        """Cross entropy of some patches of each image."""
        batch = self.batch(inputs)
        maps = batch_maps(batch, targets)
        image, row, column = _draw(maps, self.config.learned_patches)
        patches = self._patches(self._padded(batch.pixels, 0), 1)[image, row, column]
        labels = maps[image, row, column]
        errors = F.cross_entropy(self.network(patches).float(), labels, ignore_index=VOID, reduction="sum")
        return {"class": errors / (labels != VOID).sum().clamp(min=1)}

    def _one_by_one(self, padded: Tensor) -> Tensor:
        patches = self._patches(padded, self.config.stride)
        batch, rows, columns = patches.shape[:3]
        index = torch.arange(batch * rows * columns, device=padded.device)
        found = [
            self.network(patches[one // (rows * columns), one // columns % rows, one % columns])
            for one in index.split(self.config.patches)
        ]
        return torch.cat(found).unflatten(0, (batch, rows, columns)).permute(0, 3, 1, 2)

    def _everywhere(self, padded: Tensor) -> Tensor:
        stride = self.config.stride
        return self.network.everywhere(padded)[..., ::stride, ::stride]

    def _padded(self, pixels: Tensor, shift: int) -> Tensor:
        """With zeros, so that there is a patch around every pixel (which lies left above its middle), `shift` pixels to
        the right and down: of the first pixels that share a class the middle one is classified.
        """
        before = (PatchNetwork.side - 1) // 2 - shift
        after = PatchNetwork.side - 1 - before
        return F.pad(pixels, (before, after, before, after))

    @staticmethod
    def _patches(padded: Tensor, stride: int) -> Tensor:
        """A view [B, rows, columns, 3, side, side]."""
        side = PatchNetwork.side
        return padded.unfold(2, side, stride).unfold(3, side, stride).permute(0, 2, 3, 1, 4, 5)


def _draw(maps: Tensor, count: int) -> tuple[Tensor, Tensor, Tensor]:
    """Pixels of maps [B, H, W], `count` of each: half of them on objects, where there are any."""
    flat = maps.flatten(1)
    known = (flat != VOID).float()
    objects = known * (flat != 0)
    parts = []
    for weights in (known, objects):
        usable = torch.where(weights.any(1, keepdim=True), weights, torch.where(known.any(1, keepdim=True), known, 1.0))
        parts.append(usable.multinomial(count // 2, replacement=True))
    place = torch.cat(parts, 1).flatten()
    image = torch.arange(len(maps), device=maps.device).repeat_interleave(2 * (count // 2))
    return image, place // maps.shape[2], place % maps.shape[2]


def _normalised(before: int, channels: int, side: int) -> tuple[nn.Module, ...]:
    conv = nn.Conv2d(before, channels, side, bias=False)
    nn.init.kaiming_normal_(conv.weight, mode="fan_out", nonlinearity="relu")
    return conv, nn.BatchNorm2d(channels), nn.ReLU()


def build(info: DatasetInfo, config: Mapping[str, Any]) -> SlidingWindowSegmenter:
    return SlidingWindowSegmenter(check_classes(info), Config(**config))
