"""The joints of a person by a heat map each: Simple Baselines (Xiao et al. 2018, arXiv 1804.06208).

Transposed convolutions enlarge the backbone's last maps, and a 1x1 convolution makes a map per joint of them, which
learns a Gaussian by squared differences: a joint that isn't there, a map of zeros.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from roibench.dataset import DatasetInfo
from roibench.nn.upconvolution import UpConvolution
from roibench.plugins.localization.single_pose import Joints, PoseConfig, SinglePose, joints_of


@dataclass(frozen=True)
class Config(PoseConfig):
    """Hyperparameters, with the paper's values in brackets where small images want others.

    channels: of each transposed convolution.
    sigma: of the Gaussians, in locations.
    """

    channels: tuple[int, ...] = (64, 64)  # [256, 256, 256]
    sigma: float = 1.0  # [2, of 64x48]


class PoseHeatmaps(SinglePose):
    def __init__(self, joints: int, classes: int, config: Config) -> None:
        super().__init__(joints, classes, config)
        layers: list[nn.Module] = []
        before = self.backbone.channels[-1]
        for channels in config.channels:
            enlarge = UpConvolution(before, channels, 4, stride=2, padding=1, bias=False)
            layers += [enlarge, nn.BatchNorm2d(channels), nn.ReLU()]
            before = channels
        output = nn.Conv2d(before, joints, 1)
        nn.init.normal_(output.weight, std=0.001)  # the paper's code
        nn.init.zeros_(output.bias)
        self.head = nn.Sequential(*layers, output)

    @property
    def feature_layer(self) -> nn.Module:
        return self.head[-2]

    def presence(self, output: Tensor) -> Tensor:
        return output.amax((2, 3))

    def decode(self, output: Tensor) -> Joints:
        return find_peaks(output.float())

    def errors(self, output: Tensor, true: Joints) -> dict[str, Tensor]:
        """Squared differences, summed over a map, per joint."""
        difference = output.float() - gaussians(true, output.shape[-1], self.config.sigma)
        return {"heat": difference.square().sum((2, 3)).mean()}


def gaussians(true: Joints, side: int, sigma: float) -> Tensor:
    """Maps [B, J, side, side]: 1 at the joint, wherever between two locations' centres; zeros where it isn't there."""
    centres = torch.arange(side, device=true.places.device) + 0.5
    distance = (centres - true.places[..., None] * side) ** 2  # [B, J, 2, side], of columns and rows
    columns, rows = (-distance / (2 * sigma**2)).exp().unbind(2)
    return rows[..., None] * columns[..., None, :] * true.scores[..., None, None]


def find_peaks(maps: Tensor) -> Joints:
    """Of each map [B, J, h, w] the highest location, moved by a quarter of one towards its higher neighbour in x and in
    y (the paper's code), and its height, cut to [0, 1].
    """
    height, width = maps.shape[2:]
    scores, index = maps.flatten(2).max(2)
    row, column = index // width, index % width

    def shift(place: Tensor, step: int, at: Tensor, count: int) -> Tensor:
        """place, moved along an axis of `count` locations; at its ends, where a neighbour is lacking, not at all."""
        inside = (at > 0) & (at < count - 1)
        low, high = ((index + sign * step * inside)[..., None] for sign in (-1, 1))
        flat = maps.flatten(2)
        return place + 0.25 * (flat.gather(2, high) - flat.gather(2, low))[..., 0].sign()

    x, y = shift(column + 0.5, 1, column, width), shift(row + 0.5, width, row, height)
    return Joints(torch.stack([x / width, y / height], -1), scores.clamp(0, 1))


def build(info: DatasetInfo, config: Mapping[str, Any]) -> PoseHeatmaps:
    return PoseHeatmaps(joints_of(info), len(info.classes), Config(**config))
