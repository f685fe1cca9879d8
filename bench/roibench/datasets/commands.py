"""`roibench convert` and `roibench data`: what the command line asks and prints."""

from contextlib import nullcontext
from pathlib import Path
from typing import Annotated

import typer

from roibench.console import console
from roibench.datasets.convert import WRITERS
from roibench.datasets.convert import convert as write
from roibench.datasets.reference import open_dataset
from roibench.registry import installed

BadDataOption = Annotated[str, typer.Option("--on-bad-data", help="fail, listing all of it; skip; clip")]


def convert(
    source: Annotated[str, typer.Argument(help="scenes, voc:PATH, yolo:PATH, ...; @SPLIT names another split")],
    form: Annotated[str, typer.Argument(metavar="FORMAT", help=", ".join(WRITERS))],
    out: Annotated[Path, typer.Argument(help="folder, which may hold other splits of the copy")],
    images: Annotated[int | None, typer.Option(help="only so many (default: all)")] = None,
    on_bad_data: BadDataOption = "fail",
) -> None:
    from rich.progress import Progress

    data = open_dataset(source, installed(), on_bad_data=on_bad_data)
    bar = Progress(transient=True, console=console())
    with bar if bar.console.is_terminal else nullcontext():
        job = bar.add_task("images")
        report = write(data, form, out, images, lambda done, count: bar.update(job, completed=done, total=count))
    found = f"{report.objects.total():,} objects of {len(report.objects)} classes"
    typer.echo(f"wrote {report.file}: {report.images:,} images, {found}; read back, all of it is there")
    for note in report.notes:
        typer.echo(f"in the copy: {note}")
    typer.echo(f"use it: --dataset {report.reference}")
