"""What a metric hands over to be looked at as a table or a plot, beside its numbers: Result.artefacts may hold these.

Plain data that knows nothing of how it is drawn. A row, column or line is named by a string, or by a class's label,
which becomes the class's name where it is drawn. `about` tells what is shown, and what must be known to read it.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from roibench.metric import Estimate

Name = int | str


@dataclass(frozen=True)
class Listing:
    """Rows of numbers.

    columns: name -> unit, as of a metric's Value: "%" of a fraction, any other of the number as it is.
    rows: as many entries as there are columns: a number, one with its interval, or None where it is undefined.
    """

    about: str
    columns: Mapping[str, str]
    rows: Mapping[Name, Sequence[float | Estimate | None]]


@dataclass(frozen=True)
class Curves:
    """Lines in one plane.

    x, y: what the axes are. span: what of x is shown; of y it is 0 to 1.
    lines: points (x, y) of each, in order; where there are too many to be told apart, the first ones are.
    marks: a point to be marked on a line, by its name.
    """

    about: str
    x: str
    y: str
    lines: Mapping[Name, Sequence[tuple[float, float]]]
    marks: Mapping[Name, tuple[float, float]] = field(default_factory=dict)
    span: tuple[float, float] = (0.0, 1.0)


@dataclass(frozen=True)
class Heatmap:
    """Counts by row and column, coloured by their share of the row: counts [rows][columns]."""

    about: str
    row_title: str
    column_title: str
    rows: Sequence[Name]
    columns: Sequence[Name]
    counts: Sequence[Sequence[int]]


@dataclass(frozen=True)
class Bin:
    """What has a confidence from low to high: how many, their mean confidence, and the share of them that is right."""

    low: float
    high: float
    count: int
    confidence: float
    accuracy: float


@dataclass(frozen=True)
class Reliability:
    """How often what is predicted with some confidence is right; bins in order, without empty ones.

    x, y: what the axes are.
    """

    about: str
    x: str
    y: str
    bins: Sequence[Bin]


CHARTS = (Listing, Curves, Heatmap, Reliability)
