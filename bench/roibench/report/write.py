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
from roibench.report.plot import speed_accuracy
from roibench.report.rows import Table, tables

if TYPE_CHECKING:
    from matplotlib.figure import Figure


def write_report(
    records: Sequence[Record], folder: Path, notes: Mapping[str, Sequence[str]] = MappingProxyType({})
) -> list[Path]:
    """Write table.md, table.csv and speed_accuracy-TASK-DATASET.png and .svg, and likewise VALUE-TASK-DATASET for
    each value that its metric wants plotted; returns the paths. notes: what else table.md tells of the run, by title.

    Each file is replaced as a whole: a reader sees the old one or the new one, and an interrupted write leaves the old.
    """
    written = [
        write_atomically(folder / "table.md", markdown.render(records, notes).encode()),
        write_atomically(folder / "table.csv", csv.render(records).encode()),
    ]
    for name, table in _named(tables(records)).items():
        if figure := speed_accuracy(table):
            written += [write_atomically(folder / f"{name}.{kind}", _picture(figure, kind)) for kind in ("png", "svg")]
    return written


def write_training_curve(log: Path, title: str) -> Path:
    """Draw what training wrote into `log` (training.jsonl) as a .png beside it; returns the path."""
    epochs = {line["epoch"]: line for line in read_lines(log)}  # an epoch that was interrupted has been logged twice
    figure = training_curve([epochs[number] for number in sorted(epochs)], title)
    return write_atomically(log.with_suffix(".png"), _picture(figure, "png"))


def write_operators(benchmarks: Sequence[PairedBenchmark], machine: Provenance, folder: Path) -> Path:
    """Write the operators' table, ops.md; returns the path."""
    return write_atomically(folder / "ops.md", operators.markdown(benchmarks, machine).encode())


def _named(found: Sequence[Table]) -> dict[str, Table]:
    """File names without ending; two datasets of one name are told apart by their hash."""
    named: dict[str, Table] = {}
    for table in found:
        plotted = {"speed_accuracy": table}
        plotted |= {table.name(key): table.by(key) for key, value in table.values.items() if value.plotted}
        for what, ranked in plotted.items():
            name = re.sub(r"[^A-Za-z0-9._-]+", "-", f"{what}-{table.task}-{table.dataset}")
            named[f"{name}-{table.dataset_hash[:8]}" if name in named else name] = ranked
    return named


def _picture(figure: Figure, kind: str) -> bytes:
    """The same bytes for the same figure: no date, no random ids."""
    from matplotlib import rc_context

    data = io.BytesIO()
    with rc_context({"svg.hashsalt": "roibench"}):
        figure.savefig(data, format=kind, metadata={"Date": None} if kind == "svg" else None)
    return data.getvalue()
