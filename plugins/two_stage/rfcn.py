"""R-FCN (Dai et al. 2016, arXiv 1605.06409): all layers that learn run once per image, none of them per region.

Each class has a map per part of an object (top left, ..., bottom right), and so has the box. Each part of a proposal is
looked up where it should be; the mean over the parts is the proposal's score, and refines its box.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch.nn.functional as F
from torch import Tensor, nn

from roibench import ops
from roibench.dataset import DatasetInfo
from roibench.model import stage
from roibench.plugins.two_stage.faster_rcnn import Classified, ProposingConfig, ProposingDetector


@dataclass(frozen=True)
class Config(ProposingConfig):
    """Hyperparameters, with the paper's values in brackets where small images want others.

    hidden: channels of the layers before the score maps [1024].
    parts: k. 7 gain the paper a point, but an object of 20 px covers few locations, and maps cost k * k.
    """

    hidden: int = 96
    parts: int = 3  # [7]


class ScoreMaps(nn.Module):
    """Position-sensitive maps of C + 1 class logits, then of 4 box deltas that all classes share: k * k of each.

    They have twice the resolution of the map that they are made of. Pooling rounds boxes to locations, which in the
    paper are small beside its objects: 16 px in images of 600.
    """

    scale = 2  # from the map's locations to theirs

    def __init__(self, channels: int, config: Config, classes: int) -> None:
        super().__init__()
        self.hidden = nn.Sequential(_layer(channels, config.hidden), _layer(config.hidden, config.hidden))
        self.maps = nn.Conv2d(config.hidden, (classes + 1 + 4) * config.parts**2, 1)
        nn.init.normal_(self.maps.weight, std=0.01)
        nn.init.zeros_(self.maps.bias)

    def forward(self, feature: Tensor) -> Tensor:
        """[B, channels, h, w] -> [B, (C + 5) * k * k, 2 h + 2, 2 w + 2]: pooling doesn't see the last locations."""
        maps = self.maps(F.pad(self.hidden(feature), (0, 1, 0, 1), mode="replicate"))
        return F.interpolate(maps.float(), scale_factor=self.scale, mode="bilinear")


class RFCN(ProposingDetector):
    stages = ("preprocess", "backbone", "rpn", "proposals", "score_maps", "ps_roi_pool", "postprocess")

    def __init__(self, classes: int, config: Config) -> None:
        super().__init__(config)
        self.classes = classes
        self.score_maps = ScoreMaps(config.channels, config, classes)

    @property
    def feature_layer(self) -> nn.Module:
        return self.score_maps.hidden

    def second_stage(self, pyramid: Sequence[Tensor], boxes: Sequence[Tensor]) -> Classified:
        with stage("score_maps"):
            maps = self.score_maps(pyramid[0])
        with stage("ps_roi_pool"):
            parts = ops.ps_roi_pool(maps, boxes, self.config.parts, ScoreMaps.scale / self.config.strides[0])
            logits, deltas = parts.mean((2, 3)).split((self.classes + 1, 4), dim=1)
            return Classified(logits, deltas[:, None].expand(-1, self.classes, -1))


def _layer(in_channels: int, channels: int) -> nn.Sequential:
    conv = nn.Conv2d(in_channels, channels, 3, padding=1, bias=False)
    nn.init.kaiming_normal_(conv.weight, mode="fan_out", nonlinearity="relu")
    return nn.Sequential(conv, nn.BatchNorm2d(channels), nn.ReLU())


def build(info: DatasetInfo, config: Mapping[str, Any]) -> RFCN:
    return RFCN(len(info.classes), Config(**config))
