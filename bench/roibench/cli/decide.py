"""What follows from records: `roibench rank` and `claims`."""

from pathlib import Path
from typing import Annotated

import typer

from roibench.cli.app import app
from roibench.cli.show import show_failed, show_ranking


@app.command()
def rank(
    runs: Annotated[list[Path], typer.Argument(help="folders of runs, such as results/runs/20260101-120000")],
) -> None:
    """Say how far each model is behind the best one on the same images, and whether that is more than chance."""
    from roibench.measure.rank import rank_runs
    from roibench.registry import installed

    show_ranking(rank_runs(runs, installed()))
    for run in runs:
        show_failed(run)


@app.command()
def claims(
    runs: Annotated[list[Path], typer.Argument(help="folders of runs, such as results/runs/20260101-120000")],
) -> None:
    """Say which of the plugins' claims the runs' records bear out, with figures."""
    from roibench.claim import judge
    from roibench.console import console
    from roibench.measure.recorded import recorded_cells
    from roibench.registry import installed
    from roibench.report.terminal import render_claims

    records = [record for run in runs for record in recorded_cells(run)]
    console().print(render_claims(judge(installed().claims.values(), records)), crop=False)
