"""An image as numbers: the mean of the last maps of the network inside, or the image's own pixels, coarsely."""

from collections.abc import Mapping, Sequence
from typing import Any

import torch
import torch.nn.functional as F
from torch import nn

from roibench.dataset import DatasetInfo
from roibench.model import Wrapper, stage
from roibench.plugins.cam.explainer import Explainer
from roibench.plugins.cam.features import watched_features
from roibench.structures import Input, Prediction

SIDE = 16  # of an image as pixels


class Features(Explainer):
    """Of a pyramid's levels, one after the other."""

    stages = ("preprocess", "network", "pool")

    def predict(self, inputs: Sequence[Input]) -> list[Prediction]:
        inner = self.inner
        with watched_features(inner, inner.feature_layer, differentiable=False) as seen:
            with stage("preprocess"):
                batch = inner.batch(inputs)
            with stage("network"):
                inner.class_scores(batch)
        with stage("pool"):
            pooled = torch.cat([F.adaptive_avg_pool2d(level.float(), 1).flatten(1) for level in seen], 1)
            return [Prediction(extra={"features": one.cpu()}) for one in pooled]


class Pixels(Wrapper):
    """What a representation must beat: it doesn't look at the model."""

    stages = ("resize",)

    def predict(self, inputs: Sequence[Input]) -> list[Prediction]:
        with stage("resize"):
            return [Prediction(extra={"features": _shrunk(one)}) for one in inputs]


def _shrunk(one: Input) -> torch.Tensor:
    image = one.image[None].float() / 255
    return F.interpolate(image, (SIDE, SIDE), mode="bilinear", antialias=True)[0].flatten()


def build_features(info: DatasetInfo, config: Mapping[str, Any], inner: nn.Module) -> Features:
    return Features(inner, **config)


def build_pixels(info: DatasetInfo, config: Mapping[str, Any], inner: nn.Module) -> Pixels:
    return Pixels(inner, **config)
