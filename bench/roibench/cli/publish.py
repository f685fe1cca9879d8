"""Reports made of records: `roibench report` and `publish`."""

from pathlib import Path
from typing import Annotated

import typer

from roibench.cli.app import app


@app.command()
def report(
    runs: Annotated[list[str], typer.Argument(help="runs' folders, folders above them, records.jsonl, git commits")],
    formats: Annotated[str, typer.Option("--format", help="md, csv, tex, html, json; several with commas")] = "md",
    out: Annotated[Path | None, typer.Option(help="a folder for table.FORMAT (default: print the one format)")] = None,
    merge: Annotated[
        bool,
        typer.Option("--merge", help="write all records into one records.jsonl in --out, and their schema"),
    ] = False,
) -> None:
    """Make tables of the records of one or several runs, machines and devices: one per dataset and task."""
    from roibench.decide.record_sets import read_record_set
    from roibench.files import write_atomically
    from roibench.options import words
    from roibench.registry import installed
    from roibench.report.combined import merged, reports

    names = words(formats)
    if out is None and (merge or len(names) != 1):
        raise ValueError("--out: want a folder where --merge or several formats are to be written into")
    sets = [read_record_set(run) for run in runs]
    records = list({(one.cell_id, one.started): one for found in sets for one in found.records}.values())
    files = reports(records, names, installed(), [folder for found in sets for folder in found.runs])
    if out is None:
        typer.echo(*files.values(), nl=False)
        return
    contents = {name: text.encode() for name, text in files.items()} | (merged(records) if merge else {})
    for name, content in contents.items():
        typer.echo(f"wrote {write_atomically(out / name, content)}")


@app.command()
def publish(
    check: Annotated[bool, typer.Option("--check", help="write nothing, fail if something differs")] = False,
    page: Annotated[
        bool, typer.Option("--page", help="write results/index.html too: all records, interactive; git ignores it")
    ] = False,
) -> None:
    """In a checkout: make results/, and the tables, plots and claims in README.md and docs/, anew from records."""
    from roibench.registry import installed
    from roibench.report.publish import differing, publish_page
    from roibench.report.publish import publish as write

    if check and page:
        raise ValueError("--page writes results/index.html, --check writes nothing: want one of them")
    if not check:
        for path in write(Path(), installed()):
            typer.echo(f"wrote {path}")
        if page:
            typer.echo(f"wrote {publish_page(Path(), installed())}")
    elif stale := differing(Path(), installed()):
        for one in stale:
            typer.echo(f"{one.path} differs from the records: run `roibench publish`", err=True)
        raise typer.Exit(1)
