"""A prediction drawn on its image, to be looked at: one layer per kind of prediction, each on top of the one before."""

from collections.abc import Sequence

import numpy as np
from PIL import Image, ImageDraw
from torch import Tensor

from roibench.report.canvas import Canvas, colour, fitting, ink
from roibench.report.draw_map import add_legend, draw_map
from roibench.report.draw_relevance import draw_relevance
from roibench.report.draw_scores import add_bars
from roibench.report.labels import covered
from roibench.structures import Prediction

_READABLE = 640  # pixels: a smaller image is enlarged until its longer side has about as many


def draw(image: Tensor, prediction: Prediction, classes: Sequence[str], score_threshold: float = 0.3) -> Image.Image:
    """Draw what was predicted on an image, uint8 [3, H, W]: its semantic map with a legend below, its attribution with
    the maximum and a box around it, the detections that score at least the threshold, and the five best classes of the
    whole image as bars below.

    classes: names by label. A class has the same colour in every picture. An image of less than 640 pixels is enlarged
    by a whole factor, its pixels left as squares.
    """
    scale = max(1, round(_READABLE / max(image.shape[1:])))
    pixels = np.ascontiguousarray(image.permute(1, 2, 0).cpu().numpy())
    enlarged = Image.fromarray(pixels).resize(
        (pixels.shape[1] * scale, pixels.shape[0] * scale), Image.Resampling.NEAREST
    )
    canvas = Canvas(enlarged, scale)
    if prediction.semantic_map is not None:
        draw_map(canvas, prediction.semantic_map.numpy())
    if prediction.attribution is not None:
        draw_relevance(canvas, prediction.attribution.numpy())
    if prediction.boxes is not None:
        shown = _shown(prediction, score_threshold)
        _draw_boxes(canvas, prediction, shown)
        _draw_tags(canvas, prediction, shown, classes)
    if prediction.semantic_map is not None:
        add_legend(canvas, prediction.semantic_map.numpy(), classes)
    if prediction.class_scores is not None:
        add_bars(canvas, prediction.class_scores.numpy(), classes)
    return canvas.image


def _shown(prediction: Prediction, score_threshold: float) -> list[int]:
    """Indices of the detections to draw, worst first, so that the best lie on top; all, where none has a score."""
    if prediction.scores is None:
        return list(reversed(range(len(prediction.boxes))))
    scores = prediction.scores.double().cpu().numpy()
    order = np.argsort(scores, kind="stable")
    return order[scores[order] >= score_threshold].tolist()


def _draw_boxes(canvas: Canvas, prediction: Prediction, shown: list[int]) -> None:
    pen = ImageDraw.Draw(canvas.image)
    for i in shown:
        corners = _corners(canvas, prediction, i)
        # A dark line around the coloured one keeps it visible on a background of its own colour.
        pen.rectangle(corners, outline=(0, 0, 0), width=round(canvas.unit) + 2)
        inner = [c + d for c, d in zip(corners, (1, 1, -1, -1), strict=True)]
        if inner[0] <= inner[2] and inner[1] <= inner[3]:
            pen.rectangle(inner, outline=colour(_label(prediction, i)), width=round(canvas.unit))


def _draw_tags(canvas: Canvas, prediction: Prediction, shown: list[int], classes: Sequence[str]) -> None:
    """Class and score of each box on a patch of its colour, inside the picture and beside one another."""
    pen = ImageDraw.Draw(canvas.image)
    font = canvas.font
    pad = round(canvas.unit)
    taken: list[list[float]] = []
    for i in reversed(shown):  # the best have the first choice
        label = _label(prediction, i)
        name = "" if prediction.labels is None else classes[label]
        figure = "" if prediction.scores is None else f" {float(prediction.scores[i]):.2f}"
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


def _label(prediction: Prediction, index: int) -> int:
    """The class, whose colour a box has; boxes without one share a colour."""
    return 0 if prediction.labels is None else int(prediction.labels[index])


def _tag_place(canvas: Canvas, box: list[float], size: tuple[float, float], taken: list[list[float]]) -> list[float]:
    """Above the box, else inside its top, below it, or at its right end: where the fewest other tags are covered."""
    x1, y1, x2, y2 = box
    width, height = size
    corners = [(x, y) for x in (x1, x2 - width) for y in (y1 - height, y1, y2, y2 - height)]
    limits = [max(0, side - extent - 1) for side, extent in zip(canvas.image.size, size, strict=True)]
    start = np.clip(corners, 0, limits)
    candidates = np.concatenate([start, start + size], axis=1)
    moved = np.abs(start - corners).sum(axis=1)
    cost = covered(candidates, np.array(taken).reshape(-1, 4)) + moved
    return candidates[cost.argmin()].tolist()


def _corners(canvas: Canvas, prediction: Prediction, index: int) -> list[float]:
    """A box in pixels of the canvas, cut to it: x1 <= x2, y1 <= y2."""
    width, height = canvas.image.size
    x1, y1, x2, y2 = (float(c) * canvas.scale for c in prediction.boxes[index])
    x1, x2 = sorted(min(max(x, 0), width - 1) for x in (x1, x2))
    y1, y2 = sorted(min(max(y, 0), height - 1) for y in (y1, y2))
    return [x1, y1, x2, y2]
