"""What goes wrong in the cells of a run: values beside each other, paired, and what metrics show beside them."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from roibench.chart import CHARTS, Listing
from roibench.datasets.reference import DatasetRef
from roibench.files import write_atomically
from roibench.measure.record import Ok
from roibench.measure.recorded import recorded_data
from roibench.measure.rescore import GroundTruth, recorded_scores
from roibench.measure.score import Scores
from roibench.metric import Estimate
from roibench.metrics.bootstrap import difference
from roibench.registry import Registry
from roibench.report.charts import MINUS, drawn, intervals, listed
from roibench.report.gallery import ALL, chosen_cells
from roibench.report.markdown import grid
from roibench.report.numbers import MISSING, heading, scale, short_name, with_interval
from roibench.report.write import picture

if TYPE_CHECKING:
    from matplotlib.figure import Figure

FOLDER = "errors"
PAGE = "errors.md"


@dataclass(frozen=True)
class Cell:
    """A cell by its name in tables, or its id where another one is called alike, and its scores over the images that
    all cells have.
    """

    name: str
    record: Ok
    scores: Scores


@dataclass(frozen=True)
class Analysis:
    """Cells of one dataset under one task, over the same images: the first one is what others are compared with.

    dataset: its name. classes: its names, by label. images: how many, from the first one on.
    """

    dataset: str
    task: str
    classes: tuple[str, ...]
    images: int
    cells: tuple[Cell, ...]

    @property
    def heading(self) -> str:
        return f"{self.task} on {self.dataset}, {self.images:,} images"

    @property
    def keys(self) -> list[str]:
        """METRIC/VALUE of all that a cell has."""
        return list(dict.fromkeys(key for cell in self.cells for key in cell.scores.values))

    @property
    def compared(self) -> dict[str, dict[str, Estimate]]:
        """By `B - A`, the difference of each other cell from the first one, of what both have: paired by resamples."""
        first, *others = self.cells
        return {
            f"{other.name}{MINUS}{first.name}": {
                key: difference(other.scores.values[key], first.scores.values[key])
                for key in self.keys
                if all(key in cell.scores.values and len(cell.scores.values[key].resampled) for cell in (first, other))
            }
            for other in others
        }

    def unit(self, key: str) -> str:
        return next(cell.scores.declared[key].unit for cell in self.cells if key in cell.scores.declared)


def analyse_run(run: Path, registry: Registry, models: Sequence[str] = ALL) -> Analysis:
    """Scores the cells of a run again that share dataset and task with the first one of these models.

    models: patterns of their names, as tables have them; their order decides which cell is the first.

    Raises ValueError where there is none, and where predictions or dataset have changed.
    """
    records = [one for one in chosen_cells(run, models)[0] if one.is_scored]
    if not records:
        raise ValueError(f"{run}: its models were measured for their speed alone: nothing was scored")
    task = registry.tasks[next(iter(records[0].scores))]
    records = [one for one in records if task.name in one.scores]
    records.sort(key=lambda one: next(i for i, pattern in enumerate(models) if fnmatchcase(one.cell.label, pattern)))
    data, images = recorded_data(records[0], registry, run), min(record.images for record in records)
    known = GroundTruth.of(data, images)
    names = Counter(record.cell.label for record in records)
    cells = tuple(
        Cell(
            record.cell.label if names[record.cell.label] == 1 else record.cell_id,
            record,
            recorded_scores(record, run, task, known, registry),
        )
        for record in records
    )
    label = DatasetRef.parse(records[0].cell.dataset).label
    return Analysis(label, task.name, data.info.classes, images, cells)


def write_analysis(found: Analysis, folder: Path) -> list[Path]:
    """errors.md, and a .png of each plot, into a folder; returns the paths, the page first."""
    pictures: dict[str, Figure] = {}

    def shown(name: str, figure: Figure) -> str:
        slug = re.sub(r"[^A-Za-z0-9._-]+", "-", name)
        pictures[f"{slug}.png"] = figure
        return f"![{name}]({slug}.png)"

    parts = [f"# What goes wrong: {found.heading}", *_values(found)]
    parts += [shown(name, figure) for name, figure in _value_plots(found)]
    for cell in found.cells:
        parts.append(f"## {cell.name}")
        parts += [f"(!) {warning}" for warning in cell.scores.warnings]
        for key, chart in cell.scores.artefacts.items():
            title = f"{cell.name}: {key.partition(': ')[2]}"
            if isinstance(chart, Listing):
                titles, rows = listed(chart, found.classes)
                parts += [f"### {title}", chart.about, *([grid(titles, rows, left=1)] if rows else [])]
            elif isinstance(chart, CHARTS):
                figure = drawn(chart, f"{title} ({found.heading})", found.classes)
                parts += [f"### {title}", shown(f"{cell.record.cell_id} {key}", figure)]
    page = write_atomically(folder / PAGE, ("\n\n".join(parts) + "\n").encode())
    return [page, *(write_atomically(folder / name, picture(figure, "png")) for name, figure in pictures.items())]


def values_grid(found: Analysis) -> tuple[list[str], list[list[str]]]:
    """Titles and rows: a value of each cell, and the differences from the first, marked * where 0 is outside."""
    compared = found.compared
    titles = ["value", *(cell.name for cell in found.cells), *compared]
    rows = []
    for key in found.keys:
        unit = found.unit(key)
        row = [heading(short_name(key, found.keys), unit)]
        row += [with_interval(cell.scores.values.get(key), unit) for cell in found.cells]
        row += [_difference(values.get(key), unit) for values in compared.values()]
        rows.append(row)
    return titles, rows


def notes(found: Analysis) -> list[str]:
    """What to know of values_grid."""
    told = ["[95 % confidence interval] over resamples of the images."]
    if any(found.compared.values()):
        told.append(
            "Differences are paired, resample by resample; * marks those whose interval leaves out 0, as 1 in 20 "
            "does where models don't differ."
        )
    return told


def _values(found: Analysis) -> Iterator[str]:
    titles, rows = values_grid(found)
    yield grid(titles, rows, left=1)
    yield " ".join(notes(found))


def _difference(one: Estimate | None, unit: str) -> str:
    if one is None:
        return MISSING
    return with_interval(one, unit) + " *" * (one.low > 0 or one.high < 0)


def _value_plots(found: Analysis) -> Iterator[tuple[str, Figure]]:
    """Of each metric with several values, those of one unit together."""
    groups: dict[tuple[str, str], list[str]] = {}
    for key in found.keys:
        groups.setdefault((key.partition("/")[0], found.unit(key)), []).append(key)
    for (metric, unit), keys in groups.items():
        if len(keys) > 1:
            models = {cell.name: _shown(cell.scores.values, keys, unit) for cell in found.cells}
            compared = {name: _shown(values, keys, unit) for name, values in found.compared.items()}
            yield f"{metric} {unit}".rstrip(" %"), intervals(f"{metric}: {found.heading}", unit, models, compared)


def _shown(values: dict[str, Estimate], keys: Sequence[str], unit: str) -> dict[str, Estimate]:
    """Those of these keys, as they are shown, by their short names."""
    factor = scale(unit)
    return {
        key.partition("/")[2]: Estimate(*(factor * np.array([one.value, one.low, one.high])))
        for key in keys
        if (one := values.get(key)) is not None
    }
