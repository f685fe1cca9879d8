"""What every layer of a drawing draws on and with: the enlarged image, the colours of the classes, text that fits."""

import colorsys
from dataclasses import dataclass

import numpy as np
from PIL import Image, ImageFont

_GOLDEN = 0.618034  # turns of hue between one class and the next: the colours of any first n are well apart

Colour = tuple[int, int, int]


@dataclass
class Canvas:
    """What is drawn on.

    image: the enlarged one.
    scale: how many of its pixels, to each side, one pixel of the original became.
    unit: a line's width, in step with the picture's size.
    """

    image: Image.Image
    scale: int
    unit: float

    @property
    def font(self) -> ImageFont.FreeTypeFont:
        return ImageFont.load_default(size=round(7 * self.unit))


def colour(label: int) -> Colour:
    """The colour of a class, by its index: hues a golden section apart, and three steps of lightness."""
    value = (1.0, 0.72, 0.88)[label % 3]
    saturation = (0.85, 0.95, 0.55)[label % 3]
    red, green, blue = colorsys.hsv_to_rgb(label * _GOLDEN % 1, saturation, value)
    return round(255 * red), round(255 * green), round(255 * blue)


def ink(background: Colour) -> Colour:
    """Black or white, whichever stands out more (luma of Rec. 601)."""
    luma = np.dot(background, (0.299, 0.587, 0.114))
    return (0, 0, 0) if luma > 128 else (255, 255, 255)


def fitting(name: str, figure: str, font: ImageFont.FreeTypeFont, width: float) -> str:
    """Name and figure, the name shortened where both are wider than the space."""
    text = name + figure
    while name and font.getlength(text) > width:
        name = name[:-1]
        text = f"{name}\N{HORIZONTAL ELLIPSIS}{figure}"
    return text
