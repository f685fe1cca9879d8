"""Duels of operators as a table: ours, the peer's, the ratio, and how near the machine's limit it is."""

from collections.abc import Sequence

from rich.console import RenderableType
from rich.table import Table as RichTable

from roibench.measure.duel import Duel
from roibench.measure.record import Provenance
from roibench.report.markdown import grid
from roibench.report.numbers import MISSING, short

_NOTES = (
    "Medians, in milliseconds. Ratio: how many times faster than the peer, on the same tensors, taking turns. Share of "
    "the limit: against the least that the machine must do for such a result, measured in the same turns."
)


def terminal(duels: Sequence[Duel]) -> RenderableType:
    """One line a duel, in 100 columns."""
    table = RichTable(title="operators", title_style="bold", title_justify="left", box=None, padding=(0, 1, 0, 0))
    table.add_column("operator", overflow="fold")
    table.add_column("input", overflow="fold")
    for heading in ("threads", "ms", "peer ms", "ratio", "share"):
        table.add_column(heading, justify="right", no_wrap=True)
    for duel in duels:
        table.add_row(duel.operator, duel.input, *_numbers(duel))
    return table


def markdown(duels: Sequence[Duel], machine: Provenance) -> str:
    """The same with the names of peers and limits, and what it was measured on."""
    heading = ("operator", "input", "threads", "RoIBench ms", "peer ms", "ratio", "share of the limit", "peer", "limit")
    rows = [(duel.operator, duel.input, *_numbers(duel), duel.peer or MISSING, duel.floor or MISSING) for duel in duels]
    gpu = f"{machine.gpu}, driver {machine.driver}, CUDA {machine.cuda}; " if machine.gpu else ""
    place = (
        f"{machine.cpu}, {machine.cores} cores, SIMD level {machine.simd_level}; {gpu}torch {machine.torch}, "
        f"torchvision {machine.torchvision}, RoIBench {machine.roibench} ({(machine.commit or 'no commit')[:10]}"
        f"{', modified' if machine.dirty else ''})."
    )
    return f"# Operators\n\n{place}\n\n{grid(heading, rows, left=2)}\n\n{_NOTES}\n"


def _numbers(duel: Duel) -> tuple[str, ...]:
    ratio, share = duel.ratio, duel.share
    return (
        "GPU" if duel.threads is None else str(duel.threads),
        short(duel.milliseconds("ours")),
        short(duel.milliseconds("peer")),
        MISSING if ratio is None else f"{short(ratio)}x",
        MISSING if share is None else f"{share:.0%}",
    )
