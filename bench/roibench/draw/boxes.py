"""Boxes drawn on their image, with tags that name class and score."""

from collections.abc import Sequence

import numpy as np
from PIL import ImageDraw

from roibench.draw.canvas import Canvas, colour, fitting, ink
from roibench.draw.labels import covered
from roibench.structures import Prediction


def shown(prediction: Prediction, score_threshold: float, objects: int) -> list[int]:
    """Indices of the detections to draw, worst first, so that the best lie on top; all, where none has a score."""
    if prediction.scores is None:
        return list(reversed(range(objects)))
    scores = prediction.scores.double().cpu().numpy()
    order = np.argsort(scores, kind="stable")
    return order[scores[order] >= score_threshold].tolist()


def draw_boxes(canvas: Canvas, prediction: Prediction, classes: Sequence[str], score_threshold: float) -> None:
    """The boxes that score at least the threshold, each in the colour of its class."""
    pen = ImageDraw.Draw(canvas.image)
    for i in shown(prediction, score_threshold, len(prediction.boxes)):
        corners = _corners(canvas, prediction, i)
        # A dark line around the coloured one keeps it visible on a background of its own colour.
        pen.rectangle(corners, outline=(0, 0, 0), width=round(canvas.unit) + 2)
        inner = [c + d for c, d in zip(corners, (1, 1, -1, -1), strict=True)]
        if inner[0] <= inner[2] and inner[1] <= inner[3]:
            pen.rectangle(inner, outline=colour(label_of(prediction, i)), width=round(canvas.unit))


def draw_tags(canvas: Canvas, prediction: Prediction, classes: Sequence[str], score_threshold: float) -> None:
    """Class, or number of the sentence, score, and mistake where one is known, of each box on a patch of its colour,
    inside the picture and beside one another.
    """
    pen = ImageDraw.Draw(canvas.image)
    font = canvas.font
    pad = round(canvas.unit)
    taken: list[list[float]] = []
    mistakes = prediction.get("mistakes")
    for i in reversed(shown(prediction, score_threshold, len(prediction.boxes))):  # the best have the first choice
        label = label_of(prediction, i)
        name = _name(prediction, i, classes)
        figure = "" if prediction.scores is None else f" {float(prediction.scores[i]):.2f}"
        figure += f" {mistakes[i]}" if mistakes and mistakes[i] else ""
        if not name + figure:
            continue
        text = fitting(name, figure, font, canvas.image.width - 2 * pad)
        left, _, right, _ = font.getbbox(text, anchor="ls")
        ascent, descent = font.getmetrics()
        size = (right - left + 2 * pad, ascent + descent)
        patch = _tag_place(canvas, _corners(canvas, prediction, i), size, taken)
        taken.append(patch)
        pen.rectangle(patch, fill=colour(label))
        pen.text((patch[0] + pad - left, patch[1] + ascent), text, fill=ink(colour(label)), font=font, anchor="ls")


def label_of(prediction: Prediction, index: int) -> int:
    """The class, whose colour a box has; without one, its sentence has a colour of its own; else boxes share one."""
    if prediction.labels is not None:
        return int(prediction.labels[index])
    return 0 if prediction.captions is None else index


def _name(prediction: Prediction, index: int, classes: Sequence[str]) -> str:
    if prediction.labels is not None:
        return classes[label_of(prediction, index)]
    return "" if prediction.captions is None else line_of(index)


def line_of(index: int) -> str:
    """What a box and its sentence are numbered by."""
    return str(index + 1)


def _tag_place(canvas: Canvas, box: list[float], size: tuple[float, float], taken: list[list[float]]) -> list[float]:
    """Above the box, else inside its top, below it, or at its right end: where the fewest other tags are covered."""
    x1, y1, x2, y2 = box
    width, height = size
    corners = [(x, y) for x in (x1, x2 - width) for y in (y1 - height, y1, y2, y2 - height)]
    limits = [max(0, side - extent - 1) for side, extent in zip(canvas.image.size, size, strict=True)]
    start = np.clip(corners, 0, limits)
    candidates = np.concatenate([start, start + size], axis=1)
    shift = np.abs(start - corners).sum(axis=1)
    cost = covered(candidates, np.array(taken).reshape(-1, 4)) + shift
    return candidates[cost.argmin()].tolist()


def _corners(canvas: Canvas, prediction: Prediction, index: int) -> list[float]:
    """A box in pixels of the canvas, clipped to it: x1 <= x2, y1 <= y2."""
    width, height = canvas.image.size
    x1, y1, x2, y2 = (float(c) * canvas.scale for c in prediction.boxes[index])
    x1, x2 = sorted(min(max(x, 0), width - 1) for x in (x1, x2))
    y1, y2 = sorted(min(max(y, 0), height - 1) for y in (y1, y2))
    return [x1, y1, x2, y2]
