"""Score-CAM (Wang et al. 2020, arXiv 1910.01279): a map weighs as much as the score of the image behind it, as a mask.

No gradient is asked for, but the network is run once per map.
"""

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from roibench.dataset import DatasetInfo
from roibench.plugins.cam.explainer import Explainable
from roibench.plugins.cam.features import watched_features
from roibench.plugins.cam.pixels import Asked, PixelExplainer, evaluating


class ScoreCAM(PixelExplainer):
    """masks: images behind masks that are scored at once."""

    def __init__(self, inner: Explainable, masks: int = 32) -> None:
        super().__init__(inner)
        self.masks = masks

    def relevance(self, asked: Asked) -> Tensor:
        inner, pixels = self.inner, asked.batch.pixels
        with watched_features(inner, inner.feature_layer, differentiable=False) as seen:
            inner.class_scores(asked.batch)
        total = torch.zeros(len(pixels), *pixels.shape[2:], device=pixels.device)
        with evaluating(inner):
            for level in seen:
                features = level.float()
                weights = self._scores(asked, _normalised(features)) - asked.scores[:, None]
                maps = torch.einsum("bd,bdhw->bhw", weights.softmax(1), features).relu()
                total += F.interpolate(maps[:, None], pixels.shape[2:], mode="bilinear", align_corners=False)[:, 0]
        return total

    def _scores(self, asked: Asked, masks: Tensor) -> Tensor:
        """[B, D]: of each image behind each of its masks [B, D, h, w]."""
        batch, pixels = asked.batch, asked.batch.pixels
        image = torch.arange(len(pixels), device=pixels.device).repeat_interleave(masks.shape[1])
        found = []
        for which, some in zip(image.split(self.masks), masks.flatten(0, 1).split(self.masks), strict=True):
            enlarged = F.interpolate(some[:, None], pixels.shape[2:], mode="bilinear", align_corners=False)
            sizes, scales, originals = (
                [one[i] for i in which.tolist()] for one in (batch.sizes, batch.scales, batch.originals)
            )
            masked = replace(batch, pixels=pixels[which] * enlarged, sizes=sizes, scales=scales, originals=originals)
            found.append(self.inner.class_scores(masked).gather(1, asked.classes[which][:, None])[:, 0])
        return torch.cat(found).view(len(pixels), -1)


def _normalised(maps: Tensor) -> Tensor:
    """[B, D, h, w], each map from 0 to 1; one that is the same everywhere is 0."""
    low, high = maps.amin((2, 3), keepdim=True), maps.amax((2, 3), keepdim=True)
    return (maps - low) / (high - low).clamp(min=torch.finfo(maps.dtype).tiny)


def build(info: DatasetInfo, config: Mapping[str, Any], inner: nn.Module) -> ScoreCAM:
    return ScoreCAM(inner, **config)
