"""What to do about broken files and impossible boxes: refuse them all at once, or leave them out and say so."""

import warnings
from dataclasses import dataclass, field
from pathlib import Path
from typing import NamedTuple

ON_BAD_DATA = ("fail", "skip")


class Problem(NamedTuple):
    """What is wrong, and where: a file and, where there is one, a line of it."""

    file: Path
    line: int | None
    what: str

    def __str__(self) -> str:
        place = str(self.file) if self.line is None else f"{self.file}:{self.line}"
        return f"{place}: {self.what}"


class BadDataError(ValueError):
    """A data set is broken; the message lists every problem, one per line."""

    def __init__(self, problems: tuple[Problem, ...]):
        found = f"{len(problems)} problems" if len(problems) != 1 else "1 problem"
        listing = "\n".join(f"  {problem}" for problem in problems)
        super().__init__(f"{found} in the data (--on-bad-data=skip leaves out what is bad):\n{listing}")
        self.problems = problems

    def __reduce__(self):
        return BadDataError, (self.problems,)


@dataclass
class BadData:
    """Collects problems while a data set is read; `settle` at the end acts on them."""

    action: str
    problems: list[Problem] = field(default_factory=list)

    def __post_init__(self):
        if self.action not in ON_BAD_DATA:
            raise ValueError(f"on_bad_data: want {' or '.join(ON_BAD_DATA)}, got {self.action!r}")

    def report(self, file: Path, what: str, line: int | None = None) -> None:
        self.problems.append(Problem(file, line, what))

    def settle(self) -> tuple[Problem, ...]:
        """Raises BadDataError if there are problems and the action is "fail"; else warns of what was left out."""
        problems = tuple(self.problems)
        if problems and self.action == "fail":
            raise BadDataError(problems)
        if problems:
            listing = "\n".join(f"  {problem}" for problem in problems)
            warnings.warn(f"left out because of bad data:\n{listing}", stacklevel=3)
        return problems


def box_problem(box: tuple[float, float, float, float], width: int, height: int) -> str | None:
    """What is wrong with an xyxy box in pixel corners, if anything: it must have an area and lie within the image."""
    x1, y1, x2, y2 = box
    if not all(abs(value) < float("inf") for value in box):  # false for NaN, too
        return "not finite"
    if x1 > x2 or y1 > y2:
        return "inverted"
    if x1 == x2 or y1 == y2:
        return "degenerate"
    if x1 < 0 or y1 < 0 or x2 > width or y2 > height:
        return f"outside of the image of {width}x{height}"
    return None
