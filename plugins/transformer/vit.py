"""ViT (Dosovitskiy et al. 2021, arXiv 2010.11929): an image is a sequence of tokens for a transformer's encoder.

A token is a linear function of the pixels of a square patch: no convolution sees the image first. A class token is put
before them, and attends to all; what becomes of it is classified. Images are resized to one size, for which positions
are learned; the aspect is kept, and tokens in the padding are masked.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from roibench.dataset import DatasetInfo
from roibench.model import TrainableModel, stage
from roibench.nn.classification import class_predictions, image_labels
from roibench.nn.images import ImageBatch, batch_images
from roibench.nn.transformer import PADDING_BIAS, EncoderLayer
from roibench.structures import Input, Prediction, Target


@dataclass(frozen=True)
class Config:
    """Hyperparameters, with ViT-B/16's values in brackets where small images want others. Lengths are pixels."""

    image_size: int = 128  # what the longer side is resized to [224]
    patch_size: int = 16  # as in the paper
    dim: int = 128  # of a token [768]
    heads: int = 4  # [12]
    hidden: int = 384  # of the feed-forward networks [3072]
    layers: int = 4  # [12]


class ViT(TrainableModel):
    stages = ("preprocess", "patches", "encoder", "head")
    leading = 1  # tokens before those of the patches, the class token first

    def __init__(self, classes: int, config: Config) -> None:
        super().__init__()
        self.config = config
        dim, side = config.dim, config.image_size // config.patch_size
        self.patches = nn.Conv2d(3, dim, config.patch_size, stride=config.patch_size)
        self.class_token = nn.Parameter(torch.randn(dim) * 0.02)  # holds its position
        self.positions = nn.Parameter(torch.randn(dim, side, side) * 0.02)
        self.encoder = nn.ModuleList(
            EncoderLayer(dim, config.heads, config.hidden, nn.GELU) for _ in range(config.layers)
        )
        self.norm = nn.LayerNorm(dim)
        self.head = nn.Linear(dim, classes)

    @torch.inference_mode()
    def predict(self, inputs: Sequence[Input]) -> list[Prediction]:
        with stage("preprocess"):
            batch = self.batch(inputs)
        with stage("patches"):
            tokens = self.tokens(batch.pixels)
        with stage("encoder"):
            tokens = self.encode(tokens, self.padding_bias(batch))
        with stage("head"):
            return class_predictions(self.logits(tokens))

    def losses(self, inputs: Sequence[Input], targets: Sequence[Target]) -> dict[str, Tensor]:
        batch = self.batch(inputs)
        tokens = self.encode(self.tokens(batch.pixels), self.padding_bias(batch))
        return {"class": F.cross_entropy(self.logits(tokens), image_labels(targets, self.device))}

    @torch.inference_mode()
    def artefacts(self, inputs: Sequence[Input]) -> dict[str, Tensor]:
        """Each image beside itself darkened where the class token doesn't attend, as in the paper's figure 6."""
        pictures = {}
        for one in inputs:
            [attention] = self.attention_maps([one])
            seen = one.image * (attention / attention.max()).to(one.image.device)
            pictures[f"attention {one.id}"] = torch.cat([one.image, seen.to(torch.uint8)], dim=2)
        return pictures

    @torch.inference_mode()
    def attention_maps(self, inputs: Sequence[Input]) -> list[Tensor]:
        """How much of the class token comes from where: float32 [H, W] per image, in its own pixels.

        Attention rollout (Abnar and Zuidema 2020, arXiv 2005.00928): each layer's weights, averaged over its heads and
        with the identity for the residual connection, multiplied.
        """
        batch = self.batch(inputs)
        tokens, bias = self.tokens(batch.pixels), self.padding_bias(batch)
        rollout = identity = torch.eye(tokens.shape[1], device=tokens.device)
        for layer in self.encoder:
            normed = layer.attention_norm(tokens)
            weights = layer.attention.weights(normed, normed, bias).float().mean(1)
            rollout = (weights + identity) / 2 @ rollout
            tokens = layer(tokens, bias=bias)
        return batch.to_images(rollout[:, 0, self.leading :].unflatten(1, self.positions.shape[1:]))

    def batch(self, inputs: Sequence[Input]) -> ImageBatch:
        """Images of any sizes, resized to one and padded to squares."""
        size = self.config.image_size
        return batch_images(inputs, self.device, size, size, divisor=size)

    def tokens(self, pixels: Tensor) -> Tensor:
        """[B, 3, H, W] -> the leading tokens and the patches', with their positions: [B, leading + N, dim]."""
        tokens = (self.patches(pixels) + self.positions).flatten(2).transpose(1, 2)
        leading = self.leading_tokens().to(tokens.dtype)
        return torch.cat([leading.expand(len(tokens), -1, -1), tokens], dim=1)

    def leading_tokens(self) -> Tensor:
        """[leading, dim]."""
        return self.class_token[None]

    def encode(self, tokens: Tensor, bias: Tensor | None = None) -> Tensor:
        """[B, leading + N, dim] -> the same. bias: added to attention, [B, 1, 1, leading + N]."""
        for layer in self.encoder:
            tokens = layer(tokens, bias=bias)
        return self.norm(tokens)

    def logits(self, tokens: Tensor) -> Tensor:
        """Encoded tokens [B, leading + N, dim] -> of the classes, float32 [B, C]."""
        return self.head(tokens[:, 0]).float()

    def padding_bias(self, batch: ImageBatch) -> Tensor:
        """Keeps attention from tokens in the padding: [B, 1, 1, leading + N]."""
        padding = F.pad(batch.padding(self.config.patch_size).flatten(1), (self.leading, 0))
        return padding[:, None, None] * PADDING_BIAS


def build(info: DatasetInfo, config: Mapping[str, Any]) -> ViT:
    return ViT(len(info.classes), Config(**config))
