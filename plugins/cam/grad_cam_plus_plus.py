"""Grad-CAM++ (Chattopadhyay et al. 2018, arXiv 1710.11063): each location weighs what its own gradient says.

The weights are those of the second and third derivatives of the exponential of the score, which are powers of its
gradient wherever the network is linear in pieces.
"""

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor, nn

from roibench.dataset import DatasetInfo
from roibench.plugins.cam.grad_cam import GradCAM


class GradCAMPlusPlus(GradCAM):
    @staticmethod
    def maps(features: Tensor, gradient: Tensor) -> Tensor:
        """Equations 10 and 19: alpha = g^2 / (2 g^2 + g^3 sum(features)), weights = sum(alpha relu(g))."""
        features, gradient = features.float(), gradient.float()
        below = 2 + gradient * features.sum(
            (2, 3), keepdim=True
        )  # of alpha, which g^2 shortens; where g is 0, so is it
        alpha = torch.where((gradient != 0) & (below != 0), 1 / below, 0.0)
        weights = (alpha * gradient.relu()).sum((2, 3))
        return torch.einsum("bd,bdhw->bhw", weights, features).relu()


def build(info: DatasetInfo, config: Mapping[str, Any], inner: nn.Module) -> GradCAMPlusPlus:
    return GradCAMPlusPlus(inner, **config)
