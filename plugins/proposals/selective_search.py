"""Selective search (Uijlings et al. 2013, IJCV 104): regions of an over-segmentation, merged step by step.

Felzenszwalb and Huttenlocher's segmentation gives small regions; the two most similar neighbours become one, until one
region is left. The box of every region on the way is a proposal. Several colour spaces, sizes of the first regions and
ideas of similarity make several hierarchies, so that what one misses another finds.

A merge costs what the new region's neighbours cost, not what all pairs do: a heap holds the pairs, and those of regions
that are gone are passed over when they come up. So that no image takes forever (the ground between many dots is a
neighbour of each), larger ones than `long_side` are searched at that size, and merging begins with `regions` at most.
"""

import heapq
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
import torch
import torch.nn.functional as F
from scipy.ndimage import find_objects, gaussian_filter
from skimage.color import rgb2hsv, rgb2lab
from skimage.segmentation import felzenszwalb
from torch import Tensor

from roibench import ops
from roibench.dataset import DatasetInfo
from roibench.model import stage
from roibench.nn.box_coder import clip_boxes
from roibench.structures import Input, Prediction

Floats = npt.NDArray[np.float32]
Integers = npt.NDArray[np.int64]

COLOUR_BINS = 25  # per channel
TEXTURE_BINS = 10  # per channel and direction
DIRECTIONS = np.arange(4) * np.pi / 4  # of Gaussian derivatives, whose positive and negative parts count on their own
TEXTURE_SIGMA = 1.0
DERIVATIVE = 0.4  # of a step of 1, the largest that a Gaussian derivative of this sigma gives


def hsv(rgb: Floats) -> Floats:
    return rgb2hsv(rgb)


def lab(rgb: Floats) -> Floats:
    return rgb2lab(rgb) / (100, 255, 255) + (0, 0.5, 0.5)


def rgi(rgb: Floats) -> Floats:
    """Normalised red and green, and intensity."""
    total = rgb.sum(2, keepdims=True)
    return np.concatenate([rgb[..., :2] / np.maximum(total, 1e-6), total / 3], 2)


def hue(rgb: Floats) -> Floats:
    return rgb2hsv(rgb)[..., :1]


def intensity(rgb: Floats) -> Floats:
    return rgb.mean(2, keepdims=True)


# RGB [H, W, 3] -> [H, W, channels], all in [0, 1].
COLOUR_SPACES: Mapping[str, Callable[[Floats], Floats]] = {
    "hsv": hsv,
    "lab": lab,
    "rgi": rgi,
    "hue": hue,
    "intensity": intensity,
}


@dataclass(frozen=True)
class Config:
    """The paper's "fast" (section 5.3); values that small images want otherwise with the paper's in brackets."""

    colour_spaces: tuple[str, ...] = ("hsv", "lab")
    scales: tuple[float, ...] = (50, 100)  # k of the segmentation
    similarities: tuple[str, ...] = ("CTSF", "TSF")  # sums of colour, texture, size, fill
    sigma: float = 0.8  # of the segmentation's smoothing
    regions: int = 800  # that merging begins with, at most: each has this share of the pixels at least [k pixels]
    long_side: int = 500  # of the image that is searched, at most
    duplicate_iou: float = 0.75  # boxes that overlap a better one by more are left out
    proposals: int = 2000  # per image
    seed: int = 0  # of the ranking's random numbers


class Regions(NamedTuple):
    """What is known of N regions.

    sizes: pixels [N].
    boxes: int64 xyxy [N, 4].
    colour, texture: histograms [N, bins], each of sum 1.
    """

    sizes: Integers
    boxes: Integers
    colour: Floats
    texture: Floats


