"""Sentences about boxes, below their image."""

from collections.abc import Iterator, Sequence

from PIL import Image, ImageDraw, ImageFont

from roibench.draw.boxes import label_of, line_of, shown
from roibench.draw.canvas import Canvas, colour, ink
from roibench.structures import Prediction


def add_captions(canvas: Canvas, prediction: Prediction, classes: Sequence[str], score_threshold: float) -> None:
    """Put a strip below the picture: the sentences of the boxes that score at least the threshold, each after the
    number of its box, on its colour. Long ones go on in the next line.
    """
    font, pad = canvas.font, round(2 * canvas.unit)
    ascent, descent = font.getmetrics()
    width, height = canvas.image.size
    indices = sorted(shown(prediction, score_threshold, len(prediction.captions)))
    margin = round(max((font.getlength(line_of(i)) for i in indices), default=0)) + 2 * pad
    lines = [
        (i, line, first)
        for i in indices
        for first, line in _wrapped(prediction.captions[i], font, width - margin - 2 * pad)
    ]
    if not lines:
        return
    step = ascent + descent
    extended = Image.new("RGB", (width, height + len(lines) * step + 2 * pad), "white")
    extended.paste(canvas.image)
    pen = ImageDraw.Draw(extended)
    for row, (i, line, first) in enumerate(lines):
        top = height + pad + row * step
        patch = colour(label_of(prediction, i))
        pen.rectangle((0, top, margin - 1, top + step - 1), fill=patch)
        if first:
            pen.text((pad, top + ascent), line_of(i), fill=ink(patch), font=font, anchor="ls")
        pen.text((margin + pad, top + ascent), line, fill="black", font=font, anchor="ls")
    canvas.image = extended


def _wrapped(text: str, font: ImageFont.FreeTypeFont, width: float) -> Iterator[tuple[bool, str]]:
    """Lines at most as wide, but for a word that is wider alone, and whether it is the first."""
    line, first = "", True
    for word in text.split():
        if line and font.getlength(f"{line} {word}") > width:
            yield first, line
            line, first = "", False
        line = f"{line} {word}".lstrip()
    yield first, line
