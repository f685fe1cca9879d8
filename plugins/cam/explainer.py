"""What an explanation asks of a model, and the base class of what gives one."""

from collections.abc import Sequence
from typing import Protocol

from torch import Tensor, nn

from roibench.model import Wrapper
from roibench.nn.images import ImageBatch
from roibench.structures import Input


class Explainable(Protocol):
    """A network whose scores can be traced back to a map.

    feature_layer: the submodule whose output [B, D, h, w], locations on a regular grid over the batch, is looked at:
        the last maps before the scores. One that is called for each level of a pyramid has an output per level.
    batch: inputs -> what the network sees of them.
    class_scores: [B, classes], before softmax or sigmoid: how much speaks for each class in each image. Differentiable
        with respect to the outputs of feature_layer, which every call computes once.
    """

    @property
    def feature_layer(self) -> nn.Module: ...
    def batch(self, inputs: Sequence[Input]) -> ImageBatch: ...
    def class_scores(self, batch: ImageBatch) -> Tensor: ...


class Explainer(Wrapper):
    """A model around an Explainable one that reports what in an image speaks for a class."""

    asks = Explainable
