"""Values of a table along curves, as recall against the number of proposals. Only drawing one imports matplotlib."""

from __future__ import annotations

from typing import TYPE_CHECKING

from roibench.report.numbers import scale
from roibench.report.rows import Table

if TYPE_CHECKING:
    from matplotlib.figure import Figure

_MARKERS = "os^Dv*PX"


def curve_points(table: Table) -> dict[str, dict[str, list[tuple[float, float, float, float]]]]:
    """By curve, then by model: (at, value, low, high) of its points in the values' unit, in rising order."""
    found: dict[str, dict[str, list[tuple[float, float, float, float]]]] = {}
    for row in table.rows:
        for value in row.scores.values():
            if value.point is not None:
                factor = scale(value.unit)
                point = (value.point.at, factor * value.value, factor * value.low, factor * value.high)
                found.setdefault(value.point.curve, {}).setdefault(table.label(row), []).append(point)
    return {curve: {name: sorted(points) for name, points in models.items()} for curve, models in found.items()}


def value_curves(table: Table) -> Figure:
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
    figure.suptitle(f"{table.heading} (bands: 95 % confidence intervals)\n{table.shared}", fontsize=9.5)
    handles, names = panels[0].get_legend_handles_labels()
    figure.legend(handles, names, loc="outside lower center", ncols=3, fontsize=8, frameon=False)
    return figure
