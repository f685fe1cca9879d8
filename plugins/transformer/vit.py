"""ViT (Dosovitskiy et al. 2021, arXiv 2010.11929): an image is a sequence of patches for a transformer's encoder.

A class token is put before the patches, and attends to all of them; what becomes of it is classified. Images are
resized to one size, for which the positions are learned; the aspect is kept, and tokens in the padding are hidden.

The paper needs 14 million images or more. What makes a small one learn from few, from scratch:
- a stem of convolutions in place of one 16x16 patch projection (Xiao et al. 2021, arXiv 2106.14881);
- every token learns to name what it shows, where the data set has a semantic map (Jiang et al. 2021, arXiv 2104.10858).
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from roibench.model import TrainableModel, stage
from roibench.nn.classification import class_predictions, image_labels
from roibench.nn.dense_labels import dense_labels, dense_loss
from roibench.nn.images import ImageBatch, batch_images
from roibench.nn.transformer import EncoderLayer
from roibench.structures import Input, Prediction, Target
from roibench.tasks import DatasetInfo

HIDDEN = -1e9  # what attention adds to tokens in the padding


@dataclass(frozen=True)
class Config:
    """Hyperparameters, with ViT-B/16's values in brackets where small images want others."""

    image_size: int = 128  # what the longer side is resized to, in pixels [224]
    stem: tuple[int, ...] = (24, 48, 96, 144)  # channels at strides 2, 4, ...; the last one is a token's [16]
    dim: int = 144  # of a token [768]
    heads: int = 4  # [12]
    hidden: int = 432  # of the feed-forward networks [3072]
    layers: int = 6  # [12]
    dense_weight: float = 1.0  # of the tokens' loss

    @property
    def patch(self) -> int:
        """A token's pixels in each direction."""
        return 2 ** len(self.stem)


def convolutional_stem(channels: Sequence[int], dim: int) -> nn.Sequential:
    """3x3 convolutions of stride 2, each normalised and rectified, then 1x1: [B, 3, H, W] -> [B, dim, H / P, W / P]."""
    layers: list[nn.Module] = []
    for before, after in zip((3, *channels), channels, strict=False):
        layers += [nn.Conv2d(before, after, 3, 2, 1, bias=False), nn.BatchNorm2d(after), nn.ReLU()]
    return nn.Sequential(*layers, nn.Conv2d(channels[-1], dim, 1))


class ViT(TrainableModel):
    stages = ("preprocess", "stem", "encoder", "head")

    def __init__(self, classes: int, config: Config) -> None:
        super().__init__()
        self.config = config
        dim, side = config.dim, config.image_size // config.patch
        self.stem = convolutional_stem(config.stem, dim)
        self.class_token = nn.Parameter(torch.zeros(dim))
        self.positions = nn.Parameter(torch.randn(1 + side * side, dim) * 0.02)
        self.encoder = nn.ModuleList(
            EncoderLayer(dim, config.heads, config.hidden, nn.GELU) for _ in range(config.layers)
        )
        self.norm = nn.LayerNorm(dim)
        self.head = nn.Linear(dim, classes)
        self.dense_head = nn.Linear(dim, 1 + classes)  # background, then the classes

    @torch.inference_mode()
    def predict(self, inputs: Sequence[Input]) -> list[Prediction]:
        with stage("preprocess"):
            batch = self._batch(inputs)
        with stage("stem"):
            tokens = self._tokens(batch)
        with stage("encoder"):
            tokens = self._encode(tokens, batch)
        with stage("head"):
            return class_predictions(self.head(tokens[:, 0]))

    def losses(self, inputs: Sequence[Input], targets: Sequence[Target]) -> dict[str, Tensor]:
        """Cross entropy of the class token and, where there are semantic maps, of the other tokens (`dense`)."""
        batch = self._batch(inputs)
        tokens = self._encode(self._tokens(batch), batch)
        losses = {"class": F.cross_entropy(self.head(tokens[:, 0]).float(), image_labels(targets, self.device))}
        labels = dense_labels(batch, targets, self.head.out_features, self.config.patch)
        if labels is not None:
            logits = self.dense_head(tokens[:, 1:]).float().transpose(1, 2).view_as(labels)
            losses["dense"] = self.config.dense_weight * dense_loss(logits, labels)
        return losses

    @torch.inference_mode()
    def artefacts(self, inputs: Sequence[Input]) -> dict[str, Tensor]:
        """Each image beside itself darkened where the class token doesn't look, as in the paper's figure 6."""
        pictures = {}
        for one in inputs:
            [attention] = self.attention_maps([one])
            seen = one.image * (attention / attention.max()).to(one.image.device)
            pictures[f"attention {one.id}"] = torch.cat([one.image, seen.to(torch.uint8)], dim=2)
        return pictures

    @torch.inference_mode()
    def attention_maps(self, inputs: Sequence[Input]) -> list[Tensor]:
        """How much of the class token comes from where: float32 [H, W] per image, in its own pixels.

        Attention rollout (Abnar and Zuidema 2020, arXiv 2005.00928): the mean over heads, half of it replaced by the
        token itself for the residual connection, multiplied from layer to layer.
        """
        batch = self._batch(inputs)
        tokens, bias = self._tokens(batch), self._bias(batch)
        rollout = torch.eye(tokens.shape[1], device=tokens.device)
        for layer in self.encoder:
            normed = layer.attention_norm(tokens)
            weights = layer.attention.weights(normed, normed, bias).float().mean(1)
            rollout = (weights + torch.eye(tokens.shape[1], device=tokens.device)) / 2 @ rollout
            tokens = layer(tokens, bias=bias)
        side = batch.pixels.shape[2] // self.config.patch
        coarse = rollout[:, :1, 1:].unflatten(2, (side, side))
        fine = F.interpolate(coarse, batch.pixels.shape[2:], mode="bilinear")
        return [
            F.interpolate(fine[i : i + 1, :, :h, :w], batch.originals[i], mode="bilinear")[0, 0]
            for i, (h, w) in enumerate(batch.sizes)
        ]

    def _batch(self, inputs: Sequence[Input]) -> ImageBatch:
        size = self.config.image_size
        return batch_images(inputs, self.device, size, size, divisor=size)

    def _tokens(self, batch: ImageBatch) -> Tensor:
        """Class token and patches, with their positions: [B, 1 + N, dim]."""
        patches = self.stem(batch.pixels).flatten(2).transpose(1, 2)
        class_token = self.class_token.expand(len(patches), 1, -1)
        return torch.cat([class_token, patches], dim=1) + self.positions

    def _encode(self, tokens: Tensor, batch: ImageBatch) -> Tensor:
        bias = self._bias(batch)
        for layer in self.encoder:
            tokens = layer(tokens, bias=bias)
        return self.norm(tokens)

    def _bias(self, batch: ImageBatch) -> Tensor:
        """Hides the padding's tokens, [B, 1, 1, 1 + N]."""
        hidden = F.pad(batch.padding(self.config.patch).flatten(1), (1, 0))
        return hidden[:, None, None] * HIDDEN


def build(info: DatasetInfo, config: Mapping[str, Any]) -> ViT:
    return ViT(len(info.classes), Config(**config))
