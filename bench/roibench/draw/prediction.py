"""A prediction drawn on its image, to be looked at: the layers of its fields, each on top of those before."""

from collections.abc import Iterable, Sequence

import numpy as np
from PIL import Image
from torch import Tensor

from roibench.draw.canvas import Canvas
from roibench.structures import Prediction
from roibench.task import Field

SCORE_THRESHOLD = 0.3  # of what is drawn
_READABLE = 640  # pixels: a smaller image is enlarged until its longer side has about as many
_LINE = 2.0  # pixels, the least


def draw(
    image: Tensor,
    prediction: Prediction,
    classes: Sequence[str],
    fields: Iterable[Field],
    score_threshold: float = SCORE_THRESHOLD,
    shown_at: int | None = None,
) -> Image.Image:
    """Draw what was predicted on an image, uint8 [3, H, W]: areas, marks such as the detections that score at least the
    threshold, and strips below the picture.

    classes: names by label. A class has the same colour in every picture. fields: those that can be drawn. An image of
    less than 640 pixels is enlarged by a whole factor, its pixels left as squares. shown_at: the width in pixels that
    the picture will be reduced to; lines and text are as much larger.
    """
    scale = max(1, round(_READABLE / max(image.shape[1:])))
    pixels = np.ascontiguousarray(image.permute(1, 2, 0).cpu().numpy())
    enlarged = Image.fromarray(pixels).resize(
        (pixels.shape[1] * scale, pixels.shape[0] * scale), Image.Resampling.NEAREST
    )
    reduced = enlarged.width / min(shown_at or enlarged.width, enlarged.width)
    canvas = Canvas(enlarged, scale, max(_LINE * reduced, max(enlarged.size) / 320))
    layers = [layer for field in fields if prediction.get(field.name) is not None for layer in field.layers]
    for layer in sorted(layers, key=lambda layer: layer.place):
        layer.draw(canvas, prediction, classes, score_threshold)
    return canvas.image