class SelectiveSearch:
    version = 1  # counts what changes the boxes of an image
    stages = ("preprocess", "segment", "describe", "merge", "rank")

    def __init__(self, config: Config) -> None:
        self.config = config

    def predict(self, inputs: Sequence[Input]) -> list[Prediction]:
        return [self.propose(one.image.cpu()) for one in inputs]

    def fit(self, data: object, trainer: object) -> None:
        raise TypeError("SelectiveSearch learns nothing")

    def state_dict(self) -> dict[str, Tensor]:
        return {}

    def load_state_dict(self, state: Mapping[str, Tensor]) -> None:
        """There is nothing to load."""

    def propose(self, image: Tensor) -> Prediction:
        """uint8 [3, H, W] -> boxes and scores, best first."""
        config = self.config
        with stage("preprocess"):
            rgb = shrink(image, config.long_side)
        hierarchies = []
        for space in config.colour_spaces:
            with stage("preprocess"):
                channels = COLOUR_SPACES[space](rgb).astype(np.float32)
            with stage("describe"):
                bins = Bins.of(channels)
            for scale in config.scales:
                with stage("segment"):
                    labels = segment(channels, scale, config.sigma, config.regions)
                with stage("describe"):
                    regions, pairs = describe(labels, bins), adjacent(labels)
                with stage("merge"):
                    hierarchies += [merge(regions, pairs, terms) for terms in config.similarities]
        with stage("rank"):
            return self.rank(hierarchies, rgb.shape[:2], image.shape[1:])

    def rank(self, hierarchies: Sequence[Integers], searched: tuple[int, int], size: tuple[int, int]) -> Prediction:
        """Section 4.4: a region's place in its hierarchy, from the top, times a random number; the lower, the better.

        hierarchies: boxes in the order of merging, the whole image last. searched, size: (height, width) of the image
        that they lie in and of the one as given.
        """
        config = self.config
        random = np.random.default_rng(config.seed)
        values = np.concatenate([np.arange(len(boxes), 0, -1) * random.random(len(boxes)) for boxes in hierarchies])
        (height, width), (rows, columns) = size, searched
        factors = torch.tensor([width / columns, height / rows] * 2)
        boxes = clip_boxes(torch.from_numpy(np.concatenate(hierarchies)).float() * factors, size)
        scores = torch.from_numpy(1 / (1 + values)).float()
        keep = ops.nms(boxes, scores, config.duplicate_iou)[: config.proposals]
        return Prediction(boxes=boxes[keep], scores=scores[keep])


def shrink(image: Tensor, long_side: int) -> Floats:
    """uint8 [3, H, W] -> [h, w, 3] in [0, 1], at most `long_side` long."""
    height, width = image.shape[1:]
    factor = long_side / max(height, width)
    if factor < 1:
        size = max(1, round(height * factor)), max(1, round(width * factor))
        image = F.interpolate(image[None], size, mode="bilinear", antialias=True)[0]
    return image.permute(1, 2, 0).numpy().astype(np.float32) / 255


def segment(channels: Floats, scale: float, sigma: float, regions: int) -> Integers:
    """[H, W, C] -> labels [H, W] from 0, of at most `regions` regions."""
    min_size = math.ceil(channels.shape[0] * channels.shape[1] / regions)
    return felzenszwalb(channels, scale, sigma, min_size, channel_axis=-1)


class Bins(NamedTuple):
    """In which bin of its histogram each pixel is: [H * W, histograms] each, counted on from histogram to histogram."""

    colour: Integers
    texture: Integers

    @classmethod
    def of(cls, channels: Floats) -> "Bins":
        """Channels [H, W, C] in [0, 1]."""
        dx, dy = (gaussian_filter(channels, TEXTURE_SIGMA, order, axes=(0, 1)) for order in ((0, 1), (1, 0)))
        along = np.stack([np.cos(angle) * dx + np.sin(angle) * dy for angle in DIRECTIONS], -1) / DERIVATIVE
        texture = np.concatenate([along, -along], -1)
        return cls(_bins(channels, COLOUR_BINS), _bins(texture, TEXTURE_BINS))


def _bins(values: Floats, bins: int) -> Integers:
    """[H, W, ...] -> [H * W, histograms]."""
    flat = values.reshape(values.shape[0] * values.shape[1], -1)
    return (flat * bins).astype(np.int64).clip(0, bins - 1) + np.arange(flat.shape[1]) * bins


def describe(labels: Integers, bins: Bins) -> Regions:
    flat = labels.ravel()
    sizes = np.bincount(flat)
    return Regions(
        sizes,
        _boxes(labels),
        _histograms(flat, sizes, bins.colour, COLOUR_BINS),
        _histograms(flat, sizes, bins.texture, TEXTURE_BINS),
    )


def _boxes(labels: Integers) -> Integers:
    slices = find_objects(labels + 1)
    return np.array([(x.start, y.start, x.stop, y.stop) for y, x in slices], np.int64)


