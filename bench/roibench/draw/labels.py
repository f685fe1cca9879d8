"""Where labels go: beside what they name, inside the picture, over nothing else. Plain geometry, y up or down alike."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import ArrayLike, NDArray

Boxes = NDArray[np.float64]  # [..., 4]: x1, y1, x2, y2


def place_labels(
    anchors: ArrayLike, sizes: ArrayLike, bounds: Sequence[float], obstacles: ArrayLike = (), gap: float = 5.0
) -> Boxes:
    """Boxes [P, 4] for labels of sizes [P, 2] (width, height) that name the points anchors [P, 2].

    Each label in turn takes the place near its point that covers the least: other labels and the world outside the
    bounds (x1, y1, x2, y2) weigh most, then obstacles [Q, 4], then the distance. gap: between point and label.
    """
    anchors, sizes = np.asarray(anchors, float).reshape(-1, 2), np.asarray(sizes, float).reshape(-1, 2)
    obstacles = np.asarray(obstacles, float).reshape(-1, 4)
    placed = np.full((len(anchors), 4), np.nan)
    for i in _crowded_first(anchors):
        boxes, distance = _candidates(anchors[i], sizes[i], gap)
        taken = placed[~np.isnan(placed[:, 0])]
        inside = covered(boxes, np.asarray(bounds, float)[None])
        outside = sizes[i].prod() - inside
        cost = 100 * (covered(boxes, taken) + outside) + 2 * covered(boxes, obstacles) + distance
        placed[i] = boxes[cost.argmin()]
    return placed


def _crowded_first(anchors: Boxes) -> list[int]:
    """The points with the nearest neighbours choose first; equal ones in the order given."""
    apart = np.hypot(*(anchors[:, None] - anchors).T)
    return np.argsort(np.sort(apart, axis=1)[:, 1:4].sum(axis=1), kind="stable").tolist()


def _candidates(anchor: Boxes, size: Boxes, gap: float) -> tuple[Boxes, Boxes]:
    """Boxes around the anchor, nearest first, and how far each is from it: to the right is preferred."""
    distances = gap * np.array([1, 2, 4, 6, 9, 12, 16, 20, 25])
    angles = np.arange(16) * (np.pi / 8)
    far, angle = (x.ravel() for x in np.meshgrid(distances, angles, indexing="ij"))
    direction = np.stack([np.cos(angle), np.sin(angle)], axis=1)
    # The label hangs on the far side of the point at that distance: its centre is half its extent further out.
    centre = anchor + direction * far[:, None] + np.clip(direction * 1.5, -1, 1) * size / 2
    return np.concatenate([centre - size / 2, centre + size / 2], axis=1), far + gap / 10 * (1 - direction[:, 0])


def covered(boxes: Boxes, others: Boxes) -> Boxes:
    """Area [N] of each box that the others cover, counted once for each of them."""
    top_left = np.maximum(boxes[:, None, :2], others[:, :2])
    bottom_right = np.minimum(boxes[:, None, 2:], others[:, 2:])
    return np.clip(bottom_right - top_left, 0, None).prod(axis=2).sum(axis=1)
