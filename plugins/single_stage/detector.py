"""What single-stage detectors share: the backbone that they begin with, their batch, and how they end."""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from roibench import ops
from roibench.model import TrainableModel
from roibench.nn.backbones import BackboneConfig, build_backbone
from roibench.nn.images import ImageBatch, batch_images
from roibench.structures import Input, Prediction
from roibench.tasks.objects import MAX_DETECTIONS, SCORE_THRESHOLD


@dataclass(frozen=True)
class DetectorConfig(BackboneConfig):
    """Lengths are pixels.

    short_side: images are resized to it; None leaves them as they are.
    long_side: what the longer side may be at most.
    nms_iou: of one class, a box is suppressed that overlaps a better one by more.
    """

    short_side: int | None = None
    long_side: int = 1333
    nms_iou: float = 0.5
    score_threshold: float = SCORE_THRESHOLD
    max_detections: int = MAX_DETECTIONS


class SingleStageDetector(TrainableModel):
    """divisor: the batch's height and width are multiples of it, in pixels: the coarsest stride."""

    def __init__(self, config: DetectorConfig) -> None:
        super().__init__()
        self.config = config
        self.backbone = build_backbone(config)
        self.divisor = self.backbone.strides[-1]

    def batch(self, inputs: Sequence[Input]) -> ImageBatch:
        config = self.config
        return batch_images(inputs, self.device, config.short_side, config.long_side, self.divisor)

    def suppress(self, boxes: Tensor, scores: Tensor, labels: Tensor) -> Prediction:
        """Candidates of an image, in its own pixels: boxes [N, 4], scores and labels [N] -> what suppression leaves."""
        keep = ops.batched_nms(boxes, scores, labels, self.config.nms_iou)[: self.config.max_detections]
        return Prediction(boxes=boxes[keep].cpu(), scores=scores[keep].cpu(), labels=labels[keep].cpu())


def candidates(scores: Tensor, threshold: float, most: int) -> tuple[Tensor, Tensor, Tensor]:
    """Scores [N, C] -> the best of those above the threshold, best first: score, row and class of each, [at most M]."""
    row, label = torch.where(scores > threshold)
    score, order = scores[row, label].topk(min(most, len(row)))
    return score, row[order], label[order]
