"""Data, predictions and records as others have them: `roibench export`, `score`, `schema`."""

from contextlib import nullcontext
from pathlib import Path
from typing import Annotated

import typer

from roibench.cli.app import BadDataOption, app


@app.command()
def export(
    dataset: Annotated[str, typer.Argument(help="scenes, voc:PATH, ...; @SPLIT names another split")],
    out: Annotated[Path, typer.Option(help="folder for annotations/ and the images")],
    form: Annotated[str, typer.Option("--format", help="coco")] = "coco",
    images: Annotated[int | None, typer.Option(help="only so many (default: all)")] = None,
    on_bad_data: BadDataOption = "fail",
) -> None:
    """Write a dataset that has boxes in a format that other tools read."""
    from rich.progress import Progress

    from roibench.console import console
    from roibench.datasets.export import export as write
    from roibench.datasets.reference import open_dataset
    from roibench.registry import installed

    data = open_dataset(dataset, installed(), on_bad_data=on_bad_data)
    bar = Progress(transient=True, console=console())
    with bar if bar.console.is_terminal else nullcontext():
        job = bar.add_task("images")
        file = write(data, out, form, images, lambda done, count: bar.update(job, completed=done, total=count))
    typer.echo(f"wrote {file}")


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
