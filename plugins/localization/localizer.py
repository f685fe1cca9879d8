"""Classification + localization: what the image is about, by softmax, and where that is, by four numbers of regression.

One network with two heads, and one loss for both (Sermanet et al. 2014, arXiv 1312.6229, who regress boxes by the
convolutions of a classifier; Simonyan and Zisserman 2015, arXiv 1409.1556, appendix A, compare a box per class with one
for all). The class is the mean over the last maps, as in the classifier on which this one is built; a mean knows no
place, so that the box is read off all of the maps.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import torch
import torch.nn.functional as F
from torch import Tensor
from torchvision.ops import box_convert

from roibench import ops
from roibench.dataset import DatasetInfo
from roibench.model import stage
from roibench.nn.images import ImageBatch
from roibench.nn.regression import MapRegressor
from roibench.plugins.classification import pooled_classifier
from roibench.structures import Input, Prediction, Target

BoxLoss = Literal["l2", "l1", "smooth_l1", "giou"]
_NO_OBJECT = -100  # the class of an image without a main object, from which nothing is learned


@dataclass(frozen=True)
class Config(pooled_classifier.Config):
    """reduced: channels of the last maps that the box is read off.

    hidden: width of the layer between them and the box.
    per_class: a box per class, of which the predicted class's counts, instead of one for all.
    box_loss: of the four numbers; GIoU's is 1 - GIoU.
    box_weight: of the box loss, where the class loss has 1.
    beta: where smooth L1 turns from squared to linear, as a fraction of the image's longer side.
    """

    reduced: int = 32
    hidden: int = 256
    per_class: bool = False
    box_loss: BoxLoss = "l1"
    box_weight: float = 5.0
    beta: float = 0.05


class Localizer(pooled_classifier.PooledClassifier):
    stages = ("preprocess", "backbone", "head")
    networks = ("weighted_maps", "logits", "box_head")

    def __init__(self, classes: int, config: Config) -> None:
        super().__init__(classes, config)
        if config.box_loss not in BoxLoss.__args__:
            raise ValueError(f"box_loss {config.box_loss!r}: want {', '.join(BoxLoss.__args__)}")
        self.config = config
        side = config.image_size // self.stride
        count = classes if config.per_class else 1
        self.box_head = MapRegressor(self.backbone.channels[-1], side, config.reduced, config.hidden, 4 * count)

    @torch.inference_mode()
    def predict(self, inputs: Sequence[Input]) -> list[Prediction]:
        with stage("preprocess"):
            batch = self.batch(inputs)
        with stage("backbone"):
            features = self.features(batch)
        with stage("head"):
            return self.localize(features, batch)

    def losses(self, inputs: Sequence[Input], targets: Sequence[Target]) -> dict[str, Tensor]:
        batch = self.batch(inputs)
        return self.errors(self.features(batch), *main_objects(batch, targets))

    def errors(self, features: Tensor, labels: Tensor, true_boxes: Tensor) -> dict[str, Tensor]:
        """Losses of the last maps, per image that has a main object; labels and boxes as main_objects gives them."""
        there = torch.where(labels != _NO_OBJECT)[0]
        count = max(1, len(there))
        class_error = F.cross_entropy(self.logits(features), labels, ignore_index=_NO_OBJECT, reduction="sum")
        box_error = self.box_error(self.boxes(features, labels)[there], true_boxes[there])
        return {"class": class_error / count, "box": self.config.box_weight * box_error / count}

    def box_error(self, boxes: Tensor, true_boxes: Tensor) -> Tensor:
        """The box loss, summed over boxes [N, 4] and their numbers."""
        match self.config.box_loss:
            case "l2":
                return F.mse_loss(boxes, true_boxes, reduction="sum")
            case "l1":
                return F.l1_loss(boxes, true_boxes, reduction="sum")
            case "smooth_l1":
                return F.smooth_l1_loss(boxes, true_boxes, reduction="sum", beta=self.config.beta)
            case "giou":
                return (1 - ops.box_iou(boxes, true_boxes, kind="giou", elementwise=True)).sum()

    def boxes(self, features: Tensor, labels: Tensor) -> Tensor:
        """The box of each image for its class, int64 [B]: xyxy [B, 4] in units of the square that the network sees.

        Centre and size are what is regressed, each between 0 and 1, so that every box is one.
        """
        numbers = self.box_head(features).unflatten(1, (-1, 4))
        chosen = labels.clamp(min=0) if self.config.per_class else torch.zeros_like(labels)
        numbers = numbers[torch.arange(len(labels), device=labels.device), chosen]
        return box_convert(numbers.sigmoid(), "cxcywh", "xyxy")

    def localize(self, features: Tensor, batch: ImageBatch) -> list[Prediction]:
        probabilities = self.logits(features).softmax(1)
        scores, labels = probabilities.max(1)
        boxes = self.config.image_size * self.boxes(features, labels)
        return [
            Prediction(
                boxes=batch.to_image(index, boxes[index, None]).cpu(),
                labels=labels[index, None].cpu(),
                scores=scores[index, None].cpu(),
                class_scores=probabilities[index].cpu(),
            )
            for index in range(len(labels))
        ]


def main_objects(batch: ImageBatch, targets: Sequence[Target]) -> tuple[Tensor, Tensor]:
    """Each image's main object: class int64 [B], and box [B, 4] in units of the square batch's side."""
    device, side = batch.pixels.device, batch.pixels.shape[-1]
    labels = torch.full((len(targets),), _NO_OBJECT, device=device)
    boxes = torch.zeros(len(targets), 4, device=device)
    for index, target in enumerate(targets):
        if target.main is not None:
            labels[index] = target.labels[target.main]
            boxes[index] = batch.to_batch(index, target.boxes[target.main].to(device)) / side
    return labels, boxes


def build(info: DatasetInfo, config: Mapping[str, Any]) -> Localizer:
    return Localizer(len(info.classes), Config(**config))
