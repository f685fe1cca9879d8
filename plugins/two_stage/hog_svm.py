"""Histograms of oriented gradients and linear SVMs (Dalal and Triggs 2005, CVPR): a detector of before the networks.

A window slides over every level of an image pyramid. It is described by how strong the edges of each orientation are in
its cells, normalised block by block, and a linear SVM per class scores it. What the detector then finds in training
images where nothing is become negatives (hard negative mining), and it is trained again. Of windows that overlap, the
best stays.

An SVM is a template: the scores of all windows of a level are a convolution of the level's blocks with it.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import torch
import torch.nn.functional as F
from skimage.feature import hog
from torch import Tensor, nn

from roibench import ops
from roibench.dataset import Dataset, DatasetInfo
from roibench.model import Trainer, stage
from roibench.nn.box_coder import clip_boxes
from roibench.nn.matcher import BACKGROUND, match
from roibench.nn.targets import BoxTargets
from roibench.structures import Input, Prediction, Target
from roibench.tasks.objects import MAX_DETECTIONS, SCORE_THRESHOLD, counted

CELL = 8  # pixels
BLOCK = 2  # cells; a block begins at every cell
ORIENTATIONS = 9  # of 180 degrees
CHANNELS = BLOCK * BLOCK * ORIENTATIONS  # of a block
BORDER = 1  # cells around the object that belong to its window [2]
LARGEST_ASPECT = 2.0  # of a window's longer side to its shorter one


@dataclass(frozen=True)
class Config:
    """Hyperparameters, with the paper's values in brackets where small images want others."""

    upsampling: float = 2.0  # of the pyramid's first level, because many objects are smaller than a window [1]
    long_side: int = 1024  # of that level, in pixels, at most
    scale_factor: float = 1.2  # from level to level
    cells: int = 16  # that an object covers in its window [about 4 x 12]

    training_images: int = 1000  # the first ones
    positive_iou: float = 0.6  # of a window and an object that it shows
    negative_iou: float = 0.3  # of a window that shows none and any object of its class: less
    negatives: int = 5  # per class, image and round, at most [10 at random, then all]
    C: float = 0.1  # of the SVM [0.01]
    nms_iou: float = 0.3
    score_threshold: float = SCORE_THRESHOLD
    max_detections: int = MAX_DETECTIONS


class Level(NamedTuple):
    """A level of the pyramid.

    blocks: float32 [36, h, w], the histograms of the block that begins at each cell.
    scale: float32 [2], pixels of the level per pixel of the image, (y, x).
    """

    blocks: Tensor
    scale: Tensor


class Windows(NamedTuple):
    """N windows of a pyramid, each seen as showing one class.

    boxes: float32 xyxy [N, 4] of the object, in pixels of the image.
    margins: float32 [N], of the SVM.
    labels: int64 [N].
    places: int64 [N, 3], level, row and column of the first block.
    """

    boxes: Tensor
    margins: Tensor
    labels: Tensor
    places: Tensor

    def at(self, index: Tensor | slice) -> "Windows":
        return Windows(*(value[index] for value in self))


