"""Joints of objects drawn on their image."""

from collections.abc import Sequence

from PIL import ImageDraw

from roibench.draw.boxes import label_of, shown
from roibench.draw.canvas import Canvas, colour
from roibench.structures import Prediction


def draw_keypoints(canvas: Canvas, prediction: Prediction, classes: Sequence[str], score_threshold: float) -> None:
    """A dot per joint with a score above 0, of the objects that score at least the threshold."""
    pen = ImageDraw.Draw(canvas.image)
    radius = 1.5 * canvas.unit
    for i in shown(prediction, score_threshold, len(prediction.keypoints)):
        for x, y, score in prediction.keypoints[i].tolist():
            if score > 0:
                x, y = x * canvas.scale, y * canvas.scale
                corners = (x - radius, y - radius, x + radius, y + radius)
                pen.ellipse(corners, fill=colour(label_of(prediction, i)), outline="black")
