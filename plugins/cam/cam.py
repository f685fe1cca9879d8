"""CAM (Zhou et al. 2016, arXiv 1512.04150): the last maps, weighted as the linear layer after their mean weighs them.

The mean of a class's map over the image is the class's score, but for the bias: the map says where the score comes
from, and negative values speak against the class.
"""

from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor, nn

from roibench.dataset import DatasetInfo
from roibench.model import Explainer, stage
from roibench.plugins.cam.features import asked_classes, explainable, watched_features
from roibench.structures import Input, Prediction


class CAM(Explainer):
    """Explains networks whose `head`, one linear layer, sees nothing but the mean of the last maps."""

    stages = ("preprocess", "network", "map")

    def __init__(self, explained: nn.Module) -> None:
        super().__init__(explainable(explained, "CAM"))
        if not isinstance(getattr(explained, "head", None), nn.Linear):
            raise TypeError(
                f"CAM explains a network that ends in one linear `head`; {type(explained).__name__} doesn't"
            )

    def predict(self, inputs: Sequence[Input]) -> list[Prediction]:
        explained = self.explained
        with watched_features(explained, explained.feature_layer, differentiable=False) as seen:
            with stage("preprocess"):
                batch = explained.batch(inputs)
            with stage("network"):
                scores = explained.class_scores(batch)
            with stage("map"):
                [features] = seen
                maps = self.class_maps(features, asked_classes(inputs, scores))
                return [Prediction(attribution=one.cpu()) for one in batch.to_images(maps)]

    def class_maps(self, features: Tensor, classes: Tensor) -> Tensor:
        """Equation 2: maps [B, D, h, w], a class of each image -> [B, h, w]."""
        return torch.einsum("bd,bdhw->bhw", self.explained.head.weight[classes], features.float())


def build(info: DatasetInfo, config: Mapping[str, Any], explained: nn.Module) -> CAM:
    return CAM(explained, **config)
