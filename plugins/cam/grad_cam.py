"""Grad-CAM (Selvaraju et al. 2017, arXiv 1610.02391): maps weighted by how the score of a class depends on them.

It asks nothing of what comes after the maps but that it can be differentiated, and so explains any task's head: the
logit of a classifier, the highest-scoring detection of a detector, the pixels that a segmenter names alike. Where a
pyramid's levels have maps of their own, an explanation is the sum over them.
"""

from collections.abc import Mapping, Sequence
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from roibench.dataset import DatasetInfo
from roibench.model import stage
from roibench.plugins.cam.explainer import Explainable, Explainer
from roibench.plugins.cam.features import query_classes, watched_features
from roibench.plugins.cam.pixels import Asked
from roibench.structures import Input, Prediction


class GradCAM(Explainer):
    stages = ("preprocess", "forward", "backward", "map")

    def predict(self, inputs: Sequence[Input]) -> list[Prediction]:
        inner = self.inner
        with watched_features(inner, inner.feature_layer, differentiable=True) as seen:
            with stage("preprocess"):
                batch = inner.batch(inputs)
            with stage("forward"):
                scores = inner.class_scores(batch)
            with stage("backward"):
                classes = query_classes(inputs, scores)
                # Images don't mix in eval mode: the gradient of the sum is each image's own.
                query_scores = scores.gather(1, classes[:, None]).sum()
                gradients = torch.autograd.grad(query_scores, seen)
        with stage("map"):
            maps = map(self.maps, (one.detach() for one in seen), gradients)
            levels = [batch.to_images(level) for level in maps]  # those that a detection isn't on have no gradient
            return [Prediction(extra={"attribution": sum(image).cpu()}) for image in zip(*levels, strict=True)]

    @staticmethod
    def maps(features: Tensor, gradient: Tensor) -> Tensor:
        """A level's, [B, D, h, w] each -> [B, h, w]."""
        return activation_maps(features, gradient)


def activation_maps(features: Tensor, gradient: Tensor) -> Tensor:
    """Equations 1 and 2: maps and the score's gradient with respect to them, [B, D, h, w] each -> float32 [B, h, w]."""
    weights = gradient.float().mean((2, 3))
    return torch.einsum("bd,bdhw->bhw", weights, features.float()).relu()


def grad_cam(inner: Explainable, asked: Asked) -> Tensor:
    """Grad-CAM's maps at the batch's own resolution, [B, H, W]."""
    pixels = asked.batch.pixels
    with watched_features(inner, inner.feature_layer, differentiable=True) as seen:
        gradients = torch.autograd.grad(asked.score(inner, pixels).sum(), seen)
    maps = (activation_maps(one.detach(), gradient) for one, gradient in zip(seen, gradients, strict=True))
    return sum(
        F.interpolate(one[:, None], pixels.shape[2:], mode="bilinear", align_corners=False)[:, 0] for one in maps
    )


def build(info: DatasetInfo, config: Mapping[str, Any], inner: nn.Module) -> GradCAM:
    return GradCAM(inner, **config)
