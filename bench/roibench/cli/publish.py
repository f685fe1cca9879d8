"""Reports made of records: `roibench publish`."""

from pathlib import Path
from typing import Annotated

import typer

from roibench.cli.app import app


@app.command()
def publish(check: Annotated[bool, typer.Option("--check", help="write nothing, fail if something differs")] = False):
    """In a checkout: make results/, and the tables, plots and claims in README.md and docs/, anew from records."""
    from roibench.registry import installed
    from roibench.report.publish import differing
    from roibench.report.publish import publish as write

    if not check:
        for path in write(Path(), installed()):
            typer.echo(f"wrote {path}")
    elif stale := differing(Path(), installed()):
        for one in stale:
            typer.echo(f"{one.path} differs from the records: run `roibench publish`", err=True)
        raise typer.Exit(1)
