"""Explanations by gradients of the pixels.

- Saliency (Simonyan et al. 2013, arXiv 1312.6034): the gradient's magnitude. With samples, SmoothGrad (Smilkov et al.
  2017, arXiv 1706.03825): of the mean gradient over copies of the image with noise.
- Deconvnet (Zeiler and Fergus 2013, arXiv 1311.2901) and guided backpropagation (Springenberg et al. 2014, arXiv
  1412.6806): every ReLU passes on what is positive from above; max pooling, to where the maximum was.
- Guided Grad-CAM (Selvaraju et al. 2017, arXiv 1610.02391): guided backpropagation times Grad-CAM's map.
"""

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor, nn

from roibench.dataset import DatasetInfo
from roibench.plugins.cam.explainer import Explainable
from roibench.plugins.cam.grad_cam import grad_cam
from roibench.plugins.cam.pixels import (
    Asked,
    PixelExplainer,
    Rule,
    deconvnet,
    guided,
    magnitude,
    pixel_gradients,
)


class Saliency(PixelExplainer):
    """samples: copies with noise; 0: the image itself, once. sigma: of the noise, over the image's range of values."""

    def __init__(self, inner: Explainable, samples: int = 0, sigma: float = 0.15) -> None:
        super().__init__(inner)
        self.samples, self.sigma = samples, sigma

    def relevance(self, asked: Asked) -> Tensor:
        pixels = asked.batch.pixels
        if not self.samples:
            return magnitude(pixel_gradients(self.inner, asked, pixels))
        flat = pixels.flatten(1)
        spread = self.sigma * (flat.amax(1) - flat.amin(1))[:, None, None, None]
        generator = torch.Generator(pixels.device).manual_seed(0)  # the same explanation every time
        total = torch.zeros_like(pixels)
        for _ in range(self.samples):
            noise = torch.randn(pixels.shape, generator=generator, device=pixels.device)
            total += pixel_gradients(self.inner, asked, pixels + spread * noise)
        return magnitude(total / self.samples)


class RuledBackward(PixelExplainer):
    """rule: of every ReLU's backward."""

    def __init__(self, inner: Explainable, rule: Rule) -> None:
        super().__init__(inner)
        self.rule = rule

    def relevance(self, asked: Asked) -> Tensor:
        return magnitude(pixel_gradients(self.inner, asked, asked.batch.pixels, self.rule))


class GuidedGradCAM(PixelExplainer):
    def relevance(self, asked: Asked) -> Tensor:
        fine = magnitude(pixel_gradients(self.inner, asked, asked.batch.pixels, guided))
        return fine * grad_cam(self.inner, asked)


def build_saliency(info: DatasetInfo, config: Mapping[str, Any], inner: nn.Module) -> Saliency:
    return Saliency(inner, **config)


def build_deconvnet(info: DatasetInfo, config: Mapping[str, Any], inner: nn.Module) -> RuledBackward:
    return RuledBackward(inner, deconvnet)


def build_guided_backprop(info: DatasetInfo, config: Mapping[str, Any], inner: nn.Module) -> RuledBackward:
    return RuledBackward(inner, guided)


def build_guided_grad_cam(info: DatasetInfo, config: Mapping[str, Any], inner: nn.Module) -> GuidedGradCAM:
    return GuidedGradCAM(inner, **config)