class HogSVM(nn.Module):
    """sizes: (height, width) that each class's objects have in their window, int64 [C, 2] in pixels of a level.
    weight, bias: the SVMs, as templates [C, 36, side, side] that are zero where the window ends, and [C]. A class that
    training hasn't seen has a bias of minus infinity.
    """

    stages = ("preprocess", "hog", "classify", "postprocess")

    def __init__(self, classes: int, config: Config) -> None:
        super().__init__()
        self.config = config
        side = int(_blocks(_size(config.cells, torch.tensor(LARGEST_ASPECT))).max())
        self.register_buffer("sizes", _size(config.cells, torch.ones(classes)))
        self.weight = nn.Parameter(torch.zeros(classes, CHANNELS, side, side), requires_grad=False)
        self.bias = nn.Parameter(torch.full((classes,), -math.inf), requires_grad=False)

    @torch.inference_mode()
    def predict(self, inputs: Sequence[Input]) -> list[Prediction]:
        return [self.detect(one.image) for one in inputs]

    def detect(self, image: Tensor) -> Prediction:
        """uint8 [3, H, W] -> what is found in it; the scores are the sigmoid of the margins."""
        config = self.config
        levels = self.pyramid(image)
        with stage("classify"):
            margins = [self.margins(level) for level in levels]
        with stage("postprocess"):
            least = torch.logit(torch.tensor(config.score_threshold)).item()
            found = self.best(self.windows(levels, margins, least)).at(slice(config.max_detections))
            boxes = clip_boxes(found.boxes, image.shape[1:])
            return Prediction(boxes=boxes.cpu(), scores=found.margins.sigmoid().cpu(), labels=found.labels.cpu())

    def pyramid(self, image: Tensor) -> list[Level]:
        """The levels of a uint8 image [3, H, W]: the largest, and smaller ones as long as a window fits into them."""
        config, (height, width) = self.config, image.shape[1:]
        scale = min(config.upsampling, config.long_side / max(height, width))
        levels = []
        while True:
            tall, wide = max(1, round(height * scale)), max(1, round(width * scale))
            rows, columns = (math.ceil(side / CELL) + 2 * BORDER for side in (tall, wide))
            if levels and not (_cells(self.sizes) <= self.sizes.new_tensor((rows, columns))).all(1).any():
                return levels
            with stage("preprocess"):
                pixels = F.interpolate(image[None].float(), (tall, wide), mode="bilinear", antialias=True)
                # Objects at the border have windows, too; and cells are whole.
                before = BORDER * CELL
                after = columns * CELL - before - wide, rows * CELL - before - tall
                pixels = F.pad(pixels, (before, after[0], before, after[1]), mode="replicate")[0]
            with stage("hog"):
                scales = self.weight.new_tensor((tall / height, wide / width))
                levels.append(Level(describe(pixels).to(self.weight.device), scales))
            scale /= config.scale_factor

    def margins(self, level: Level) -> Tensor:
        """[C, h, w]: of the window whose first block is at each place."""
        beyond = self.weight.shape[-1] - 1
        padded = F.pad(level.blocks, (0, beyond, 0, beyond))
        return F.conv2d(padded[None], self.weight, self.bias)[0]

    def windows(self, levels: Sequence[Level], margins: Sequence[Tensor], least: float) -> Windows:
        """Those that lie in their level and have a larger margin than `least`; margins: [C, h, w] of each level."""
        found = []
        for index, (level, margin) in enumerate(zip(levels, margins, strict=True)):
            label, row, column = torch.where(margin > least)
            place, size = torch.stack([row, column], 1), self.sizes[label]
            inside = (place + _blocks(size) <= place.new_tensor(margin.shape[1:])).all(1)
            label, place, size = label[inside], place[inside], size[inside]
            centre = (place - BORDER + _cells(size) / 2) * CELL
            low, high = (centre - size / 2) / level.scale, (centre + size / 2) / level.scale
            places = F.pad(place, (1, 0), value=index)
            found.append(Windows(torch.cat([low.flip(1), high.flip(1)], 1), margin[label, *place.T], label, places))
        return Windows(*map(torch.cat, zip(*found, strict=True)))

    def best(self, found: Windows) -> Windows:
        """Best first; those that overlap a better one of their class are suppressed."""
        return found.at(ops.batched_nms(found.boxes, found.margins, found.labels, self.config.nms_iou))

    @torch.no_grad()
    def fit(self, data: Dataset, trainer: Trainer) -> None:
        """A round per epoch. In the first, negatives are windows at random; in each later one, what is found wrongly.

        A class without objects never fires.
        """
        config, recipe = self.config, trainer.recipe
        torch.manual_seed(recipe.seed)
        images = range(min(config.training_images, len(data)))
        targets = [_boxes_of(data[index].target) for index in images]
        self.sizes.copy_(_sizes(targets, len(self.sizes), config.cells))
        self.weight.zero_()
        self.bias.fill_(-math.inf)
        positives: list[list[Tensor]] = [[] for _ in self.sizes]
        negatives: list[dict[tuple[int, ...], Tensor]] = [{} for _ in self.sizes]  # by image and place: each once
        for epoch in range(recipe.epochs):
            for index, target in zip(images, targets, strict=True):
                levels = self.pyramid(data[index].input.image)
                if epoch == 0:
                    margins = [torch.rand(len(self.sizes), *level.blocks.shape[1:]) for level in levels]
                    windows = self.windows(levels, margins, -math.inf)
                else:
                    margins = [self.margins(level) for level in levels]
                    windows = self.windows(levels, margins, -1.0)  # others have no part in the hinge loss
                matched = self.match(windows, target)
                if epoch == 0:
                    shown = windows.at(matched >= 0)
                    for label, place in zip(shown.labels.tolist(), shown.places.tolist(), strict=True):
                        positives[label].append(self.features(levels, label, place))
                wrong = self.best(windows.at(matched == BACKGROUND))
                for label, known in enumerate(negatives):
                    for place in wrong.places[wrong.labels == label][: config.negatives].tolist():
                        known[index, *place] = self.features(levels, label, place)
            for label, (shown, known) in enumerate(zip(positives, negatives, strict=True)):
                if shown and known:
                    self.separate(label, shown, list(known.values()), recipe.seed)

    def match(self, windows: Windows, target: BoxTargets) -> Tensor:
        """As roibench.nn.matcher.match, each window with objects of its class alone."""
        config = self.config
        iou = ops.box_iou(target.boxes, windows.boxes) * (target.labels[:, None] == windows.labels)
        return match(iou, config.positive_iou, config.negative_iou, keep_best=False, ignored=target.ignored)

    def features(self, levels: Sequence[Level], label: int, place: Sequence[int]) -> Tensor:
        """The blocks [36, rows, columns] of the class's window whose first is at a place: level, row, column.

        They are copied, for else they would keep the whole level.
        """
        level, row, column = place
        rows, columns = _blocks(self.sizes[label]).tolist()
        return levels[level].blocks[:, row : row + rows, column : column + columns].clone()

    def separate(self, label: int, positives: list[Tensor], negatives: list[Tensor], seed: int) -> None:
        """Trains the class's SVM."""
        from sklearn.svm import LinearSVC  # takes longer to import than all else here; predict needs none

        shown = [True] * len(positives) + [False] * len(negatives)
        svm = LinearSVC(C=self.config.C, loss="hinge", random_state=seed)
        svm.fit(torch.stack(positives + negatives).flatten(1).numpy(), shown)
        _, rows, columns = positives[0].shape
        template = torch.from_numpy(svm.coef_).reshape(CHANNELS, rows, columns)
        self.weight[label, :, :rows, :columns] = template
        self.bias[label] = svm.intercept_.item()


