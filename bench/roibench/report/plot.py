"""The speed/accuracy plot: what each model's accuracy costs in milliseconds. Only drawing one imports matplotlib."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from roibench.draw.labels import place_labels
from roibench.report.numbers import scale
from roibench.report.rows import Row, Setting, Standing, Table

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

_MARKERS = "osD^vP*Xp<>h"
_GREY = "0.45"
_PARETO_FRONT = {"color": "0.75", "linewidth": 3}


def points(table: Table) -> object:
    """All numbers that speed_accuracy draws."""
    rows = [(row.model, row.record.family, row.setting, row.p50, row.score, row.standing) for row in table.rows]
    return table.title, table.primary, rows


def speed_accuracy(table: Table) -> Figure | None:
    """Median latency (log scale) against the score that ranks, with each setting's Pareto front; None without a score.

    Bars are 95 % intervals, of the median over turns and of the score over images. The colour is the model's family,
    the marker its setting: full on the Pareto front, hollow where it can't be told from it, pale where it is beaten,
    both where it isn't comparable. A thin line goes through what differs in the value of one knob alone.
    """
    from matplotlib.figure import Figure

    rows = [row for row in table.rows if row.score is not None]
    if not rows:
        return None
    figure = Figure(figsize=(8, 5.5), dpi=150, layout="constrained")
    axes = figure.add_subplot()
    colours = {family: f"C{i % 10}" for i, family in enumerate(sorted({row.record.family for row in rows}))}
    settings = list(dict.fromkeys(row.setting for row in rows))
    markers = {setting: _MARKERS[i % len(_MARKERS)] for i, setting in enumerate(settings)}
    for row in rows:
        _point(axes, row, colours[row.record.family], markers[row.setting])
    curves = knob_curves(rows)
    for _, curve in curves:
        points = [(row.p50.value, _span(row)[0]) for row in curve]
        axes.plot(*zip(*points, strict=True), color=colours[curve[0].record.family], linewidth=0.8, zorder=2)
    pareto_fronts = [
        [row for row in rows if row.setting == setting and row.standing is Standing.FRONT] for setting in settings
    ]
    for pareto_front in pareto_fronts:
        _pareto_front(axes, pareto_front)
    _scales(axes, rows, percent=table.unit == "%")
    axes.set_xlabel("median latency per image (ms, log scale); bar: 95 % confidence interval")
    unit = f" ({table.unit})" if table.unit else ""
    lower = "" if rows[0].score.higher_is_better else ", better the lower"
    axes.set_ylabel(f"{table.name(table.primary)}{unit}{lower}; bar: 95 % confidence interval")
    title = figure.suptitle(table.heading, fontweight="bold", ha="left")
    axes.set_title(table.shared, fontsize=8.5, color=_GREY, loc="left")
    _legend(axes, table, colours, markers, any(len(pareto_front) > 1 for pareto_front in pareto_fronts))
    figure.draw_without_rendering()  # the layout decides where points are, and so where labels can be
    figure.set_layout_engine("none")
    title.set_x(axes.get_position().x0)
    # Along a curve its first point has the whole name, the others what differs.
    short = {row.record.cell_id: f"{row.record.cell.knobs[knob]}" for knob, curve in curves for row in curve[1:]}
    _names(axes, rows, [short.get(row.record.cell_id, row.model) for row in rows])
    return figure


def knob_curves(rows: list[Row]) -> list[tuple[str, list[Row]]]:
    """Rows that differ in one knob alone, in the order of its values, and its name. Of several knobs it is the first
    that was varied, and there is a curve for each combination of the others.
    """
    models: dict[tuple[object, ...], list[Row]] = {}
    for row in rows:
        cell = row.record.cell
        models.setdefault((cell.model, cell.backend, cell.weights_hash, row.setting, tuple(cell.knobs)), []).append(row)
    curves = []
    for (*_, knobs), found in models.items():
        varied = (knob for knob in knobs if len({row.record.cell.knobs[knob] for row in found}) > 1)
        if (along := next(varied, None)) is None:
            continue
        apart: dict[tuple[object, ...], list[Row]] = {}
        for row in sorted(found, key=lambda row: row.record.cell.knobs[along]):
            others = tuple(value for knob, value in row.record.cell.knobs.items() if knob != along)
            apart.setdefault(others, []).append(row)
        curves += [(along, curve) for curve in apart.values()]
    return curves


def _point(axes: Axes, row: Row, colour: str, marker: str) -> None:
    score, low, high = _span(row)
    # A percentile interval may lie to one side of its value: the bar then starts at its end, not beyond the value.
    upright = [[max(0, score - low)], [max(0, high - score)]]
    spread = [[row.p50.value - row.p50.low], [row.p50.high - row.p50.value]]
    style = {"marker": marker, "color": colour, "markersize": 6.5, "elinewidth": 1, "capsize": 2, "zorder": 3}
    fill = {
        Standing.FRONT: {"markeredgecolor": "white"},
        Standing.NEAR: {"markeredgecolor": colour, "markerfacecolor": "white"},
        Standing.BEATEN: {"markeredgecolor": "white", "alpha": 0.45},
        Standing.APART: {"markeredgecolor": colour, "markerfacecolor": "white", "alpha": 0.45},
    }
    axes.errorbar(row.p50.value, score, xerr=spread, yerr=upright, **style, **fill[row.standing])


def _span(row: Row) -> tuple[float, float, float]:
    """The score and its interval, as they are shown."""
    factor = scale(row.score.unit)
    return factor * row.score.value, factor * row.score.low, factor * row.score.high


def _pareto_front(axes: Axes, rows: list[Row]) -> None:
    """The best accuracy to be had within each time: level until the next model on the Pareto front is affordable."""
    rows = sorted(rows, key=lambda row: row.p50.value)
    times, scores = [row.p50.value for row in rows], [_span(row)[0] for row in rows]
    axes.plot(times, scores, drawstyle="steps-post", zorder=1, **_PARETO_FRONT)


def _scales(axes: Axes, rows: list[Row], percent: bool) -> None:
    from matplotlib.ticker import FuncFormatter, LogLocator, NullFormatter

    first, last = min(row.p50.low for row in rows), max(row.p50.high for row in rows)
    margin = max((last / first) ** 0.08, 1.5)
    axes.set_xscale("log")
    axes.set_xlim(first / margin, last * margin)
    decades = np.log10(last / first * margin**2)
    digits = (1, 1.5, 2, 3, 4, 5, 7) if decades < 1.2 else (1, 2, 5) if decades < 3 else (1,)
    axes.xaxis.set_major_locator(LogLocator(subs=digits, numticks=20))
    axes.xaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:,g}"))
    axes.xaxis.set_minor_formatter(NullFormatter())
    _, lows, highs = zip(*map(_span, rows), strict=True)
    lowest, highest = min(lows), max(highs)
    least = 2 if percent else 0.05 * max(abs(lowest), abs(highest)) or 1
    slack = max(0.12 * (highest - lowest), least)
    bottom, top = lowest - slack, highest + slack
    axes.set_ylim(bottom if lowest < 0 else max(0, bottom), min(100 + slack / 2, top) if percent else top)
    axes.grid(visible=True, which="major", color="0.92", linewidth=0.8)
    axes.set_axisbelow(True)
    axes.spines[["top", "right"]].set_visible(False)


def _legend(axes: Axes, table: Table, colours: dict[str, str], markers: dict[Setting, str], pareto_front: bool) -> None:
    """Below the plot: families and settings where there are several, and the Pareto front where one is drawn."""
    from matplotlib.lines import Line2D

    handles = []
    if len(colours) > 1:
        handles += [Line2D([], [], color=colour, marker="o", ls="", label=name) for name, colour in colours.items()]
    if len(markers) > 1:
        handles += [Line2D([], [], color=_GREY, marker=m, ls="", label=table.own(s)) for s, m in markers.items()]
    if pareto_front:
        handles.append(Line2D([], [], label="Pareto front", **_PARETO_FRONT))
    hollow = {"marker": "o", "ls": "", "color": _GREY, "markerfacecolor": "white"}
    if any(row.standing is Standing.NEAR for row in table.rows):
        handles.append(Line2D([], [], label="can't be told from it", **hollow))
    if any(row.standing is Standing.APART for row in table.rows):
        handles.append(Line2D([], [], label="of too few images to be compared", alpha=0.45, **hollow))
    columns = 1 if len(markers) > 1 else 5
    axes.figure.legend(handles=handles, loc="outside lower center", ncols=columns, fontsize=8, frameon=False)


def _names(axes: Axes, rows: list[Row], names: list[str]) -> None:
    """Label each point where little is covered, with a line to the point where the label is further off."""
    from matplotlib.patheffects import withStroke

    pixels = axes.transData.transform
    scale = axes.figure.dpi / 72  # pixels per point
    dot, bar = 5 * scale, 1.5 * scale
    places = [(row.p50.value, _span(row)[0]) for row in rows]
    points = pixels(places)
    lows = pixels([(row.p50.low, _span(row)[1]) for row in rows])
    highs = pixels([(row.p50.high, _span(row)[2]) for row in rows])
    x, y = points.T
    dots = np.stack([x - dot, y - dot, x + dot, y + dot], axis=1)
    spreads = np.stack([lows[:, 0], y - bar, highs[:, 0], y + bar], axis=1)
    uprights = np.stack([x - bar, lows[:, 1], x + bar, highs[:, 1]], axis=1)

    style = {"fontsize": 8, "va": "bottom", "zorder": 4, "path_effects": [withStroke(linewidth=2, foreground="white")]}
    labels = [
        axes.annotate(name, place, (0, 0), textcoords="offset points", **style)
        for name, place in zip(names, places, strict=True)
    ]
    sizes = [label.get_window_extent().size for label in labels]
    inside = axes.get_window_extent().extents
    boxes = place_labels(points, sizes, inside, np.concatenate([dots, spreads, uprights]), gap=dot)
    for label, point, box in zip(labels, points, boxes, strict=True):
        label.set_position((box[:2] - point) / scale)
        nearest = np.clip(point, box[:2], box[2:])
        if np.hypot(*(nearest - point)) > 2.5 * dot:
            axes.plot(*axes.transData.inverted().transform([point, nearest]).T, color=_GREY, linewidth=0.5, zorder=2)
