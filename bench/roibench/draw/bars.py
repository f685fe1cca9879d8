"""Scores of classes drawn below their image: the best ones, a bar each."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw

from roibench.draw.canvas import Canvas, colour, fitting, ink
from roibench.structures import Prediction

_SHOWN = 5


def best(scores: NDArray[np.floating]) -> dict[int, float]:
    """The classes with the highest scores [C], best first, equal ones by index."""
    order = np.argsort(-scores, kind="stable")[:_SHOWN]
    return {int(label): float(scores[label]) for label in order}


def add_bars(canvas: Canvas, prediction: Prediction, classes: Sequence[str], score_threshold: float) -> None:
    """Put a strip below the picture: a bar per class, as long as its probability, best first."""
    font, pad = canvas.font, round(2 * canvas.unit)
    ascent, descent = font.getmetrics()
    width, height = canvas.image.size
    full, thickness = width - 2 * pad, ascent + descent
    shown = best(prediction.class_scores.numpy())
    extended = Image.new("RGB", (width, height + len(shown) * (thickness + pad) + pad), "white")
    extended.paste(canvas.image)
    for index, (label, score) in enumerate(shown.items()):
        top = height + pad + index * (thickness + pad)
        text = fitting(classes[label], f" {score:.2f}", font, full - 2 * pad)
        # Text that reaches beyond its bar is black there, and on the bar whatever stands out.
        bar = (round(full * score), thickness)
        for size, background, foreground in (
            ((full, thickness), (255, 255, 255), (0, 0, 0)),
            (bar, colour(label), ink(colour(label))),
        ):
            piece = Image.new("RGB", size, background)
            ImageDraw.Draw(piece).text((pad, ascent), text, fill=foreground, font=font, anchor="ls")
            extended.paste(piece, (pad, top))
    canvas.image = extended
