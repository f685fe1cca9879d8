"""Predictions and records as others have them: `roibench score`, `schema`."""

from pathlib import Path
from typing import Annotated

import typer

from roibench.cli.app import app


@app.command()
def score(
    predictions: Annotated[Path, typer.Argument(help="folder of a run, or a COCO result file made elsewhere")],
    dataset: Annotated[
        str | None,
        typer.Option(help="what was predicted: coco:PATH@val, voc:PATH, scenes, ... (default: the run's own)"),
    ] = None,
    task: Annotated[str | None, typer.Option(help="detection, ... (default: all that was predicted)")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="print JSON")] = False,
) -> None:
    """Score a run's kept predictions again, or a COCO result file, with a 95 % interval of every value."""
    import json

    from roibench.console import console
    from roibench.measure.rescore import rescore
    from roibench.registry import installed
    from roibench.report.terminal import render_scores

    found = rescore(predictions, installed(), dataset, task)
    if as_json:
        typer.echo(json.dumps([one.as_json for one in found], indent=2))
    else:
        console().print(render_scores(found), crop=False)


@app.command()
def schema() -> None:
    """Print the JSON schema of a record, as a line of records.jsonl holds it."""
    import json

    from roibench.measure.record import RECORD

    typer.echo(json.dumps(RECORD.json_schema(), indent=2))
