"""Colours and textures of objects, and how they are laid on the picture."""

from dataclasses import dataclass

import numpy as np

from roibench.datasets.scenes.integers import SINE_BITS, TURN, Draws, cosine, sine
from roibench.datasets.scenes.raster import PIXEL, SAMPLES, Frame, Window, count

Colour = tuple[int, int, int]

PALETTE: dict[str, Colour] = {
    "red": (204, 44, 40),
    "green": (48, 148, 56),
    "yellow": (240, 212, 48),
    "purple": (124, 60, 168),
    "white": (232, 232, 228),
    "blue": (44, 84, 204),
    "orange": (236, 128, 28),
    "black": (24, 24, 28),
    "cyan": (48, 188, 196),
    "brown": (120, 76, 44),
    "pink": (240, 132, 180),
    "grey": (132, 132, 132),
}
TEXTURES = ("solid", "stripes", "dots", "checks")
_JITTER = 16  # a colour is its name's, give or take so much per channel
_CONTRAST = 160  # sum over channels of the least difference between an object and what it lies on, and inside a texture
_LEAST_PITCH = 6 * PIXEL  # an object that doesn't show two periods is solid
_DOT = 84  # radius of a dot, in 1/256 of the distance between dots


@dataclass(frozen=True, slots=True)
class Coat:
    """How an object looks.

    texture: one of TEXTURES.
    colours: the palette by name; the first that stands out from what lies under the object becomes its colour.
    second: how far behind that one the search for the texture's other colour starts.
    pitch: the texture's period in units.
    """

    texture: str
    colours: dict[str, Colour]
    second: int
    pitch: int


def choose_coat(draws: Draws, half: int) -> Coat:
    """A random coat for an object of a given half size, in units."""
    palette, start = (*PALETTE.items(),), draws.below(len(PALETTE))
    jitter = [draws.between(-_JITTER, _JITTER) for _ in range(3)]
    colours = {
        name: tuple(min(255, max(0, value + shift)) for value, shift in zip(colour, jitter, strict=True))
        for name, colour in palette[start:] + palette[:start]
    }
    texture = TEXTURES[draws.below(len(TEXTURES))]
    second = draws.between(1, len(PALETTE) - 1)
    pitch = max(_LEAST_PITCH, 2 * half // draws.between(3, 7))
    return Coat(texture if pitch <= half else "solid", colours, second, pitch)


def lay(picture: np.ndarray, window: Window, covered: np.ndarray, frame: Frame, coat: Coat) -> str:
    """Paints an object onto the picture (uint8 [3, H, W], changed); returns its colour's name, a key of PALETTE.

    window and covered are rasterize's; what lies outside of the picture is dropped.
    """
    seen = window.clip(*picture.shape[1:])
    here = picture[:, seen.top : seen.bottom, seen.left : seen.right]
    covered = np.ascontiguousarray(covered[seen.within(window, SAMPLES)])
    under, alpha = here.astype(np.int16), count(covered).astype(np.int16)
    weight = alpha.astype(np.int64)
    below = tuple((under * weight).sum(axis=(1, 2)) // max(1, int(weight.sum())))
    names, colours = tuple(coat.colours), tuple(coat.colours.values())
    first = next(k for k, colour in enumerate(colours) if _distance(colour, below) >= _CONTRAST)
    paint = _column(colours[first]) * alpha
    if coat.texture != "solid":
        order = range(first + coat.second, first + coat.second + len(colours))
        candidates = (colours[k % len(colours)] for k in order)
        second = next(colour for colour in candidates if _distance(colour, colours[first]) >= _CONTRAST)
        pattern = count(covered & _pattern(coat, frame, seen)).astype(np.int16)
        paint += (_column(second) - _column(colours[first])) * pattern
    here[:] = (under * (16 - alpha) + paint + 8) >> 4
    return names[first]


def _column(colour: Colour) -> np.ndarray:
    return np.array(colour, np.int16)[:, None, None]


def _distance(a: Colour, b: Colour) -> int:
    return sum(abs(int(x) - int(y)) for x, y in zip(a, b, strict=True))


def _pattern(coat: Coat, frame: Frame, window: Window) -> np.ndarray:
    """Which samples of the window show the texture's second colour: bool [4h, 4w]."""
    # Object coordinates in 1/256 of the pitch; |x| * cos stays far below 2**31, since the pitch grows with the object.
    c, s = (wave(frame.turn) * TURN // coat.pitch for wave in (cosine, sine))
    x, y = window.samples()
    x, y = x - np.int32(frame.x), y - np.int32(frame.y)
    across = ((x * c)[None, :] + (y * s)[:, None]) >> SINE_BITS
    if coat.texture == "stripes":
        return (across & 128) != 0
    down = ((y * c)[:, None] - (x * s)[None, :]) >> SINE_BITS
    if coat.texture == "checks":
        return ((across ^ down) & 128) != 0
    across, down = (across & 255) - 128, (down & 255) - 128
    return across * across + down * down <= _DOT * _DOT
