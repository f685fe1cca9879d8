"""What to do about broken files and impossible boxes: refuse them all at once, or leave them out and warn."""

import struct
import warnings
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal, NamedTuple, get_args

OnBadData = Literal["fail", "skip", "clip"]
ON_BAD_DATA = get_args(OnBadData)
# Pixels. How far a coordinate may lie beyond the border and count as on it: files that count from 0 differ by one from
# those that count from 1, and rounding makes less.
BORDER = 1.0

Box = tuple[float, float, float, float]
_FLOAT32 = struct.Struct("4f")


class Problem(NamedTuple):
    """What is wrong, and where.

    file: where.
    line: of the file, where it has lines.
    what: is wrong, in words.
    """

    file: Path
    line: int | None
    what: str

    def __str__(self) -> str:
        place = str(self.file) if self.line is None else f"{self.file}:{self.line}"
        return f"{place}: {self.what}"


class BadDataError(ValueError):
    """A dataset is broken; the message lists every problem, one per line."""

    def __init__(self, problems: tuple[Problem, ...]):
        found = f"{len(problems)} problems" if len(problems) != 1 else "1 problem"
        options = "--on-bad-data=skip leaves out what is bad, clip does so after clipping boxes to the image"
        super().__init__(f"{found} in the data ({options}):\n{_listing(problems)}")
        self.problems = problems

    def __reduce__(self):
        return BadDataError, (self.problems,)


@dataclass
class BadData:
    """Collects problems while a dataset is read; `settle` at the end acts on them.

    action: one of ON_BAD_DATA.
    problems: found so far.
    clipped: the boxes that were clipped to their image.
    """

    action: str
    problems: list[Problem] = field(default_factory=list)
    clipped: list[Problem] = field(default_factory=list)

    def __post_init__(self):
        if self.action not in ON_BAD_DATA:
            raise ValueError(f"on_bad_data: want one of {', '.join(ON_BAD_DATA)}, got {self.action!r}")

    def report(self, file: Path, what: str, line: int | None = None) -> None:
        self.problems.append(Problem(file, line, what))

    def fit_box(self, box: Box, size: tuple[int, int], file: Path, what: str, line: int | None = None) -> Box | None:
        """A box within its image; None, and a report, if it can't be used. Clipping is noted.

        box: xyxy in pixel corners. size: (height, width). what: names the box in the report.
        """
        height, width = size
        try:
            fitted, beyond = fit_box(box, size)
        except ValueError as error:
            self.report(file, f"{what} is {error}", line)
            return None
        if beyond > BORDER:
            outside = f"{what} is outside of the image of {width}x{height}"
            if self.action != "clip":
                self.report(file, outside, line)
                return None
            self.clipped.append(Problem(file, line, f"{outside} by {beyond:g}"))
        return fitted

    def settle(self) -> tuple[Problem, ...]:
        """Raises BadDataError if there are problems and the action is "fail"; else warns of what was left out."""
        problems = tuple(self.problems)
        if problems and self.action == "fail":
            raise BadDataError(problems)
        if problems:
            warnings.warn(f"left out because of bad data:\n{_listing(problems)}", stacklevel=3)
        if self.clipped:
            warnings.warn(f"clipped to the image:\n{_listing(self.clipped)}", stacklevel=3)
        return problems


def fit_box(box: Box, size: tuple[int, int]) -> tuple[Box, float]:
    """The part of an xyxy box that lies in an image of (height, width), and how far, in pixels, the box reaches beyond.

    What lies inside stays as it is. Raises ValueError, with what is wrong, for a box without an area in there.
    """
    x1, y1, x2, y2 = box
    height, width = size
    if not all(abs(value) < float("inf") for value in box):  # false for NaN, too
        raise ValueError("not finite")
    if x1 > x2 or y1 > y2:
        raise ValueError("inverted")
    if _flat(box):
        raise ValueError("degenerate")
    beyond = max(0.0, -x1, -y1, x2 - width, y2 - height)
    if beyond == 0:
        return box, beyond
    inside = (*(max(low, 0.0) for low in (x1, y1)), min(x2, float(width)), min(y2, float(height)))
    if inside[0] >= inside[2] or inside[1] >= inside[3] or _flat(inside):
        raise ValueError(f"outside of the image of {width}x{height}")
    return inside, beyond


def _flat(box: Box) -> bool:
    """Whether a box has no area in float32, which is what a target holds."""
    try:
        x1, y1, x2, y2 = _FLOAT32.unpack(_FLOAT32.pack(*box))
    except OverflowError:  # so large that it is outside
        return False
    return x1 == x2 or y1 == y2


def _listing(problems: Sequence[Problem]) -> str:
    return "\n".join(f"  {problem}" for problem in problems)
