"""What several commands print."""

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import typer

if TYPE_CHECKING:
    from roibench.measure.rank import Ranking


def show_failed(run: Path) -> None:
    """What a run has no predictions of."""
    from roibench.measure.journal import read_records
    from roibench.report.rows import failures

    for failure in failures(read_records(run)):
        typer.echo(f"left out, it failed: {failure.cell_id}: {failure.text}")


def show_ranking(rankings: "Sequence[Ranking]") -> None:
    from roibench.console import console
    from roibench.report.terminal import render_rankings

    console().print(render_rankings(rankings), crop=False)
