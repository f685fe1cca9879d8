"""Paired benchmarks of operators as a table: ours, the baseline, their ratio, and the share of the machine's limit."""

from collections.abc import Sequence

from rich.console import RenderableType
from rich.table import Table as RichTable

from roibench.measure.paired import PairedBenchmark
from roibench.measure.record import Provenance
from roibench.report.markdown import grid
from roibench.report.numbers import MISSING, short

_NOTES = (
    "Medians, in milliseconds. Ratio: how many times faster than the baseline, on the same tensors, interleaved. Share "
    "of the limit: against the least that the machine must do for such a result, measured in the same turns."
)


def terminal(benchmarks: Sequence[PairedBenchmark]) -> RenderableType:
    """One line a paired benchmark, in 100 columns."""
    table = RichTable(title="operators", title_style="bold", title_justify="left", box=None, padding=(0, 1, 0, 0))
    table.add_column("operator", overflow="fold")
    table.add_column("input", overflow="fold")
    for heading in ("threads", "ms", "baseline ms", "ratio", "share"):
        table.add_column(heading, justify="right", no_wrap=True)
    for paired in benchmarks:
        table.add_row(paired.operator, paired.input, *_numbers(paired))
    return table


def markdown(benchmarks: Sequence[PairedBenchmark], machine: Provenance) -> str:
    """The same with the names of baselines and limits, and what it was measured on."""
    heading = (
        "operator",
        "input",
        "threads",
        "RoIBench ms",
        "baseline ms",
        "ratio",
        "share of the limit",
        "baseline",
        "limit",
    )
    rows = [
        (paired.operator, paired.input, *_numbers(paired), paired.baseline or MISSING, paired.lower_bound or MISSING)
        for paired in benchmarks
    ]
    gpu = f"{machine.gpu}, driver {machine.driver}, CUDA {machine.cuda}; " if machine.gpu else ""
    place = (
        f"{machine.cpu}, {machine.cores} cores, SIMD level {machine.simd_level}; {gpu}torch {machine.torch}, "
        f"torchvision {machine.torchvision}, RoIBench {machine.roibench} ({(machine.commit or 'no commit')[:10]}"
        f"{', modified' if machine.dirty else ''})."
    )
    return f"# Operators\n\n{place}\n\n{grid(heading, rows, left=2)}\n\n{_NOTES}\n"


def _numbers(paired: PairedBenchmark) -> tuple[str, ...]:
    ratio, share = paired.ratio, paired.share
    return (
        "GPU" if paired.threads is None else str(paired.threads),
        short(paired.milliseconds("ours")),
        short(paired.milliseconds("baseline")),
        MISSING if ratio is None else f"{short(ratio)}x",
        MISSING if share is None else f"{share:.0%}",
    )
