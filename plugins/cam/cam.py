"""CAM (Zhou et al. 2016, arXiv 1512.04150): the last maps, weighted as the linear layer after their mean weighs them.

The mean of a class's map over what the network sees, padding and all, is the class's score, but for the bias: the map
shows where the score comes from, and negative values speak against the class.
"""

from collections.abc import Mapping, Sequence
from typing import Any, Protocol

import torch
from torch import Tensor, nn

from roibench.dataset import DatasetInfo
from roibench.model import stage
from roibench.plugins.cam.explainer import Explainable, Explainer
from roibench.plugins.cam.features import query_classes, watched_features
from roibench.structures import Input, Prediction


class EndsInOneLayer(Explainable, Protocol):
    """head: the linear layer that sees nothing but the mean of feature_layer's maps, and gives the class scores."""

    head: nn.Linear


class CAM(Explainer):
    asks = EndsInOneLayer
    stages = ("preprocess", "network", "map")

    def predict(self, inputs: Sequence[Input]) -> list[Prediction]:
        inner = self.inner
        with watched_features(inner, inner.feature_layer, differentiable=False) as seen:
            with stage("preprocess"):
                batch = inner.batch(inputs)
            with stage("network"):
                scores = inner.class_scores(batch)
            with stage("map"):
                [features] = seen
                maps = self.class_maps(features, query_classes(inputs, scores))
                return [Prediction(extra={"attribution": one.cpu()}) for one in batch.to_images(maps)]

    def class_maps(self, features: Tensor, classes: Tensor) -> Tensor:
        """Equation 2: maps [B, D, h, w], a class of each image -> [B, h, w]."""
        return torch.einsum("bd,bdhw->bhw", self.inner.head.weight[classes], features.float())


def build(info: DatasetInfo, config: Mapping[str, Any], inner: nn.Module) -> CAM:
    return CAM(inner, **config)
