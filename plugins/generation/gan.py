"""A deep convolutional GAN (Radford et al. 2016, arXiv 1511.06434): a generator turns noise into pictures, and learns
from a critic that learns to tell them from a dataset's.

Nothing says that there are classes: what its units know of them, it has found by itself, and it learns from the images
of any dataset. Where it differs from the paper: the critic has no batch norm but R1, a penalty on its gradient at real
images (Mescheder et al. 2018, arXiv 1801.04406), with which updating both networks at once converges; and the
optimizer has no momentum, as there. So the common loop trains the two as one model.
"""

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torchvision.transforms.functional import center_crop

from roibench.dataset import Dataset, DatasetInfo
from roibench.model import TrainableModel, Trainer, stage
from roibench.nn.upconvolution import UpConvolution
from roibench.structures import Input, Prediction, Target

_LEAST_SCORE = -40.0  # beyond it the gradient of a generated image stays as it is: exp(40) is far from float32's end


@dataclass(frozen=True)
class Config:
    """Hyperparameters, with the paper's values in brackets where small images want others.

    latent: numbers that a picture is made of [100].
    widths: units of the layers, whose maps have 4 x 4 locations and then twice the side each; a picture has twice the
        side of the last [1024, 512, 256, 128].
    r1: gamma, of the critic's penalty [Mescheder et al.: 10].
    """

    latent: int = 64
    widths: tuple[int, ...] = (256, 128, 96, 48)
    r1: float = 1.0

    @property
    def side(self) -> int:
        """Of a picture, in pixels."""
        return 4 * 2 ** len(self.widths)


class GAN(TrainableModel):
    """The generator. What it was trained against isn't kept.

    layers: each of whose outputs [B, units, h, w] the next one sees.
    """

    stages = ("latents", "network", "postprocess")

    def __init__(self, config: Config) -> None:
        super().__init__()
        self.config = config
        first = _layer(UpConvolution(config.latent, config.widths[0], 4, bias=False))
        finer = (_layer(UpConvolution(a, b, 4, 2, 1, bias=False)) for a, b in pairwise(config.widths))
        self.layers = nn.ModuleList([first, *finer])
        self.last = UpConvolution(config.widths[-1], 3, 4, 2, 1)

    @torch.inference_mode()
    def predict(self, inputs: Sequence[Input]) -> list[Prediction]:
        with stage("latents"):
            latents = self.latents([one.id for one in inputs])
        with stage("network"):
            values = self(latents)
        with stage("postprocess"):
            return [Prediction(extra={"generated": picture}) for picture in as_pixels(values)]

    def latents(self, names: Sequence[str]) -> Tensor:
        """float32 [B, latent], standard normal: a name's are always the same."""
        found = torch.empty(len(names), self.config.latent)
        for one, name in zip(found, names, strict=True):
            seed = int.from_bytes(hashlib.sha256(name.encode()).digest()[:8], "little") >> 1
            one.normal_(generator=torch.Generator().manual_seed(seed))
        return found.to(self.device)

    def forward(self, latents: Tensor) -> Tensor:
        """[B, latent] -> [B, 3, side, side] in [-1, 1]."""
        x = latents[:, :, None, None]
        for layer in self.layers:
            x = layer(x)
        return torch.tanh(self.last(x)).float()

    @torch.inference_mode()
    def pictures(self, latents: Tensor) -> Tensor:
        """[B, latent] -> uint8 [B, 3, side, side], on the host."""
        return as_pixels(self(latents))

    def fit(self, data: Dataset, trainer: Trainer) -> None:
        trainer.fit(Game(self), data)


class Critic(nn.Sequential):
    """[B, 3, side, side] in [-1, 1] -> [B]: how much speaks for the dataset. widths: the generator's, backwards."""

    def __init__(self, widths: Sequence[int]) -> None:
        for_each = [(nn.Conv2d(a, b, 4, 2, 1), nn.LeakyReLU(0.2)) for a, b in pairwise((3, *widths))]
        super().__init__(*(part for pair in for_each for part in pair), nn.Conv2d(widths[-1], 1, 4), nn.Flatten(0))


class Game(TrainableModel):
    """Generator and critic, each of which learns at the other's expense."""

    def __init__(self, generator: GAN) -> None:
        super().__init__()
        self.generator = generator
        self.critic = Critic(generator.config.widths[::-1])

    def losses(self, inputs: Sequence[Input], targets: Sequence[Target]) -> dict[str, Tensor]:
        """critic and generator: the non-saturating losses of Goodfellow et al. 2014 (arXiv 1406.2661); r1.

        One pass backward serves both. At a generated image x of score s the critic's loss has the gradient
        sigmoid(s) ds/dx; the generator's own, whose value is told here without its graph, has -sigmoid(-s) ds/dx,
        which is -exp(-s) times as much. So the gradient is turned round where it leaves the critic, as in Ganin and
        Lempitsky 2015 (arXiv 1409.7495). That holds as long as no layer of the critic sees several images at once.
        """
        config = self.generator.config
        real = torch.stack([shrunk(one, config.side) for one in inputs]).to(self.device)
        fake = self.generator(torch.randn(len(inputs), config.latent, device=self.device))
        real_scores, fake_scores = self.critic(torch.cat([real, fake])).float().chunk(2)
        turn = -torch.exp(-fake_scores.detach().clamp(min=_LEAST_SCORE))[:, None, None, None]
        fake.register_hook(lambda gradient: turn * gradient)
        return {
            "critic": F.softplus(-real_scores).mean() + F.softplus(fake_scores).mean(),
            "r1": self._penalty(real[: -(-len(real) // 4)]),
            "generator": F.softplus(-fake_scores.detach()).mean(),
        }

    def _penalty(self, real: Tensor) -> Tensor:
        """R1, of a quarter of the batch: unbiased, and dear to compute."""
        real = real.clone().requires_grad_()
        scores = self.critic(real).float()
        (slopes,) = torch.autograd.grad(scores.sum(), [real], create_graph=True)
        return self.generator.config.r1 / 2 * slopes.square().sum((1, 2, 3)).mean()


def _layer(up: UpConvolution) -> nn.Sequential:
    return nn.Sequential(up, nn.BatchNorm2d(up.out_channels), nn.ReLU())


def shrunk(one: Input, side: int) -> Tensor:
    """The middle square of an image, float32 [3, side, side] in [-1, 1]. ValueError for an input without an image."""
    if one.image is None:
        raise ValueError(f"input {one.id!r}: no image; a GAN learns from images")
    square = center_crop(one.image, [min(one.image.shape[1:])] * 2)[None].float()
    return F.interpolate(square, (side, side), mode="bilinear", antialias=True)[0] / 127.5 - 1


def as_pixels(values: Tensor) -> Tensor:
    """[-1, 1] -> uint8, on the host."""
    return (127.5 * (values + 1)).round().clamp(0, 255).to(torch.uint8).cpu()


def build(info: DatasetInfo, config: Mapping[str, Any]) -> GAN:
    return GAN(Config(**config))
