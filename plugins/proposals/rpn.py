"""The region proposal network of Faster R-CNN (Ren et al. 2015, arXiv 1506.01497), alone.

It goes around the whole detector, with whose second stage it has learned, and stops after the first.
"""

from collections.abc import Mapping, Sequence
from typing import Any, Protocol

import torch
from torch import Tensor, nn

from roibench.dataset import DatasetInfo
from roibench.model import Wrapper, stage
from roibench.nn.images import ImageBatch
from roibench.structures import Input, Prediction


class TwoStage(Protocol):
    """A detector that finds regions first.

    batch: inputs -> what the network sees of them.
    first_stage: (batch, before_nms, count) -> what the regions are found in, and per image xyxy boxes [<= count, 4] in
        pixels of the batch, best first, with objectness logits. Of each level `before_nms` boxes are candidates.
    """

    def batch(self, inputs: Sequence[Input]) -> ImageBatch: ...
    def first_stage(
        self, batch: ImageBatch, before_nms: int, count: int
    ) -> tuple[list[Tensor], Sequence[tuple[Tensor, Tensor]]]: ...


class RPN(Wrapper):
    """proposals: per image, at most."""

    stages = ("preprocess", "backbone", "rpn", "proposals")
    asks = TwoStage

    def __init__(self, inner: nn.Module, proposals: int = 2000) -> None:
        super().__init__(inner)
        self.proposals = proposals

    @torch.inference_mode()
    def predict(self, inputs: Sequence[Input]) -> list[Prediction]:
        with stage("preprocess"):
            batch = self.inner.batch(inputs)
        # All that is asked for may lie on one level.
        _, proposed = self.inner.first_stage(batch, before_nms=self.proposals, count=self.proposals)
        with stage("proposals"):
            return [
                Prediction(boxes=batch.to_image(index, boxes).cpu(), scores=objectness.sigmoid().cpu())
                for index, (boxes, objectness) in enumerate(proposed)
            ]


def build(info: DatasetInfo, config: Mapping[str, Any], inner: nn.Module) -> RPN:
    return RPN(inner, **config)
