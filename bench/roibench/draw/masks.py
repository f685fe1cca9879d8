"""Masks of objects drawn on their image, each in the colour of its class, the best on top."""

from collections.abc import Sequence

import numpy as np
from PIL import Image

from roibench.draw.boxes import label_of, shown
from roibench.draw.canvas import Canvas, colour
from roibench.structures import Prediction

_OPACITY = 0.5


def draw_masks(canvas: Canvas, prediction: Prediction, classes: Sequence[str], score_threshold: float) -> None:
    """The masks that score at least the threshold."""
    for i in shown(prediction, score_threshold, len(prediction.masks)):
        mask = Image.fromarray(np.uint8(255 * _OPACITY) * prediction.masks[i].numpy())
        mask = mask.resize(canvas.image.size, Image.Resampling.NEAREST)
        canvas.image.paste(colour(label_of(prediction, i)), mask=mask)
