"""YOLO (Redmon et al. 2016, arXiv 1506.02640): detection as one regression from an image to one tensor.

Every location of a coarse grid predicts B boxes, each with a confidence, and once for all of them a score per class:
S x S x (5 B + C). The object whose centre lies there is learned by the box that overlaps it most, everything by squared
errors.

The paper has S = 7 on 448 px and two fully connected layers, of 200 million weights. Here the grid is the backbone's
map at stride 16, so that S = 8 on 128 px, and two convolutions take the layers' place: they learn from every object
what those learn for each location anew, and take images of any size, whose grid grows with them.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn

from roibench import ops
from roibench.dataset import DatasetInfo
from roibench.model import stage
from roibench.nn.images import ImageBatch
from roibench.nn.targets import BoxTargets, batch_boxes, ignored_locations, learned_objects
from roibench.plugins.single_stage.detector import DetectorConfig, SingleStageDetector
from roibench.structures import Input, Prediction, Target


@dataclass(frozen=True)
class Config(DetectorConfig):
    """Hyperparameters, with the paper's values in brackets where small images want others. Lengths are pixels."""

    boxes: int = 2  # B, per location
    channels: int = 128  # of the head [1024, then 4096 fully connected]
    depth: int = 2  # hidden convolutions of the head [4, then 1 fully connected layer]
    extent: float = 128.0  # what sizes are fractions of [the image's sides]
    coordinates: float = 5.0  # lambda_coord: weight of the boxes' errors
    no_object: float = 0.5  # lambda_noobj: weight of the confidence where nothing is


class Output(NamedTuple):
    """The tensor [N, S, S, 5 B + C], taken apart.

    centres: [N, S, S, B, 2], x and y from the location's upper left corner, in locations.
    roots: [N, S, S, B, 2], square roots of width and height as fractions of `extent`.
    confidence: [N, S, S, B], of an object being there, times the IoU with it.
    classes: [N, S, S, C], of an object that is there.
    """

    centres: Tensor
    roots: Tensor
    confidence: Tensor
    classes: Tensor


class Owned(NamedTuple):
    """The K objects that are learned, of a whole batch.

    index: int64 [3, K], image, row and column of the location in which each has its centre.
    boxes: xyxy [K, 4], in pixels of the batch.
    labels: int64 [K].
    """

    index: Tensor
    boxes: Tensor
    labels: Tensor


