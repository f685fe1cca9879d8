"""A poster: sections of small pictures, all of one size, under titles."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
from PIL import Image

if TYPE_CHECKING:
    from matplotlib.figure import Figure

COLUMNS = 12
_SIDE, _LINE = 1.0, 0.35  # inches: of a picture, and of a title


class Panel(NamedTuple):
    """picture: an image, or an array in the unit interval, [h, w, 3] or grey [h, w]. caption: above it."""

    picture: Image.Image | np.ndarray
    caption: str = ""


@dataclass(frozen=True)
class Section:
    """rows: of at most COLUMNS panels each."""

    title: str
    rows: Sequence[Sequence[Panel]]


def wrapped(panels: Sequence[Panel]) -> list[Sequence[Panel]]:
    """Any number of panels as rows."""
    return [panels[start : start + COLUMNS] for start in range(0, len(panels), COLUMNS)]


def draw_poster(title: str, sections: Sequence[Section]) -> "Figure":
    from matplotlib.figure import Figure

    sections = [one for one in sections if one.rows]
    heights = [_LINE + len(one.rows) * _SIDE for one in sections]
    figure = Figure(figsize=(COLUMNS * _SIDE, sum(heights) + _LINE), dpi=110, layout="constrained")
    figure.suptitle(title, fontsize=13)
    parts = np.atleast_1d(figure.subfigures(len(sections), 1, height_ratios=heights))
    for part, section in zip(parts, sections, strict=True):
        part.suptitle(section.title, fontsize=10, x=0.01, ha="left")
        places = part.subplots(len(section.rows), COLUMNS, squeeze=False)
        for one in places.flat:
            one.axis("off")
        for row, panels in zip(places, section.rows, strict=True):
            for one, panel in zip(row, panels, strict=False):
                one.imshow(np.asarray(panel.picture), cmap="gray", interpolation="nearest")
                one.set_title(panel.caption, fontsize=7, pad=2)
    return figure
