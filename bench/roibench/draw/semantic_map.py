"""A semantic map drawn on its image: every class in its colour, and a legend below that names them."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw

from roibench.draw.canvas import Canvas, colour, fitting
from roibench.structures import VOID, Prediction

_OPACITY = 0.6  # of a class's colour on its pixels; its outline is solid


def shares(semantic_map: NDArray[np.uint8]) -> dict[int, float]:
    """The part of a map's pixels [H, W] that each value in it has, largest first."""
    counts = np.bincount(semantic_map.ravel())
    order = np.argsort(-counts, kind="stable")
    return {int(value): counts[value] / semantic_map.size for value in order if counts[value]}


def draw_map(canvas: Canvas, prediction: Prediction, classes: Sequence[str], score_threshold: float) -> None:
    """Colour the pixels of every class; the background (0) stays as it is."""
    labels = prediction.semantic_map.numpy().repeat(canvas.scale, axis=0).repeat(canvas.scale, axis=1)
    palette = np.array([(0, 0, 0), *map(colour, range(VOID))], np.uint8)
    opacity = np.where(_outlines(labels, round(canvas.unit)), 1, _OPACITY) * (labels > 0)
    mask = Image.fromarray(np.round(255 * opacity).astype(np.uint8))
    canvas.image.paste(Image.fromarray(palette[labels]), mask=mask)


def add_legend(canvas: Canvas, prediction: Prediction, classes: Sequence[str], score_threshold: float) -> None:
    """Put a strip below the picture: the classes of the map with their shares of its pixels."""
    font, pad = canvas.font, round(2 * canvas.unit)
    ascent, descent = font.getmetrics()
    patch = ascent + descent
    width, height = canvas.image.size
    names = {VOID: "void"} | dict(enumerate(("background", *classes)))
    space = width - patch - 3 * pad
    entries = [
        (value, fitting(names[value], f" {_percent(share)}", font, space))
        for value, share in shares(prediction.semantic_map.numpy()).items()
    ]
    column = max(font.getlength(text) for _, text in entries) + patch + 3 * pad
    columns = max(1, int(width // column))
    rows = -(-len(entries) // columns)
    extended = Image.new("RGB", (width, height + rows * (patch + pad) + pad), "white")
    extended.paste(canvas.image)
    pen = ImageDraw.Draw(extended)
    for index, (value, text) in enumerate(entries):
        x = pad + index % columns * column
        y = height + pad + index // columns * (patch + pad)
        fill = colour(value - 1) if value else None
        pen.rectangle((x, y, x + patch, y + patch), fill=fill, outline="black")
        pen.text((x + patch + pad, y + ascent), text, fill="black", font=font, anchor="ls")
    canvas.image = extended


def _outlines(labels: NDArray[np.uint8], width: int) -> NDArray[np.bool_]:
    """Pixels whose neighbour `width` pixels up, down, left or right has another value."""
    edges = np.zeros(labels.shape, bool)
    for axis in (0, 1):
        first, last = np.swapaxes(labels, 0, axis)[:-width], np.swapaxes(labels, 0, axis)[width:]
        turned = np.swapaxes(edges, 0, axis)  # a view: what is written here stands in edges
        turned[:-width] |= first != last
        turned[width:] |= first != last
    return edges


def _percent(share: float) -> str:
    return f"{share:.0%}" if share >= 0.005 else "<1%"
