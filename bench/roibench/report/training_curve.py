"""The training curve: each loss by epoch, from the log that training keeps. Only drawing one imports matplotlib."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from matplotlib.figure import Figure

_NOT_LOSSES = ("epoch", "seconds", "learning_rate")


def training_curve(epochs: Sequence[Mapping[str, float]], title: str) -> Figure:
    """Mean losses of each epoch (log scale), their sum, and the learning rate at the epoch's end behind them.

    epochs: the lines of training.jsonl: `epoch` (from 1), `seconds` it took, `learning_rate`, and the losses by name.
    """
    from matplotlib.figure import Figure

    figure = Figure(figsize=(8, 4.5), dpi=150, layout="constrained")
    axes = figure.add_subplot()
    at = [line["epoch"] for line in epochs]
    names = [name for name in epochs[-1] if name not in _NOT_LOSSES]
    marker = "o" if len(epochs) == 1 else None
    if len(names) > 1:
        total = [sum(line[name] for name in names) for line in epochs]
        axes.plot(at, total, color="black", linewidth=2, marker=marker, label="sum")
    for name in names:
        axes.plot(at, [line[name] for line in epochs], linewidth=1.2, marker=marker, label=name)
    axes.set_yscale("log")
    axes.set_xlabel("epoch")
    axes.set_ylabel("mean training loss (log scale)")
    axes.xaxis.get_major_locator().set_params(integer=True)
    axes.grid(visible=True, color="0.92", linewidth=0.8)
    rates = axes.twinx()
    rates.fill_between(at, [line["learning_rate"] for line in epochs], color="0.93", step="mid")
    rates.set_ylim(0)
    rates.set_ylabel("learning rate (grey)", color="0.45")
    rates.tick_params(colors="0.45")
    axes.set_zorder(rates.get_zorder() + 1)
    axes.patch.set_visible(False)
    for each in (axes, rates):
        each.spines["top"].set_visible(False)
    axes.set_title(title, loc="left", fontweight="bold")
    axes.legend(fontsize=8, frameon=False, ncols=2)
    return figure
