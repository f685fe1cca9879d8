"""Dense captioning (Johnson et al. 2016, arXiv 1511.07571): regions of an image, and a sentence for each.

Faster R-CNN with one class, which is "worth a sentence", finds the regions. A recurrent language model describes each
from its features, as in the paper, and from what the paper lacks: its place in the image, and its surroundings, without
which it couldn't tell what a region is left of; and of both their pixels, coarsely, since a network that began as a
classifier of shapes has forgotten colours. All of it learns together, by five losses.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import Tensor, nn

from roibench import ops
from roibench.dataset import DatasetInfo
from roibench.model import listening, stage
from roibench.nn.images import ImageBatch
from roibench.nn.pyramid import PyramidRoIAlign
from roibench.nn.targets import batch_boxes
from roibench.nn.transformer import Attention
from roibench.plugins.two_stage import faster_rcnn
from roibench.plugins.two_stage.faster_rcnn import FasterRCNN, strongest
from roibench.plugins.two_stage.language import LanguageModel
from roibench.structures import Input, Prediction, Target
from roibench.words import words_of

_PLACE = 6  # numbers that say where a region is
_COLOURS = 3


@dataclass(frozen=True)
class Config(faster_rcnn.Config):
    """Hyperparameters, with the paper's values in brackets where small images want others. Lengths are pixels."""

    channels: int = 56
    roi_size: int = 6  # [7]

    nearby: float = 3.0  # side of a region's surroundings, in sides of the region
    nearby_size: int = 6  # as a grid, nearby_size x nearby_size
    around_size: int = 8  # and of a square as large as the image, around the region's centre
    thumbnail: int = 4  # side of the region's own pixels, shrunk
    heads: int = 4  # of the attention to surroundings

    code: int = 64  # of a region, for the language model [4096]
    embedding: int = 64  # of a word [512]
    language_hidden: int = 128  # [512]
    beam: int = 1
    most_words: int = 20  # of a sentence


class Context(nn.Module):
    """What the language model gets to know of a region: its features, pixels, place, and what it attends to around.

    Surroundings are grids that move with the region: what lies to its left is always in the same part of them.
    """

    def __init__(self, config: Config) -> None:
        super().__init__()
        self.nearby, sizes = config.nearby, (config.nearby_size, config.around_size)
        self.thumbnail = config.thumbnail
        self.roi_aligns = nn.ModuleList(PyramidRoIAlign(size, config.strides) for size in sizes)
        self.position = nn.Parameter(torch.randn(sum(size**2 for size in sizes), config.channels))
        self.surroundings = nn.Linear(config.channels + _COLOURS, config.channels)
        region = config.hidden + _PLACE + _COLOURS * config.thumbnail**2
        self.query = nn.Linear(region, config.channels)
        self.attention = Attention(config.channels, config.heads)
        self.code = nn.Sequential(
            nn.Linear(region + config.channels, config.code), nn.LayerNorm(config.code), nn.ReLU()
        )

    def forward(
        self, features: Tensor, pyramid: Sequence[Tensor], boxes: Sequence[Tensor], batch: ImageBatch
    ) -> Tensor:
        """Features [sum K_i, hidden] of boxes [K_i, 4] per image, in pixels of the batch -> codes [sum K_i, code]."""
        sized = list(zip(boxes, batch.sizes, strict=True))
        place = torch.cat([_place(one, size) for one, size in sized])
        region = torch.cat([features, place, _shrunk(batch, boxes, self.thumbnail).flatten(1)], 1)
        windows = zip(*(self._windows(one, max(size)) for one, size in sized), strict=True)
        grids = [
            torch.cat([align(pyramid, one), _shrunk(batch, one, align.output_size)], 1).flatten(2)
            for align, one in zip(self.roi_aligns, windows, strict=True)
        ]
        surroundings = self.surroundings(torch.cat(grids, 2).transpose(1, 2)) + self.position
        attended = self.attention(self.query(region)[:, None], surroundings, surroundings)[:, 0]
        return self.code(torch.cat([region, attended], 1))

    def _windows(self, boxes: Tensor, side: int) -> tuple[Tensor, Tensor]:
        """Boxes around each box [K, 4]: nearby, and all around; side: the image's longer one."""
        centre, half = (boxes[:, :2] + boxes[:, 2:]) / 2, (boxes[:, 2:] - boxes[:, :2]) / 2
        reaches = self.nearby * half, torch.full_like(half, side / 2)
        return tuple(torch.cat([centre - reach, centre + reach], 1) for reach in reaches)