def _histograms(flat: Integers, sizes: Integers, bins: Integers, each: int) -> Floats:
    """Counts of all histograms of a region, divided by their sum."""
    width = bins.shape[1] * each
    counts = np.bincount((flat[:, None] * width + bins).ravel(), minlength=len(sizes) * width)
    return (counts.reshape(-1, width) / (sizes[:, None] * bins.shape[1])).astype(np.float32)


def adjacent(labels: Integers) -> Integers:
    """Pairs [M, 2] of regions that touch, each once."""
    count = int(labels.max()) + 1
    touching = [(labels[:, :-1], labels[:, 1:]), (labels[:-1], labels[1:])]
    pairs = np.concatenate([np.stack([one.ravel(), other.ravel()], 1) for one, other in touching])
    pairs = np.sort(pairs[pairs[:, 0] != pairs[:, 1]], axis=1)
    return np.stack(np.divmod(np.unique(pairs[:, 0] * count + pairs[:, 1]), count), 1)


def merge(regions: Regions, pairs: Integers, terms: str) -> Integers:
    """Merges the most similar neighbours until none are left: boxes [2N - 1, 4] of all regions, in order of merging.

    pairs: regions that touch. terms: of the similarity (section 4.2), some of C, T, S and F.
    """
    nodes = Nodes(regions, terms)
    heap = [(-s, *pair) for s, pair in zip(nodes.similarity(*pairs.T).tolist(), pairs.tolist(), strict=True)]
    heapq.heapify(heap)
    neighbours: dict[int, set[int]] = {node: set() for node in range(len(regions.sizes))}
    for one, other in pairs.tolist():
        neighbours[one].add(other)
        neighbours[other].add(one)
    while heap:
        _, one, other = heapq.heappop(heap)
        if one not in neighbours or other not in neighbours:
            continue  # one of them is part of a larger region by now
        new = nodes.join(one, other)
        around = sorted((neighbours.pop(one) | neighbours.pop(other)) - {one, other})
        for node in around:
            neighbours[node] -= {one, other}
            neighbours[node].add(new)
        neighbours[new] = set(around)
        if around:
            for s, node in zip(nodes.similarity(np.array(around), new).tolist(), around, strict=True):
                heapq.heappush(heap, (-s, node, new))
    return nodes.boxes[: nodes.count]


class Nodes:
    """Regions and what they merge into, 2N - 1 in all, with the sum of similarities that they are compared by."""

    def __init__(self, regions: Regions, terms: str) -> None:
        self.count = len(regions.sizes)
        self.pixels = float(regions.sizes.sum())
        self.by_size, self.by_fill = ("S" in terms), ("F" in terms)
        histograms = [one for term, one in zip("CT", (regions.colour, regions.texture), strict=True) if term in terms]
        self.sizes = self._all(regions.sizes)
        self.boxes = self._all(regions.boxes)
        self.histograms = self._all(np.concatenate(histograms, 1)) if histograms else None

    def _all(self, values: npt.NDArray[Any]) -> npt.NDArray[Any]:
        return np.concatenate([values, np.empty_like(values[1:])])

    def join(self, one: int, other: int) -> int:
        """The region that two become."""
        new, parts = self.count, [one, other]
        sizes = self.sizes[parts]
        self.sizes[new] = sizes.sum()
        self.boxes[new] = _enclosing(self.boxes[one], self.boxes[other])
        if self.histograms is not None:
            self.histograms[new] = (sizes / self.sizes[new]) @ self.histograms[parts]
        self.count += 1
        return new

    def similarity(self, one: Integers, other: Integers | int) -> Floats:
        """Equations 1 to 5, of indices that broadcast."""
        together = self.sizes[one] + self.sizes[other]
        total = np.zeros(together.shape)
        if self.histograms is not None:
            total += np.minimum(self.histograms[one], self.histograms[other]).sum(-1)
        if self.by_size:
            total += 1 - together / self.pixels
        if self.by_fill:
            box = _enclosing(self.boxes[one], self.boxes[other])
            area = (box[..., 2] - box[..., 0]) * (box[..., 3] - box[..., 1])
            total += 1 - (area - together) / self.pixels
        return total


def _enclosing(one: Integers, other: Integers) -> Integers:
    """xyxy boxes [..., 4] around both."""
    return np.concatenate([np.minimum(one[..., :2], other[..., :2]), np.maximum(one[..., 2:], other[..., 2:])], axis=-1)


def build(info: DatasetInfo, config: Mapping[str, Any]) -> SelectiveSearch:
    return SelectiveSearch(Config(**config))
