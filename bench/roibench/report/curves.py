"""Two more pictures of a table: values along curves, such as recall against the number of proposals, and where models
spend their time. Only drawing one imports matplotlib.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from roibench.report.numbers import scale, short
from roibench.report.rows import Row, Table

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

_MARKERS = "os^Dv*PX"
_CHARACTER = 0.011  # of a name, as a share of the bar: it stands there if it fits


def curve_points(table: Table) -> dict[str, dict[str, list[tuple[float, float, float, float]]]]:
    """By curve, then by model: (at, value, low, high) of its points in the values' unit, in rising order."""
    found: dict[str, dict[str, list[tuple[float, float, float, float]]]] = {}
    for row in table.rows:
        for value in row.scores.values():
            if value.point is not None:
                factor = scale(value.unit)
                point = (value.point.at, factor * value.value, factor * value.low, factor * value.high)
                found.setdefault(value.point.curve, {}).setdefault(_name(table, row), []).append(point)
    return {curve: {name: sorted(points) for name, points in models.items()} for curve, models in found.items()}


def curves(table: Table) -> Figure:
    """A panel per curve, a line per model; bands are the values' 95 % intervals."""
    from matplotlib.figure import Figure

    found = curve_points(table)
    declared = {value.point.curve: value for value in table.values.values() if value.point is not None}
    figure = Figure(figsize=(5 * len(found), 4.2), dpi=150, layout="constrained")
    panels = figure.subplots(1, len(found), sharey=True, squeeze=False)[0]
    for axes, (curve, models) in zip(panels, found.items(), strict=True):
        for index, (name, points) in enumerate(models.items()):
            at, value, low, high = zip(*points, strict=True)
            style = {"color": f"C{index % 10}", "marker": _MARKERS[index % len(_MARKERS)]}
            axes.plot(at, value, label=name, markersize=4, linewidth=1.3, **style)
            axes.fill_between(at, low, high, color=style["color"], alpha=0.15, linewidth=0)
        axes.set_xscale("log")
        axes.xaxis.set_major_formatter("{x:,g}")
        axes.set_xlabel(f"{declared[curve].point.along} (log scale)")
        unit = declared[curve].unit
        axes.set_title(f"{curve} ({unit})" if unit else curve, fontsize=10)
        axes.grid(visible=True, color="0.92", linewidth=0.8)
        axes.spines[["top", "right"]].set_visible(False)
    _titled(figure, table, "bands: 95 % confidence intervals")
    handles, names = panels[0].get_legend_handles_labels()
    figure.legend(handles, names, loc="outside lower center", ncols=3, fontsize=8, frameon=False)
    return figure


def stage_shares(table: Table) -> list[tuple[str, float, list[tuple[str, float]]]]:
    """Of each row that tells its stages, slowest first: model, milliseconds per image, and the stages' shares."""
    told = sorted((row for row in table.rows if row.record.stages), key=lambda row: -row.p50.value)
    return [(_name(table, row), row.p50.value, [(one.name, one.share) for one in row.record.stages]) for row in told]


def stages(table: Table) -> Figure:
    """A bar per model, slowest above, cut into its stages' shares; a stage has one colour in all bars."""
    from matplotlib import colormaps
    from matplotlib.figure import Figure

    bars = stage_shares(table)
    names = list(dict.fromkeys(name for _, _, parts in bars for name, _ in parts))
    palette = colormaps["tab20"].colors
    colours = {name: palette[(2 * i + i // 10) % 20] for i, name in enumerate(names)}
    figure = Figure(figsize=(9, 1.6 + 0.42 * len(bars)), dpi=150, layout="constrained")
    axes = figure.add_subplot()
    for place, (_, milliseconds, parts) in enumerate(bars):
        _bar(axes, place, milliseconds, parts, colours)
    axes.set_yticks(range(len(bars)), [name for name, _, _ in bars])
    axes.invert_yaxis()
    axes.set_xlim(0, 100)
    axes.set_xlabel("share of predict (%); at the right: median milliseconds per image")
    axes.spines[["top", "right", "left"]].set_visible(False)
    axes.tick_params(left=False)
    _titled(figure, table, "where the time goes")
    patches = [axes.barh(0, 0, color=colour) for colour in colours.values()]
    figure.legend(patches, names, loc="outside lower center", ncols=6, fontsize=7.5, frameon=False)
    return figure


def _bar(
    axes: Axes, place: int, milliseconds: float, parts: list[tuple[str, float]], colours: dict[str, tuple[float, ...]]
) -> None:
    left = 0.0
    for name, share in parts:
        axes.barh(place, 100 * share, left=left, color=colours[name], edgecolor="white", linewidth=0.6)
        if share >= _CHARACTER * len(name):
            axes.text(left + 50 * share, place, name, ha="center", va="center", fontsize=7)
        left += 100 * share
    axes.text(101, place, f"{short(milliseconds)} ms", va="center", fontsize=8, clip_on=False)


def _titled(figure: Figure, table: Table, said: str) -> None:
    title = table.title[0].upper() + table.title[1:]
    figure.suptitle(f"{title} ({said})\n{table.shared}", fontsize=9.5)


def _name(table: Table, row: Row) -> str:
    own = table.own(row.setting)
    return f"{row.model}, {own}" if own else row.model
