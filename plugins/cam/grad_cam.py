"""Grad-CAM (Selvaraju et al. 2017, arXiv 1610.02391): maps weighted by how the score of a class depends on them.

It asks nothing of what comes after the maps but that it can be differentiated, and so explains any task's head: the
logit of a classifier, the highest-scoring detection of a detector, the pixels that a segmenter names alike. Where a
pyramid's levels have maps of their own, an explanation is the sum over them.
"""

from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor, nn

from roibench.dataset import DatasetInfo
from roibench.model import Explainer, stage
from roibench.plugins.cam.features import asked_classes, explainable, watched_features
from roibench.structures import Input, Prediction


class GradCAM(Explainer):
    stages = ("preprocess", "forward", "backward", "map")

    def __init__(self, explained: nn.Module) -> None:
        super().__init__(explainable(explained, "Grad-CAM"))

    def predict(self, inputs: Sequence[Input]) -> list[Prediction]:
        explained = self.explained
        with watched_features(explained, explained.feature_layer, differentiable=True) as seen:
            with stage("preprocess"):
                batch = explained.batch(inputs)
            with stage("forward"):
                scores = explained.class_scores(batch)
            with stage("backward"):
                classes = asked_classes(inputs, scores)
                # Images don't mix in eval mode: the gradient of the sum is each image's own.
                asked = scores.gather(1, classes[:, None]).sum()
                gradients = torch.autograd.grad(asked, seen)
        with stage("map"):
            maps = map(activation_maps, (one.detach() for one in seen), gradients)
            levels = [batch.to_images(level) for level in maps]  # those that a detection isn't on have no gradient
            return [Prediction(attribution=sum(image).cpu()) for image in zip(*levels, strict=True)]


def activation_maps(features: Tensor, gradient: Tensor) -> Tensor:
    """Equations 1 and 2: maps and the score's gradient with respect to them, [B, D, h, w] each -> float32 [B, h, w]."""
    weights = gradient.float().mean((2, 3))
    return torch.einsum("bd,bdhw->bhw", weights, features.float()).relu()


def build(info: DatasetInfo, config: Mapping[str, Any], explained: nn.Module) -> GradCAM:
    return GradCAM(explained, **config)
