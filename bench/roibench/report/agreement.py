"""How far the values of a task agree on the order of its models. Only drawing it imports matplotlib."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from textwrap import fill
from typing import TYPE_CHECKING

import numpy as np

from roibench.measure.pairs import value_over
from roibench.measure.record import Interval, Prefix
from roibench.metrics.agreement import by_chance, correlation_intervals
from roibench.registry import AT
from roibench.report.rows import DOUBTFUL, Row, Table

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

LEAST = 5  # models: fewer have the same order by chance too often
VALUES = 3  # fewer have one pair, which needs no matrix
LOWEST = "\N{DOWNWARDS ARROW}"  # behind a value whose lowest is best
LEGEND = (
    "Spearman's rank correlation over the models of each pair of values, with its 95 % bootstrap interval over images: "
    "1 where both put the models into the same order, -1 into the opposite one, better being better for both "
    f"({LOWEST}: the lowest is best). A model counts once, with no knob set."
)
_WIDE, _HIGH = 0.85, 0.42  # inches, a pair
_LEFT, _BELOW = 1.6, 1.7  # inches, for names and what a panel is of
_LETTERS = 14  # to the inch


@dataclass(frozen=True)
class Agreement:
    """Of models that go around the same one, or around none, on the same images.

    around: that model; "" where they go around none.
    models: whose order it is, without the one inside.
    left_out: those whose predictions are doubtful, likewise.
    names: of the values in which the models differ, marked where the lowest is best.
    pairs: two places in names, the later one first -> rank correlation, to four decimals.
    """

    around: str
    models: tuple[str, ...]
    left_out: tuple[str, ...]
    names: tuple[str, ...]
    pairs: Mapping[tuple[int, int], Interval]

    @property
    def heading(self) -> str:
        """`around retinanet: 10 models`, and who was left out."""
        doubtful = f"; left out, as {DOUBTFUL}: {', '.join(self.left_out)}" if self.left_out else ""
        where = f"around {self.around}: " if self.around else ""
        return f"{where}{len(self.models)} models{doubtful}"

    @property
    def chance(self) -> str:
        """What the number of models leaves open, in words."""
        count = len(self.models)
        beyond = f"correlate beyond ±{by_chance(count):.2f} 1 time in 20"
        return f"Orders of {count} models that have nothing in common {beyond}; bold: all of the interval lies there."

    def is_beyond_chance(self, found: Interval) -> bool:
        limit = by_chance(len(self.models))
        return found.low > limit or found.high < -limit


def agreements(table: Table) -> list[Agreement]:
    """Of what ranks and of the values that tables show, where records hold resamples of at least three for at least
    five models.

    A model whose predictions are doubtful doesn't count: what its values tell is in doubt, too. That a model looks at
    nothing of the one that it goes around is such a doubt.
    """
    groups: dict[tuple[object, ...], list[Row]] = {}
    for row in table.rows:
        if row.record.cell.is_plain:
            inner = row.record.cell.model.partition(AT)[2]
            setting = row.setting
            groups.setdefault((inner, setting.images, setting.device, setting.precision), []).append(row)
    found = (_agreement(table, inner, rows) for (inner, *_), rows in groups.items())
    return [one for one in found if one is not None]


def _agreement(table: Table, inner: str, rows: Sequence[Row]) -> Agreement | None:
    latest = {row.model: row for row in sorted(rows, key=lambda row: row.record.started)}
    found = [latest[name] for name in dict.fromkeys(row.model for row in rows)]
    kept = [row.record for row in found if row.record.is_scored and not row.warnings]
    columns = {
        key: [value_over(record, table.task, record.images, key) for record in kept]
        for key in (table.primary, *table.shown)
    }
    columns = {key: column for key, column in columns.items() if _has_an_order(column)}
    if len(kept) < LEAST or len(columns) < VALUES:
        return None
    lowest = [not table.values[key].higher_is_better for key in columns]
    sign = np.where(lowest, -1.0, 1.0)
    values = np.array([[one.value for one in column] for column in columns.values()])  # [V, M]
    resampled = np.array([[one.resampled for one in column] for column in columns.values()], np.float64)  # NaN for None
    correlations = np.stack(correlation_intervals(values.T * sign, resampled.transpose(2, 1, 0) * sign), axis=-1)
    pairs = {}
    for i, j in zip(*np.tril_indices(len(columns), -1), strict=True):
        value, low, high = correlations[i, j].round(4).tolist()
        if not math.isnan(low):
            pairs[int(i), int(j)] = Interval(value=value, low=low, high=high)
    outer = {row.record.cell.model: row.record.cell.model.partition(AT)[0] for row in found}
    return Agreement(
        around=inner,
        models=tuple(outer[record.cell.model] for record in kept),
        left_out=tuple(outer[row.record.cell.model] for row in found if row.warnings),
        names=tuple(table.name(key) + f" {LOWEST}" * low for key, low in zip(columns, lowest, strict=True)),
        pairs=pairs,
    )


def _has_an_order(column: Sequence[Prefix | None]) -> bool:
    """Whether all models have the value, with as many resamples, and not all the same one."""
    if None in column or len({one.value for one in column}) < 2:
        return False
    counts = {len(one.resampled) for one in column}
    return len(counts) == 1 and counts != {0}


def written(found: Interval) -> tuple[str, str]:
    """A correlation and its interval, as every report has them: `0.82`, `[0.65, 0.93]`."""
    value, low, high = (f"{round(one, 2) + 0.0:.2f}" for one in (found.value, found.low, found.high))  # not -0.00
    return value, f"[{low}, {high}]"


def agreement_matrices(table: Table) -> Figure:
    """A panel per model that others go around, a field per pair of values, coloured by their correlation."""
    from matplotlib.figure import Figure

    found = agreements(table)
    sides = [len(one.names) - 1 for one in found]
    width = max(_WIDE * max(sides) + _LEFT, 6.5)
    letters = int(_LETTERS * (width - _LEFT / 2))
    figure = Figure((width, _HIGH * sum(sides) + _BELOW * len(found) + 0.7), dpi=150, layout="constrained")
    panels = figure.subplots(len(found), 1, squeeze=False, height_ratios=sides)[:, 0]
    for axes, one in zip(panels, found, strict=True):
        _matrix(axes, one)
        axes.set_title(fill(f"{one.heading}. {one.chance}", letters), fontsize=8, loc="left")
    about = f"{table.heading}: rank correlation of values over models [95\N{NO-BREAK SPACE}% interval over images]"
    figure.suptitle("\n".join(fill(line, letters) for line in (about, table.shared)), fontsize=9.5)
    return figure


def _matrix(axes: Axes, one: Agreement) -> None:
    side = len(one.names) - 1
    colours = np.full((side, side), np.nan)
    for (i, j), found in one.pairs.items():
        colours[i - 1, j] = found.value
        value, bounds = written(found)
        style = {"ha": "center", "va": "center", "color": "white" if abs(found.value) > 0.6 else "black"}
        weight = "bold" if one.is_beyond_chance(found) else "normal"
        axes.text(j, i - 1.18, value, fontsize=9, weight=weight, **style)
        axes.text(j, i - 0.74, bounds, fontsize=6.5, **style)
    axes.imshow(colours, cmap="RdBu", vmin=-1, vmax=1, aspect="auto")
    axes.set_xticks(range(side), one.names[:-1], rotation=25, ha="right", rotation_mode="anchor", fontsize=8.5)
    axes.set_yticks(range(side), one.names[1:], fontsize=8.5)
    axes.tick_params(length=0)
    axes.spines[:].set_visible(False)
