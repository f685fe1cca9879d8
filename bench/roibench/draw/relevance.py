"""A map of relevance drawn on its image: warm where it is high, its maximum marked, and a box around it."""

from collections.abc import Sequence

import numpy as np
from PIL import Image, ImageDraw

from roibench.draw.canvas import Canvas
from roibench.metrics.relevance import components, scaled
from roibench.structures import Prediction

_STOPS = (0.0, 0.5, 1.0)
_COLOURS = ((60, 60, 160), (250, 200, 60), (215, 30, 30))  # at the stops
_OPACITY = 0.6  # of the highest relevance
_BOXED = 0.5  # of the scaled map: what lies above it around the maximum has a box


def draw_relevance(canvas: Canvas, prediction: Prediction, classes: Sequence[str], score_threshold: float) -> None:
    """Colour the pixels by relevance, scaled to [0, 1]; a map that is the same everywhere leaves the image."""
    level = scaled(prediction.get("attribution").numpy().astype(np.float64))
    if not level.any():
        return
    size = canvas.image.size
    fine = np.asarray(Image.fromarray(level.astype(np.float32)).resize(size, Image.Resampling.BILINEAR)).clip(0, 1)
    colours = np.stack([np.interp(fine, _STOPS, channel) for channel in zip(*_COLOURS, strict=True)], axis=2)
    mask = Image.fromarray(np.round(255 * _OPACITY * np.sqrt(fine)).astype(np.uint8))
    canvas.image.paste(Image.fromarray(colours.round().astype(np.uint8)), mask=mask)
    y, x = np.unravel_index(level.argmax(), level.shape)
    boxes = components(level > _BOXED)
    around = (boxes[:, 0] <= x) & (x < boxes[:, 2]) & (boxes[:, 1] <= y) & (y < boxes[:, 3])
    pen, unit = ImageDraw.Draw(canvas.image), canvas.unit
    for box in boxes[around]:
        x1, y1, x2, y2 = canvas.scale * box
        for grown, colour, width in ((1, "black", unit + 2), (0, "white", unit)):
            corners = (x1 - grown, y1 - grown, x2 - 1 + grown, y2 - 1 + grown)
            pen.rectangle(corners, outline=colour, width=round(width))
    cx, cy, arm = (x + 0.5) * canvas.scale, (y + 0.5) * canvas.scale, 4 * unit
    for colour, width in (("black", 2 * unit), ("white", unit)):
        pen.line((cx - arm, cy, cx + arm, cy), fill=colour, width=round(width))
        pen.line((cx, cy - arm, cx, cy + arm), fill=colour, width=round(width))
