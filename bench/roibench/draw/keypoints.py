"""Joints of objects drawn on their image, and the limbs between them."""

from collections.abc import Sequence

from PIL import ImageDraw

from roibench.draw.boxes import label_of, shown
from roibench.draw.canvas import Canvas, colour
from roibench.structures import Prediction

# Which joints a limb connects, by how many there are: 14 in the order of Leeds Sports Pose, 17 in that of COCO. Others
# have no limbs.
LIMBS = {
    14: (
        *((0, 1), (1, 2), (5, 4), (4, 3), (2, 3), (2, 8), (3, 9), (8, 12), (9, 12), (12, 13)),  # legs, trunk, head
        *((6, 7), (7, 8), (11, 10), (10, 9)),  # arms
    ),
    17: (
        *((15, 13), (13, 11), (16, 14), (14, 12), (11, 12), (5, 11), (6, 12), (5, 6)),
        *((5, 7), (7, 9), (6, 8), (8, 10), (0, 1), (0, 2), (1, 3), (2, 4), (3, 5), (4, 6)),
    ),
}


def draw_keypoints(canvas: Canvas, prediction: Prediction, classes: Sequence[str], score_threshold: float) -> None:
    """Of the objects that score at least the threshold, a dot per joint with a score above 0, and lines along limbs."""
    pen = ImageDraw.Draw(canvas.image)
    width, radius = round(canvas.unit), 1.5 * canvas.unit
    for i in shown(prediction, score_threshold, len(prediction.keypoints)):
        keypoints = prediction.keypoints[i].tolist()
        there = {
            joint: (x * canvas.scale, y * canvas.scale) for joint, (x, y, score) in enumerate(keypoints) if score > 0
        }
        limbs = [(there[a], there[b]) for a, b in LIMBS.get(len(keypoints), ()) if a in there and b in there]
        for ends in limbs:  # a dark line below keeps it visible on a background of its own colour
            pen.line(ends, fill="black", width=width + 2)
        for ends in limbs:
            pen.line(ends, fill=colour(label_of(prediction, i)), width=width)
        for x, y in there.values():
            corners = (x - radius, y - radius, x + radius, y + radius)
            pen.ellipse(corners, fill=colour(label_of(prediction, i)), outline="black")
