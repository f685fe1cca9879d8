"""Writes a report into a folder: the one place here that touches files."""

from __future__ import annotations

import hashlib
import io
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING

from roibench.files import write_atomically
from roibench.measure.journal import read_lines
from roibench.measure.paired import PairedBenchmark
from roibench.measure.record import Provenance, Record
from roibench.report import csv, markdown, operators
from roibench.report.agreement import agreement_matrices, agreements
from roibench.report.plot import points, speed_accuracy
from roibench.report.rows import Table, tables
from roibench.report.stage_bars import stage_bars, stage_shares
from roibench.report.training_curve import training_curve
from roibench.report.value_curves import curve_points, value_curves

if TYPE_CHECKING:
    from matplotlib.figure import Figure

SOURCE = "Source"  # the key of a PNG's text that holds Drawing.source
SPEED_ACCURACY, CURVES, AGREEMENT, STAGES = "speed_accuracy", "curves", "agreement", "stages"


@dataclass(frozen=True)
class Drawing:
    """A table as a picture.

    about: what it shows, in a few words.
    draw: makes the figure of the table.
    numbers: all that is drawn.
    """

    table: Table
    about: str
    draw: Callable[[Table], Figure]
    numbers: Callable[[Table], object]

    @property
    def source(self) -> str:
        """SHA-256 of all numbers that are drawn; the picture's own bytes are matplotlib's version's, too."""
        return hashlib.sha256(repr(self.numbers(self.table)).encode()).hexdigest()

    def content(self, kind: str) -> bytes:
        """kind: png or svg; a PNG tells its source."""
        return picture(self.draw(self.table), kind, {SOURCE: self.source})


def write_report(
    records: Sequence[Record], folder: Path, notes: Mapping[str, Sequence[str]] = MappingProxyType({})
) -> list[Path]:
    """Write table.md, table.csv and every plot as .png and .svg; returns the paths. notes: what else table.md tells of
    the run, by title.

    Each file is replaced as a whole: a reader sees the old one or the new one, and an interrupted write leaves the old.
    """
    pages = {"table.md": markdown.render(records, notes), "table.csv": csv.render(records)}
    written = [write_atomically(folder / name, text.encode()) for name, text in pages.items()]
    for name, drawing in drawings(records).items():
        written += [write_atomically(folder / f"{name}.{kind}", drawing.content(kind)) for kind in ("png", "svg")]
    return written


def write_training_curve(log: Path, title: str) -> Path:
    """Draw what training wrote into `log` (training.jsonl) as a .png beside it; returns the path."""
    epochs = {line["epoch"]: line for line in read_lines(log)}  # an epoch that was interrupted has been logged twice
    figure = training_curve([epochs[number] for number in sorted(epochs)], title)
    return write_atomically(log.with_suffix(".png"), picture(figure, "png"))


def write_operators(benchmarks: Sequence[PairedBenchmark], machine: Provenance, folder: Path) -> Path:
    """Write the operators' table, ops.md; returns the path."""
    return write_atomically(folder / "ops.md", operators.markdown(benchmarks, machine).encode())


def drawings(records: Sequence[Record]) -> dict[str, Drawing]:
    """What there is to draw, by file name without ending: speed_accuracy-TASK-DATASET of what ranks, and likewise
    VALUE-TASK-DATASET of each value that its metric wants plotted; curves-TASK-DATASET where values are points of some,
    agreement-TASK-DATASET where enough models have several with resamples, and stages-TASK-DATASET where several models
    tell theirs. Two datasets of one name are told apart by their hash.
    """
    named: dict[str, Drawing] = {}
    for table in tables(records):
        for what, drawing in drawings_of(table).items():
            name = re.sub(r"[^A-Za-z0-9._-]+", "-", f"{what}-{table.task}-{table.dataset}")
            named[f"{name}-{table.dataset_hash[:8]}" if name in named else name] = drawing
    return named


def drawings_of(table: Table) -> dict[str, Drawing]:
    """What there is to draw of a table, by what it shows: as drawings."""
    found = {SPEED_ACCURACY: table}
    found |= {table.name(key): table.by(key) for key, value in table.values.items() if value.plotted}
    drawn = {
        what: Drawing(one, f"{one.name(one.primary)} against time", speed_accuracy, points)
        for what, one in found.items()
        if any(row.score is not None for row in one.rows)
    }
    if curve_points(table):
        drawn[CURVES] = Drawing(table, " and ".join(curve_points(table)), value_curves, curve_points)
    if agreements(table):
        about = "how far values agree on the order of models"
        drawn[AGREEMENT] = Drawing(table, about, agreement_matrices, agreements)
    if len(stage_shares(table)) > 1:
        drawn[STAGES] = Drawing(table, "where the time goes", stage_bars, stage_shares)
    return drawn


def picture(figure: Figure, kind: str, told: Mapping[str, str] = MappingProxyType({})) -> bytes:
    """The same bytes for the same figure: no date, no random ids. told: what a PNG says of itself."""
    from matplotlib import rc_context

    data = io.BytesIO()
    with rc_context({"svg.hashsalt": "roibench"}):
        figure.savefig(data, format=kind, metadata={"Date": None} if kind == "svg" else dict(told))
    return data.getvalue()
