"""What an explanation must beat: maps that know nothing of the model, and nothing of the class.

They wrap a model as the methods do, so that the same questions are put to it.
"""

import zlib
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import torch
from skimage.filters import sobel
from torch import Tensor, nn

from roibench.dataset import DatasetInfo
from roibench.model import stage
from roibench.plugins.cam.explainer import Explainer
from roibench.structures import Input, Prediction

SPREAD = 0.25  # of the centre's Gaussian: its standard deviation over the image's height and width
LUMA = (0.299, 0.587, 0.114)  # Rec. 601


class Baseline(Explainer):
    stages = ("map",)

    def predict(self, inputs: Sequence[Input]) -> list[Prediction]:
        with stage("map"):
            return [Prediction(extra={"attribution": self.map(one)}) for one in inputs]

    def map(self, one: Input) -> Tensor:
        """float32 [H, W]."""
        raise NotImplementedError


class Center(Baseline):
    """A Gaussian at the middle of the image: photographers put things there."""

    def map(self, one: Input) -> Tensor:
        rows, columns = (
            torch.exp(-((((torch.arange(side) + 0.5) / side - 0.5) / SPREAD) ** 2) / 2) for side in one.image.shape[1:]
        )
        return torch.outer(rows, columns)


class Random(Baseline):
    """A number in [0, 1) per pixel, always the same for an image's id."""

    def map(self, one: Input) -> Tensor:
        generator = torch.Generator().manual_seed(zlib.crc32(one.id.encode()))
        return torch.rand(one.image.shape[1:], generator=generator)


class Edges(Baseline):
    """The magnitude of the image's gradient (Sobel), which some explanations are hard to tell from."""

    def map(self, one: Input) -> Tensor:
        grey = np.tensordot(LUMA, one.image.cpu().numpy().astype(np.float32), 1)
        return torch.from_numpy(sobel(grey).astype(np.float32))


def build_center(info: DatasetInfo, config: Mapping[str, Any], inner: nn.Module) -> Center:
    return Center(inner, **config)


def build_random(info: DatasetInfo, config: Mapping[str, Any], inner: nn.Module) -> Random:
    return Random(inner, **config)


def build_edges(info: DatasetInfo, config: Mapping[str, Any], inner: nn.Module) -> Edges:
    return Edges(inner, **config)