class YOLO(SingleStageDetector):
    stages = ("preprocess", "backbone", "head", "postprocess")
    networks = ("network",)

    def __init__(self, classes: int, config: Config) -> None:
        super().__init__(config)
        self.stride = self.divisor
        layers: list[nn.Module] = []
        channels = self.backbone.channels[-1]
        for _ in range(config.depth):
            conv = nn.Conv2d(channels, config.channels, 3, padding=1, bias=False)
            nn.init.kaiming_normal_(conv.weight, a=0.1, mode="fan_out")
            layers += [conv, nn.BatchNorm2d(config.channels), nn.LeakyReLU(0.1)]
            channels = config.channels
        self.head = nn.Sequential(*layers, nn.Conv2d(channels, 5 * config.boxes + classes, 1))
        nn.init.normal_(self.head[-1].weight, std=0.01)
        nn.init.zeros_(self.head[-1].bias)

    @torch.inference_mode()
    def predict(self, inputs: Sequence[Input]) -> list[Prediction]:
        with stage("preprocess"):
            batch = self.batch(inputs)
        tensor = self.network(batch.pixels)
        with stage("postprocess"):
            return self._detect(self._split(tensor), batch)

    def network(self, pixels: Tensor) -> Tensor:
        """Normalised pixels [N, 3, H, W] -> [N, 5 B + C, S, S]."""
        with stage("backbone"):
            features = self.backbone(pixels)[-1]
        with stage("head"):
            return self.head(features)

    def losses(self, inputs: Sequence[Input], targets: Sequence[Target]) -> dict[str, Tensor]:
        batch = self.batch(inputs)
        output = self._split(self.head(self.backbone(batch.pixels)[-1]))
        return self._errors(output, batch_boxes(batch, targets))

    def _split(self, tensor: Tensor) -> Output:
        """[N, 5 B + C, S, S]: x, y, width, height and confidence of each box, then the classes."""
        count = self.config.boxes
        boxes, classes = tensor.float().permute(0, 2, 3, 1).tensor_split([5 * count], dim=-1)
        boxes = boxes.unflatten(-1, (count, 5))
        return Output(boxes[..., :2], boxes[..., 2:4], boxes[..., 4], classes)

    def _boxes(self, output: Output) -> Tensor:
        """xyxy [N, S, S, B, 4], in pixels of the batch."""
        rows, columns = output.classes.shape[1:3]
        device = output.classes.device
        y, x = torch.meshgrid(torch.arange(rows, device=device), torch.arange(columns, device=device), indexing="ij")
        centre = (output.centres + torch.stack([x, y], -1)[:, :, None]) * self.stride
        half = output.roots**2 * (self.config.extent / 2)
        return torch.cat([centre - half, centre + half], dim=-1)

    def _errors(self, output: Output, objects: Sequence[BoxTargets]) -> dict[str, Tensor]:
        """Equation 3, term by term, per object of the batch."""
        config = self.config
        size = tuple(output.classes.shape[1:3])
        owned = self._owned(objects, size)
        image, row, column = owned.index
        chosen = image, row, column, self._responsible(self._boxes(output)[image, row, column].detach(), owned.boxes)
        confidence_targets = torch.zeros_like(output.confidence)
        predicted = self._boxes(output)[chosen].detach()
        confidence_targets[chosen] = ops.box_iou(predicted, owned.boxes, elementwise=True)
        idle = ~torch.stack([ignored_locations(one, self.stride, size) for one in objects])[..., None]
        idle = idle.repeat(1, 1, 1, config.boxes)
        idle[chosen] = False
        centres, roots = self._encode(owned)
        class_targets = nn.functional.one_hot(owned.labels, output.classes.shape[-1])
        confidence_errors = (output.confidence - confidence_targets) ** 2
        sums = {
            "centre": config.coordinates * ((output.centres[chosen] - centres) ** 2).sum(),
            "size": config.coordinates * ((output.roots[chosen] - roots) ** 2).sum(),
            "object": confidence_errors[chosen].sum(),
            "no_object": config.no_object * confidence_errors[idle].sum(),
            "class": ((output.classes[image, row, column] - class_targets) ** 2).sum(),
        }
        return {name: value / max(1, len(owned.labels)) for name, value in sums.items()}

    def _owned(self, objects: Sequence[BoxTargets], size: tuple[int, int]) -> Owned:
        """Of objects whose centres share a location, the first: one location tells one object."""
        image, boxes, labels = learned_objects(objects)
        rows, columns = size
        x, y = ((boxes[:, :2] + boxes[:, 2:]) / (2 * self.stride)).long().unbind(-1)
        row, column = y.clamp(0, rows - 1), x.clamp(0, columns - 1)
        location = (image * rows + row) * columns + column
        number = torch.arange(len(labels), device=labels.device)
        first = torch.full((len(objects) * rows * columns,), len(labels), device=labels.device)
        first = first.scatter_reduce(0, location, number, "amin")
        kept = first[location] == number
        return Owned(torch.stack([image, row, column])[:, kept], boxes[kept], labels[kept])

    def _encode(self, owned: Owned) -> tuple[Tensor, Tensor]:
        """What the boxes that are responsible are to predict: centres and roots, [K, 2] each."""
        low, high = owned.boxes[:, :2], owned.boxes[:, 2:]
        corner = owned.index[1:].flip(0).T  # x, y
        return (low + high) / (2 * self.stride) - corner, ((high - low) / self.config.extent).sqrt()

    def _responsible(self, predicted: Tensor, boxes: Tensor) -> Tensor:
        """Which of its location's boxes [K, B, 4] learns each object [K, 4], int64 [K].

        The one that overlaps it most; where none does, the nearest, as in the paper's code.
        """
        count = predicted.shape[1]
        iou = ops.box_iou(predicted.flatten(0, 1), boxes.repeat_interleave(count, 0), elementwise=True)
        iou = iou.unflatten(0, (-1, count))
        distance = (predicted - boxes[:, None]).square().sum(-1)
        return torch.where(iou.amax(1) > 0, iou.argmax(1), distance.argmin(1))

    def _detect(self, output: Output, batch: ImageBatch) -> list[Prediction]:
        """A box scores, for every class, the product of its confidence and the class of its location."""
        boxes = self._boxes(output).flatten(1, 3)
        scores = (output.confidence[..., None] * output.classes[..., None, :]).flatten(1, 3)
        predictions = []
        for index in range(len(batch.sizes)):
            row, label = torch.where(scores[index] > self.config.score_threshold)
            found = batch.to_image(index, boxes[index, row])
            predictions.append(self.suppress(found, scores[index, row, label], label))
        return predictions


def build(info: DatasetInfo, config: Mapping[str, Any]) -> YOLO:
    return YOLO(len(info.classes), Config(**config))
