"""Writes a report into a folder: the one place here that touches files."""

from __future__ import annotations

import io
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING

from roibench.files import write_atomically
from roibench.measure.journal import read_lines
from roibench.measure.paired import PairedBenchmark
from roibench.measure.record import Provenance, Record
from roibench.report import csv, markdown, operators
from roibench.report.curve import training_curve
from roibench.report.plot import SOURCE, drawn_from, speed_accuracy
from roibench.report.rows import Table, tables

if TYPE_CHECKING:
    from matplotlib.figure import Figure

SPEED_ACCURACY = "speed_accuracy"


def write_report(
    records: Sequence[Record], folder: Path, notes: Mapping[str, Sequence[str]] = MappingProxyType({})
) -> list[Path]:
    """Write table.md, table.csv and every plot as .png and .svg; returns the paths. notes: what else table.md tells of
    the run, by title.

    Each file is replaced as a whole: a reader sees the old one or the new one, and an interrupted write leaves the old.
    """
    pages = {"table.md": markdown.render(records, notes), "table.csv": csv.render(records)}
    written = [write_atomically(folder / name, text.encode()) for name, text in pages.items()]
    for name, table in plots(records).items():
        figure = speed_accuracy(table)
        written += [
            write_atomically(folder / f"{name}.{kind}", picture(figure, kind, table)) for kind in ("png", "svg")
        ]
    return written


def write_training_curve(log: Path, title: str) -> Path:
    """Draw what training wrote into `log` (training.jsonl) as a .png beside it; returns the path."""
    epochs = {line["epoch"]: line for line in read_lines(log)}  # an epoch that was interrupted has been logged twice
    figure = training_curve([epochs[number] for number in sorted(epochs)], title)
    return write_atomically(log.with_suffix(".png"), picture(figure, "png"))


def write_operators(benchmarks: Sequence[PairedBenchmark], machine: Provenance, folder: Path) -> Path:
    """Write the operators' table, ops.md; returns the path."""
    return write_atomically(folder / "ops.md", operators.markdown(benchmarks, machine).encode())


def plots(records: Sequence[Record]) -> dict[str, Table]:
    """What there is to plot, by file name without ending: speed_accuracy-TASK-DATASET of what ranks, and likewise
    VALUE-TASK-DATASET of each value that its metric wants plotted. Two datasets of one name are told apart by their
    hash.
    """
    named: dict[str, Table] = {}
    for table in tables(records):
        plotted = {SPEED_ACCURACY: table}
        plotted |= {table.name(key): table.by(key) for key, value in table.values.items() if value.plotted}
        for what, ranked in plotted.items():
            if any(row.score is not None for row in ranked.rows):
                name = re.sub(r"[^A-Za-z0-9._-]+", "-", f"{what}-{table.task}-{table.dataset}")
                named[f"{name}-{table.dataset_hash[:8]}" if name in named else name] = ranked
    return named


def picture(figure: Figure, kind: str, table: Table | None = None) -> bytes:
    """The same bytes for the same figure: no date, no random ids. table: a PNG tells that it was drawn from it."""
    from matplotlib import rc_context

    data = io.BytesIO()
    told = {SOURCE: drawn_from(table)} if table and kind == "png" else {}
    with rc_context({"svg.hashsalt": "roibench"}):
        figure.savefig(data, format=kind, metadata={"Date": None} if kind == "svg" else told)
    return data.getvalue()