def describe(pixels: Tensor) -> Tensor:
    """float32 [3, H, W] -> histograms of oriented gradients [36, H / 8 - 1, W / 8 - 1], for the block at each cell."""
    blocks = hog(
        pixels.permute(1, 2, 0).cpu().numpy(),
        ORIENTATIONS,
        (CELL, CELL),
        (BLOCK, BLOCK),
        block_norm="L2-Hys",
        feature_vector=False,
        channel_axis=-1,
    )
    return torch.from_numpy(blocks).flatten(2).permute(2, 0, 1)


def build(info: DatasetInfo, config: Mapping[str, Any]) -> HogSVM:
    return HogSVM(len(info.classes), Config(**config))


def _size(cells: int, aspect: Tensor) -> Tensor:
    """Of so many cells, (height, width) [..., 2] in pixels for aspect ratios of height to width [...]."""
    return (CELL * torch.stack([(cells * aspect).sqrt(), (cells / aspect).sqrt()], -1)).round().long()


def _cells(size: Tensor) -> Tensor:
    """Rows and columns [..., 2] of the window for objects of this size."""
    return (size + CELL // 2) // CELL + 2 * BORDER


def _blocks(size: Tensor) -> Tensor:
    return _cells(size) - BLOCK + 1


def _sizes(targets: Sequence[BoxTargets], classes: int, cells: int) -> Tensor:
    """What the median aspect ratio of each class's objects makes of `cells`; a square for a class without any."""
    boxes, labels = (torch.cat([target[field] for target in targets]) for field in (0, 1))
    width, height = (boxes[:, 2:] - boxes[:, :2]).T
    aspects = [(height / width)[labels == label] for label in range(classes)]
    medians = torch.stack([one.median() if len(one) else torch.tensor(1.0) for one in aspects])
    return _size(cells, medians.clamp(1 / LARGEST_ASPECT, LARGEST_ASPECT))


def _boxes_of(target: Target) -> BoxTargets:
    return BoxTargets(target.boxes, target.labels, ~counted(target, len(target.boxes)))
