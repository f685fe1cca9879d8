"""What metrics hand over to be looked at (roibench.chart), as a figure or a table. Only drawing imports matplotlib."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from textwrap import fill
from typing import TYPE_CHECKING

import numpy as np

from roibench.chart import Curves, Heatmap, Listing, Name, Reliability
from roibench.metric import Estimate
from roibench.report.numbers import MISSING, heading, number, with_interval

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

_COLOURED = 20  # lines that can be told apart: ten colours, whole and dashed
_FIRST = 10  # of more lines, those that are named
_WRITTEN = 25  # classes of a heat map whose counts can be read
_LETTERS = 14  # to the inch
_PALE = "0.8"
MINUS = " \N{MINUS SIGN} "  # between the names of two models that are compared


def listed(chart: Listing, classes: Sequence[str]) -> tuple[list[str], list[list[str]]]:
    """Titles and rows, the first column naming the rows."""
    titles = ["", *(heading(name, unit) for name, unit in chart.columns.items())]
    units = chart.columns.values()
    rows = [
        [named(name, classes), *(_entry(one, unit) for one, unit in zip(entries, units, strict=True))]
        for name, entries in chart.rows.items()
    ]
    return titles, rows


def named(name: Name, classes: Sequence[str]) -> str:
    return name if isinstance(name, str) else classes[name]


def drawn(chart: Curves | Heatmap | Reliability, title: str, classes: Sequence[str]) -> Figure:
    """A chart below its title and what it is about."""
    from matplotlib.figure import Figure

    draw, size = {
        Curves: (_curves, (7.5, 5.5)),
        Heatmap: (_heatmap, _heatmap_size(chart)),
        Reliability: (_reliability, (6, 6.5)),
    }[type(chart)]
    figure = Figure(figsize=size, dpi=150, layout="constrained")
    draw(figure, chart, classes)
    letters = int(_LETTERS * size[0])
    figure.suptitle(f"{fill(title, letters)}\n{fill(chart.about, letters)}", fontsize=9)
    return figure


def _entry(value: float | Estimate | None, unit: str) -> str:
    if value is None:
        return MISSING
    return with_interval(value, unit) if isinstance(value, Estimate) else number(value, unit)


def _curves(figure: Figure, chart: Curves, classes: Sequence[str]) -> None:
    axes = figure.add_subplot()
    coloured = _told_apart(chart)
    for name, line in chart.lines.items():
        if name not in coloured:
            axes.plot(*zip(*line, strict=True), color=_PALE, linewidth=0.7, zorder=1)
    for index, name in enumerate(coloured):
        style = {"color": f"C{index % 10}", "zorder": 2 + index}
        dashes = "--" if index >= 10 else "-"
        axes.plot(*zip(*chart.lines[name], strict=True), dashes, linewidth=1.4, label=named(name, classes), **style)
        if name in chart.marks:
            axes.plot(*chart.marks[name], "o", markersize=5, markeredgecolor="white", clip_on=False, **style)
    if others := len(chart.lines) - len(coloured):
        axes.plot([], [], color=_PALE, label=f"{others} others")
    axes.set_xlim(*chart.span)
    axes.set_ylim(0, 1.01)
    axes.set_xlabel(chart.x)
    axes.set_ylabel(chart.y)
    _tidy(axes)
    if chart.lines:
        figure.legend(loc="outside lower center", ncols=5, fontsize=8, frameon=False)


def _told_apart(chart: Curves) -> list[Name]:
    """The lines that have a colour: all of a few, the first of many."""
    return list(chart.lines)[: _COLOURED if len(chart.lines) <= _COLOURED else _FIRST]


def _heatmap_size(chart: object) -> tuple[float, float]:
    if not isinstance(chart, Heatmap):
        return 0, 0
    side = 0.55 if len(chart.rows) <= _WRITTEN else 0.2  # inches
    return max(6.5, 2.6 + side * len(chart.columns)), max(5, 2.2 + 0.8 * side * len(chart.rows))


def _heatmap(figure: Figure, chart: Heatmap, classes: Sequence[str]) -> None:
    axes = figure.add_subplot()
    counts = np.array(chart.counts)
    share = counts / np.maximum(counts.sum(1, keepdims=True), 1)
    image = axes.imshow(share, cmap="Blues", vmin=0, vmax=1, aspect="auto")
    small = 8 if len(chart.rows) <= _WRITTEN else 5.5
    for (row, column), count in np.ndenumerate(counts):
        if count and len(chart.rows) <= _WRITTEN:
            colour = "white" if share[row, column] > 0.6 else "black"
            axes.text(column, row, f"{count:,}", ha="center", va="center", fontsize=7.5, color=colour)
    turned = {"rotation": 45, "ha": "right", "rotation_mode": "anchor"} if small == 8 else {"rotation": 90}
    axes.set_xticks(range(len(chart.columns)), [named(one, classes) for one in chart.columns], fontsize=small, **turned)
    axes.set_yticks(range(len(chart.rows)), [named(one, classes) for one in chart.rows], fontsize=small)
    axes.set_xlabel(chart.column_title)
    axes.set_ylabel(chart.row_title)
    axes.tick_params(length=0)
    axes.spines[:].set_visible(False)
    bar = figure.colorbar(image, ax=axes, shrink=0.7, pad=0.02)
    bar.set_label("share of the row", fontsize=8)
    bar.outline.set_visible(False)


def _reliability(figure: Figure, chart: Reliability, classes: Sequence[str]) -> None:
    above, below = figure.subplots(2, 1, sharex=True, height_ratios=(3, 1))
    middle = [(one.low + one.high) / 2 for one in chart.bins]
    width = [one.high - one.low for one in chart.bins]
    above.bar(middle, [one.accuracy for one in chart.bins], width, color="C0", alpha=0.35, edgecolor="white")
    above.plot([0, 1], [0, 1], "--", color="0.5", linewidth=1, label="perfectly calibrated")
    points = [(one.confidence, one.accuracy) for one in chart.bins]
    above.plot(*zip(*points, strict=True), "o-", color="C0", markersize=4, linewidth=1.2, label="bins, at their mean")
    above.set_ylim(0, 1.01)
    above.set_ylabel(chart.y)
    above.legend(loc="upper left", fontsize=8, frameon=False)
    below.bar(middle, [one.count for one in chart.bins], width, color="0.6", edgecolor="white")
    below.set_ylabel("number")
    below.yaxis.set_major_formatter("{x:,g}")
    below.set_xlabel(chart.x)
    below.set_xlim(0, 1)
    for axes in (above, below):
        _tidy(axes)


def _tidy(axes: Axes) -> None:
    axes.grid(visible=True, color="0.92", linewidth=0.8)
    axes.set_axisbelow(True)
    axes.spines[["top", "right"]].set_visible(False)


def intervals(
    title: str,
    unit: str,
    models: Mapping[str, Mapping[str, Estimate]],
    differences: Mapping[str, Mapping[str, Estimate]],
) -> Figure:
    """Values with their intervals, by model, then by name; beside them differences, by what they are of. In `unit`."""
    from matplotlib.figure import Figure

    names = list(dict.fromkeys(name for values in models.values() for name in values))
    lines = max(len(models), 1)
    figure = Figure(
        figsize=(9 if differences else 6, 1.9 + 0.16 * (lines + 1) * len(names)), dpi=150, layout="constrained"
    )
    panels = figure.subplots(1, 1 + bool(differences), sharey=True, squeeze=False)[0]
    colours = {name: f"C{index % 10}" for index, name in enumerate(models)}
    for axes, found, what in zip(
        panels, (models, differences), (unit, f"difference ({'points' if unit == '%' else unit})"), strict=False
    ):
        for index, (of, values) in enumerate(found.items()):
            rows = [row for row, name in enumerate(names) if name in values]
            chosen = [values[names[row]] for row in rows]
            value = np.array([one.value for one in chosen])
            spread = [value - [one.low for one in chosen], [one.high for one in chosen] - value]
            height = np.array(rows) + 0.7 * ((index + 0.5) / len(found) - 0.5)
            colour = colours.get(of.partition(MINUS)[0], "C0")
            style = {"fmt": "o", "markersize": 4, "capsize": 2, "elinewidth": 1, "color": colour}
            axes.errorbar(value, height, xerr=np.maximum(spread, 0), label=of, **style)
        axes.set_xlabel(f"{what}; bar: 95 % confidence interval", fontsize=8)
        _tidy(axes)
    if differences:
        panels[1].axvline(0, color="0.4", linewidth=1, zorder=1)
        panels[1].set_title("\n".join(differences), fontsize=8)
    panels[0].set_yticks(range(len(names)), names, fontsize=8.5)
    panels[0].set_ylim(len(names) - 0.5, -0.5)
    figure.suptitle(fill(title, int(_LETTERS * figure.get_figwidth())), fontsize=9)
    handles, told = panels[0].get_legend_handles_labels()
    figure.legend(handles, told, loc="outside lower center", ncols=3, fontsize=8, frameon=False)
    return figure
