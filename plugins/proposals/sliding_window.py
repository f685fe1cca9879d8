"""Windows of a few sizes and shapes, moved over the image in even steps: what every other proposal must beat.

The baseline of Hosang et al. 2016 (arXiv 1502.05082), with windows that are shares of the image. Nothing looks at the
pixels, and the order is always the same: large windows before small ones, and of a size those nearest to the centre,
where photographers put things, first.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from roibench.dataset import DatasetInfo
from roibench.model import stage
from roibench.structures import Input, Prediction


@dataclass(frozen=True)
class Config:
    """scales: square roots of the windows' areas, as shares of the image's; a window that is too large is cut to it.
    aspect_ratios: height over width.
    stride: between windows at most, as a share of their sides.
    proposals: per image, at most.
    """

    scales: tuple[float, ...] = tuple(2 ** (-i / 2) for i in range(8))
    aspect_ratios: tuple[float, ...] = (0.5, 1.0, 2.0)
    stride: float = 0.5
    proposals: int = 2000


class SlidingWindow:
    stages = ("windows",)

    def __init__(self, config: Config) -> None:
        self.config = config

    def predict(self, inputs: Sequence[Input]) -> list[Prediction]:
        with stage("windows"):
            return [self.propose(*one.image.shape[1:]) for one in inputs]

    def fit(self, data: object, trainer: object) -> None:
        raise TypeError("SlidingWindow learns nothing")

    def state_dict(self) -> dict[str, Tensor]:
        return {}

    def load_state_dict(self, state: Mapping[str, Tensor]) -> None:
        """There is nothing to load."""

    def propose(self, height: int, width: int) -> Prediction:
        """Boxes of an image of this size; scores fall evenly from 1."""
        config = self.config
        sides = [
            scale * math.sqrt(height * width) * np.array([math.sqrt(ratio), 1 / math.sqrt(ratio)])
            for scale in sorted(config.scales, reverse=True)
            for ratio in config.aspect_ratios
        ]
        # Cut to the image, windows of several sizes may be one; rounded, so that they are one to the last bit, too.
        distinct = dict.fromkeys(tuple(np.minimum(one, (height, width)).round(3).tolist()) for one in sides)
        windows = np.concatenate([slide(height, width, *window, config.stride) for window in distinct])
        boxes = torch.from_numpy(windows[: config.proposals]).float()
        return Prediction(boxes=boxes, scores=1 - torch.arange(len(boxes)) / len(boxes))


def slide(height: int, width: int, tall: float, wide: float, stride: float) -> npt.NDArray[np.float64]:
    """xyxy [N, 4] of a window in all its places, from border to border, those nearest to the image's centre first."""
    y, x = (_places(side, window, stride) for side, window in ((height, tall), (width, wide)))
    top, left = (one.ravel() for one in np.meshgrid(y, x, indexing="ij"))
    away = np.hypot(top + (tall - height) / 2, left + (wide - width) / 2)
    return np.stack([left, top, left + wide, top + tall], 1)[np.argsort(away, kind="stable")]


def _places(side: float, window: float, stride: float) -> npt.NDArray[np.float64]:
    return np.linspace(0, side - window, math.ceil((side - window) / (stride * window)) + 1)


def build(info: DatasetInfo, config: Mapping[str, Any]) -> SlidingWindow:
    return SlidingWindow(Config(**config))
