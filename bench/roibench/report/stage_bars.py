"""Where models spend their time: a bar each. Only drawing them imports matplotlib."""

from __future__ import annotations

from typing import TYPE_CHECKING

from roibench.report.numbers import short
from roibench.report.rows import Table

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

_CHARACTER = 0.011  # of a name, as a share of the bar: it stands there if it fits


def stage_shares(table: Table) -> list[tuple[str, float, list[tuple[str, float]]]]:
    """Of each row that tells its stages, slowest first: model, milliseconds per image, and the stages' shares."""
    told = sorted((row for row in table.rows if row.record.stages), key=lambda row: -row.p50.value)
    return [(table.label(row), row.p50.value, [(one.name, one.share) for one in row.record.stages]) for row in told]


def stage_bars(table: Table) -> Figure:
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
    figure.suptitle(f"{table.heading} (where the time goes)\n{table.shared}", fontsize=9.5)
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