def _shrunk(batch: ImageBatch, boxes: Sequence[Tensor], size: int) -> Tensor:
    """The pixels in boxes [K_i, 4] per image, sampled over a grid: [sum K_i, 3, size, size]."""
    return ops.roi_align(batch.pixels, list(boxes), size, sampling_ratio=2, aligned=True)


def _place(boxes: Tensor, size: tuple[int, int]) -> Tensor:
    """[K, 6] of boxes [K, 4]: corners relative to the image, and logarithms of the sides relative to its longer one."""
    height, width = size
    sides = (boxes[:, 2:] - boxes[:, :2]).clamp(min=1) / max(size)
    return torch.cat([boxes / boxes.new_tensor((width, height, width, height)), sides.log()], 1)


class DenseCaptioning(FasterRCNN):
    config: Config

    def __init__(self, words: Sequence[str], names: Sequence[str], config: Config) -> None:
        """names: the last words of the classes' names."""
        super().__init__(1, config)
        self.names = names
        self.stages = (*self.stages, "language")
        self.context = Context(config)
        self.language = LanguageModel(words, config.code, config.embedding, config.language_hidden)

    @torch.inference_mode()
    def predict(self, inputs: Sequence[Input]) -> list[Prediction]:
        with stage("preprocess"):
            batch = self.batch(inputs)
        pyramid, found = self.find(batch)
        with stage("language"):
            _, codes = self._codes(batch, pyramid, found)
            sentences = iter(self.language.describe(codes, self.config.beam, self.config.most_words))
            return [
                Prediction(boxes=one.boxes, scores=one.scores, captions=tuple(next(sentences) for _ in one.boxes))
                for one in found
            ]

    def class_scores(self, batch: ImageBatch) -> Tensor:
        """[B, classes]: of the word that names a class, the highest log-probability anywhere in what is said of any
        region, given the words before it. A class of several words is named by the last.
        """
        with listening(None):
            pyramid, found = self.find(batch)
            boxes, codes = self._codes(batch, pyramid, found)
            said, _ = self.language.search(codes.detach(), beam=1, most_words=self.config.most_words)
            words = self.language.log_probabilities(codes, said)
        return strongest(words.amax(1)[:, self.language.ids(self.names)], boxes)

    def _codes(
        self, batch: ImageBatch, pyramid: Sequence[Tensor], found: Sequence[Prediction]
    ) -> tuple[list[Tensor], Tensor]:
        """Of the boxes that were found: the boxes [K_i, 4] of each image, in pixels of the batch, and their codes."""
        boxes = [batch.to_batch(index, one.boxes.detach().to(self.device)) for index, one in enumerate(found)]
        features = self.box_head.hidden(self.pool(pyramid, boxes))
        return boxes, self.context(features, pyramid, boxes, batch)

    def losses(self, inputs: Sequence[Input], targets: Sequence[Target]) -> dict[str, Tensor]:
        """Faster R-CNN's four, and the language model's, of the regions that show an object."""
        one_class = [replace(one, labels=torch.zeros(len(one.boxes), dtype=torch.int64)) for one in targets]
        batch = self.batch(inputs)
        losses, learned = self.learn(batch, batch_boxes(batch, one_class))
        features = learned.features[learned.regions.classes > 0]
        codes = self.context(features, learned.pyramid, learned.regions.positive, batch)
        sentences = [
            target.captions[index]
            for target, objects in zip(targets, learned.regions.objects, strict=True)
            for index in objects.tolist()
        ]
        return losses | {"language": self.language.loss(codes, sentences)}


def build(info: DatasetInfo, config: Mapping[str, Any]) -> DenseCaptioning:
    words = dict.fromkeys(word for entry in info.vocabulary for word in words_of(entry))
    names = [words_of(name)[-1] for name in info.classes]
    return DenseCaptioning(tuple(words), names, Config(**config))
