"""From outlines to coverage: discs and polygons, sampled at 4x4 points per pixel, in integers.

Lengths are in units of 1/64 pixel. The samples of a pixel lie at 8, 24, 40 and 56 units from its corner.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from roibench.datasets.scenes.integers import SINE_BITS, cosine, sine

PIXEL = 64  # units
SAMPLES = 4  # per pixel and axis
_STEP = PIXEL // SAMPLES

Point = tuple[int, int]


class Disc(NamedTuple):
    """A filled circle; centre and radius in units."""

    centre: Point
    radius: int


class Polygon(NamedTuple):
    """A filled polygon; corners in units, in order."""

    corners: tuple[Point, ...]


class Part(NamedTuple):
    """A part of an outline.

    piece: its shape.
    subtract: taken away from the parts before it; else added to them.
    """

    piece: Disc | Polygon
    subtract: bool = False


@dataclass(frozen=True, slots=True)
class Frame:
    """Where an outline lies.

    x: of its origin, in units.
    y: of its origin, in units.
    half: the units that 1024 of its lengths make.
    turn: in 1/256 of a full turn.
    """

    x: int
    y: int
    half: int
    turn: int

    def length(self, length: int) -> int:
        return (length * self.half + 512) >> 10

    def point(self, point: Point) -> Point:
        x, y = point
        c, s = cosine(self.turn) * self.half, sine(self.turn) * self.half
        shift = SINE_BITS + 10
        rounding = 1 << (shift - 1)
        return self.x + ((x * c - y * s + rounding) >> shift), self.y + ((x * s + y * c + rounding) >> shift)

    def place(self, parts: Iterable[Part]) -> tuple[Part, ...]:
        """The same outline in units of the image."""
        return tuple(
            Part(Disc(self.point(piece.centre), self.length(piece.radius)), subtract)
            if isinstance(piece, Disc)
            else Part(Polygon(tuple(self.point(corner) for corner in piece.corners)), subtract)
            for piece, subtract in parts
        )


class Window(NamedTuple):
    """A rectangle of whole pixels, right and bottom not in it; it may reach beyond the image."""

    left: int
    top: int
    right: int
    bottom: int

    def clip(self, height: int, width: int) -> "Window":
        """The part of it that lies within an image; of no area if there is none."""
        left, top = min(max(self.left, 0), width), min(max(self.top, 0), height)
        return Window(left, top, max(left, min(self.right, width)), max(top, min(self.bottom, height)))

    def within(self, outer: "Window", scale: int = 1) -> tuple[slice, slice]:
        """Rows and columns of this window in an array that covers the outer one, `scale` elements per pixel."""
        return (
            slice((self.top - outer.top) * scale, (self.bottom - outer.top) * scale),
            slice((self.left - outer.left) * scale, (self.right - outer.left) * scale),
        )

    def samples(self) -> tuple[np.ndarray, np.ndarray]:
        """x int32 [4w] and y int32 [4h] of the sample points, in units."""
        x = np.arange(self.left * PIXEL + _STEP // 2, self.right * PIXEL, _STEP, dtype=np.int32)
        y = np.arange(self.top * PIXEL + _STEP // 2, self.bottom * PIXEL, _STEP, dtype=np.int32)
        return x, y


def rasterize(parts: tuple[Part, ...]) -> tuple[Window, np.ndarray]:
    """The smallest window that holds a placed outline, and which of its samples the outline covers: bool [4h, 4w]."""
    bounds = [_bounds(part.piece) for part in parts if not part.subtract]
    window = Window(
        min(b[0] for b in bounds) // PIXEL,
        min(b[1] for b in bounds) // PIXEL,
        max(b[2] for b in bounds) // PIXEL + 1,
        max(b[3] for b in bounds) // PIXEL + 1,
    )
    x, y = window.samples()
    covered = np.zeros((len(y), len(x)), bool)
    for piece, subtract in parts:
        left, top, right, bottom = _bounds(piece)
        columns = slice(*np.searchsorted(x, (left, right + 1)))
        rows = slice(*np.searchsorted(y, (top, bottom + 1)))
        inside = (_in_disc if isinstance(piece, Disc) else _in_polygon)(piece, x[columns], y[rows])
        if subtract:
            covered[rows, columns] &= ~inside
        else:
            covered[rows, columns] |= inside
    return window, covered


def count(samples: np.ndarray) -> np.ndarray:
    """Covered samples of each pixel: bool [4h, 4w] -> uint8 [h, w] in 0..16."""
    octets = samples.view(np.uint8)
    rows = octets[0::4] + octets[1::4] + octets[2::4] + octets[3::4]
    return rows[:, 0::4] + rows[:, 1::4] + rows[:, 2::4] + rows[:, 3::4]


def _bounds(piece: Disc | Polygon) -> tuple[int, int, int, int]:
    if isinstance(piece, Disc):
        (x, y), r = piece
        return x - r, y - r, x + r, y + r
    xs, ys = zip(*piece.corners, strict=True)
    return min(xs), min(ys), max(xs), max(ys)


def _in_disc(disc: Disc, x: np.ndarray, y: np.ndarray) -> np.ndarray:
    across = (x.astype(np.int64) - disc.centre[0]) ** 2
    down = (y.astype(np.int64) - disc.centre[1]) ** 2
    return across <= (disc.radius**2 - down)[:, None]


def _in_polygon(polygon: Polygon, x: np.ndarray, y: np.ndarray) -> np.ndarray:
    """Even-odd rule: in each row, every edge that crosses it flips all samples right of the crossing."""
    inside = np.zeros((len(y), len(x)), bool)
    down = y.astype(np.int64)
    for k, (x1, y1) in enumerate(polygon.corners):
        x0, y0 = polygon.corners[k - 1]
        if y0 > y1:
            x0, y0, x1, y1 = x1, y1, x0, y0
        rows = slice(*np.searchsorted(y, (y0, y1)))
        if rows.start == rows.stop:
            continue
        crossing = x0 + (down[rows] - y0) * (x1 - x0) // (y1 - y0)
        inside[rows] ^= x > crossing.astype(np.int32)[:, None]
    return inside
