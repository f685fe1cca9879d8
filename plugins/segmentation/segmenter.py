"""What networks that classify every pixel share: images in, maps of the images' own sizes out, and the loss."""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from roibench.dataset import DatasetInfo
from roibench.model import TrainableModel, listening, stage
from roibench.nn.backbones import Backbone, BackboneConfig, build_backbone
from roibench.nn.images import ImageBatch, batch_images
from roibench.nn.pixel_losses import pixel_losses
from roibench.nn.targets import batch_maps
from roibench.structures import VOID, Input, Prediction, Target


@dataclass(frozen=True)
class PixelConfig:
    """Lengths are pixels.

    short_side: images are resized to it; None leaves them as they are.
    long_side: what the longer side may be at most.
    """

    short_side: int | None = None
    long_side: int = 1333


@dataclass(frozen=True)
class SegmenterConfig(PixelConfig, BackboneConfig):
    """Hyperparameters, with the paper's values in brackets where small images want others."""

    strides: tuple[int, ...] = (4, 8, 16)  # of the maps that are used [FCN-8s: 8, 16, 32; U-Net: 1 to 16]


class PixelClassifier(TrainableModel):
    """What gives class scores for every pixel. divisor: the batch's height and width are multiples of it."""

    stages = ("preprocess", "network", "postprocess")
    divisor = 1

    def __init__(self, config: PixelConfig) -> None:
        super().__init__()
        self.config = config

    def scores(self, pixels: Tensor) -> Tensor:
        """Normalised [B, 3, H, W] -> [B, 1 + classes, H, W], background first. Marks the stages in between."""
        raise NotImplementedError

    @torch.inference_mode()
    def predict(self, inputs: Sequence[Input]) -> list[Prediction]:
        with stage("preprocess"):
            batch = self.batch(inputs)
        scores = self.scores(batch.pixels)
        with stage("postprocess"):
            return [Prediction(semantic_map=self._map(one, batch, index)) for index, one in enumerate(scores)]

    def losses(self, inputs: Sequence[Input], targets: Sequence[Target]) -> dict[str, Tensor]:
        batch = self.batch(inputs)
        return pixel_losses(self.scores(batch.pixels), batch_maps(batch, targets))

    def batch(self, inputs: Sequence[Input]) -> ImageBatch:
        return batch_images(inputs, self.device, self.config.short_side, self.config.long_side, self.divisor)

    @staticmethod
    def _map(scores: Tensor, batch: ImageBatch, index: int) -> Tensor:
        """Scores [C, H, W] of the padded image -> its best classes, uint8, in the size of the image as given."""
        height, width = batch.sizes[index]
        scores, size = scores[:, :height, :width], batch.originals[index]
        best = scores.argmax(0).to(torch.uint8) if size == (height, width) else enlarged_argmax(scores, size)
        return best.cpu()


class Segmenter(PixelClassifier):
    """A backbone whose maps a decoder turns into class scores [B, 1 + classes, H, W], background first.

    A subclass brings the decoder, whose `last` gives the last maps before the image's own size or, at that size, before
    the scores.
    """

    stages = ("preprocess", "backbone", "decoder", "postprocess")
    networks = ("scores",)
    config: SegmenterConfig

    def __init__(self, config: SegmenterConfig, backbone: Backbone | None = None) -> None:
        super().__init__(config)
        self.divisor = config.strides[-1]
        self.backbone = backbone or build_backbone(config)
        self.decoder: nn.Module

    def initialize(self) -> None:
        self.backbone.load_pretrained()

    def decode(self, pixels: Tensor, maps: Sequence[Tensor]) -> Tensor:
        """The backbone's maps, finest first, -> class scores. A decoder that needs the pixels, too, overrides this."""
        return self.decoder(maps)

    def scores(self, pixels: Tensor) -> Tensor:
        with stage("backbone"):
            features = self.backbone(pixels)
        with stage("decoder"):
            return self.decode(pixels, features)

    @property
    def feature_layer(self) -> nn.Module:
        return self.decoder.last

    def class_scores(self, batch: ImageBatch) -> Tensor:
        """[B, classes]: a class's mean score over the pixels that are predicted so (Vinogradova et al. 2020, arXiv
        2002.11434), or over the whole image where none is.
        """
        with listening(None):
            scores = self.scores(batch.pixels).float()
        image = ~batch.padding(1)[:, None]
        predicted = (scores == scores.amax(1, keepdim=True)) & image
        region = torch.where(predicted.any((2, 3), keepdim=True), predicted, image)
        return ((scores * region).sum((2, 3)) / region.sum((2, 3)))[:, 1:]


def check_classes(info: DatasetInfo) -> int:
    """How many classes there are. Raises ValueError where a map of bytes can't hold them beside background and void."""
    count = len(info.classes)
    if count >= VOID:
        raise ValueError(f"dataset {info.name!r} has {count} classes; a semantic map holds {VOID - 1}")
    return count


def enlarged_argmax(scores: Tensor, size: tuple[int, int]) -> Tensor:
    """The best class, uint8 [*size], of scores [C, H, W] interpolated (bilinear) to a size.

    One class at a time: at a photograph's size, all of them together take gigabytes.
    """
    best = scores.new_full(size, -torch.inf)
    label = torch.zeros(size, dtype=torch.uint8, device=scores.device)
    for index, one in enumerate(scores):
        score = F.interpolate(one[None, None], size, mode="bilinear", align_corners=False)[0, 0]
        label.masked_fill_(score > best, index)
        torch.maximum(best, score, out=best)
    return label
