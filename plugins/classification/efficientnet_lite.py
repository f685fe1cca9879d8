"""EfficientNet-Lite0: EfficientNet-B0 (Tan and Le 2019, arXiv 1905.11946) for phones, with ReLU6 in place of swish and
without squeeze-and-excitation.
"""

from collections.abc import Mapping
from typing import NamedTuple

import torch.nn.functional as F
from torch import Tensor, nn

from roibench.nn.images import MEAN, STD

STEM, LAST = 32, 1280  # channels


class Stage(NamedTuple):
    """Inverted residuals, of which the first has the stride."""

    kernel: int
    stride: int
    expansion: int
    channels: int
    blocks: int


STAGES = (
    Stage(3, 1, 1, 16, 1),
    Stage(3, 2, 6, 24, 2),
    Stage(5, 2, 6, 40, 2),
    Stage(3, 2, 6, 80, 3),
    Stage(5, 1, 6, 112, 3),
    Stage(5, 2, 6, 192, 4),
    Stage(3, 1, 6, 320, 1),
)


class Convolution(nn.Conv2d):
    """TensorFlow's "same" padding, of maps whose sides the stride divides: where it is odd, the end has one more."""

    def forward(self, x: Tensor) -> Tensor:
        total = self.kernel_size[0] - self.stride[0]
        before, after = total // 2, total - total // 2
        return super().forward(F.pad(x, (before, after, before, after)) if total else x)


class InvertedResidual(nn.Module):
    """Expand, filter each channel, and project; added to what came in where shapes are the same."""

    def __init__(self, before: int, stage: Stage, stride: int) -> None:
        super().__init__()
        wide = before * stage.expansion
        self.layers = nn.Sequential(
            *(_normalised(before, wide) if stage.expansion > 1 else ()),
            *_normalised(wide, wide, stage.kernel, stride, groups=wide),
            *_normalised(wide, stage.channels, rectified=False),
        )
        self.adds = stride == 1 and before == stage.channels

    def forward(self, x: Tensor) -> Tensor:
        return x + self.layers(x) if self.adds else self.layers(x)


class Rescale(nn.Module):
    """From ImageNet's mean and deviation to what the weights were trained with: 127 and 128 of 255."""

    def forward(self, x: Tensor) -> Tensor:
        mean, std = (x.new_tensor(values)[:, None, None] for values in (MEAN, STD))
        return ((x * std + mean) * 255 - 127) / 128


class EfficientNetLite0(nn.Module):
    """features: normalised pixels [B, 3, H, W] -> [B, 1280, H / 32, W / 32]. classifier: of their mean [B, 1280]."""

    def __init__(self) -> None:
        super().__init__()
        parts: list[nn.Module] = [Rescale(), *_normalised(3, STEM, 3, 2)]
        before = STEM
        for stage in STAGES:
            for index in range(stage.blocks):
                parts.append(InvertedResidual(before, stage, 1 if index else stage.stride))
                before = stage.channels
        self.features = nn.Sequential(*parts, nn.Sequential(*_normalised(before, LAST)))
        self.classifier = nn.Linear(LAST, 1000)

    def load(self, state: Mapping[str, Tensor]) -> None:
        """A published file's parameters, which have other names and the same order."""
        self.load_state_dict(dict(zip(self.state_dict(), state.values(), strict=True)))


def _normalised(
    before: int, channels: int, kernel: int = 1, stride: int = 1, groups: int = 1, rectified: bool = True
) -> tuple[nn.Module, ...]:
    conv = Convolution(before, channels, kernel, stride, groups=groups, bias=False)
    norm = nn.BatchNorm2d(channels, eps=1e-3)
    return (conv, norm, nn.ReLU6()) if rectified else (conv, norm)
