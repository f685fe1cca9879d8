"""`roibench convert` and `roibench data`: what the command line asks and prints."""

import warnings
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, nullcontext
from pathlib import Path
from typing import Annotated

import typer

from roibench.console import console, named
from roibench.datasets.bad_data import Problem
from roibench.datasets.convert import WRITERS
from roibench.datasets.convert import convert as write
from roibench.datasets.kind import reference_to
from roibench.datasets.reference import open_dataset
from roibench.datasets.summary import SIZES, ClassCount, Summary, summarize
from roibench.registry import installed

_LISTED = 20  # problems, at most

BadDataOption = Annotated[str, typer.Option("--on-bad-data", help="fail, listing all of it; skip; clip")]


def convert(
    source: Annotated[str, typer.Argument(help="scenes, voc:PATH, yolo:PATH, ...; @SPLIT names another split")],
    form: Annotated[str, typer.Argument(metavar="FORMAT", help=", ".join(WRITERS))],
    out: Annotated[Path, typer.Argument(help="folder, which may hold other splits of the copy")],
    images: Annotated[int | None, typer.Option(help="only so many (default: all)")] = None,
    on_bad_data: BadDataOption = "fail",
) -> None:
    data = open_dataset(source, installed(), on_bad_data=on_bad_data)
    with _progress() as shown:
        report = write(data, form, out, images, shown)
    found = f"{report.objects.total():,} objects of {len(report.objects)} classes"
    typer.echo(f"wrote {report.file}: {report.images:,} images, {found}; read back, all of it is there")
    for note in report.notes:
        typer.echo(f"in the copy: {note}")
    typer.echo(f"use it: --dataset {report.reference}")


def describe(
    dataset: Annotated[
        str, typer.Argument(help="PATH, whose format is seen, or voc:PATH, coco:PATH, ...; @SPLIT names another split")
    ],
    images: Annotated[int | None, typer.Option(help="only so many, from the first one on (default: all)")] = None,
) -> None:
    registry = installed()
    reference = reference_to(dataset, registry)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # problems are listed below
        data = open_dataset(reference, registry, on_bad_data="skip")
    with _progress() as shown:
        found = summarize(data, images, shown)
    printer = console()
    typer.echo(f"{data.info.name}, split {data.info.split}: {found.images:,} images, {_sizes(found.sizes)}")
    if {"boxes", "labels"} <= data.info.fields:
        typer.echo(f"images without an object: {found.empty:,}")
    typer.echo(f"ground truth: {', '.join(sorted(data.info.fields))}")
    columns, rows = _class_table(found)
    printer.print(named(columns, rows, title="Classes"), crop=False)
    for doubt in found.doubts:
        typer.echo(f"doubtful: {doubt}")
    problems: Sequence[Problem] = getattr(data, "problems", ())
    for problem in problems[:_LISTED]:
        typer.echo(f"problem: {problem}")
    if len(problems) > _LISTED:
        typer.echo(f"and {len(problems) - _LISTED:,} more problems")
    typer.echo(
        f"{len(problems):,} problems, without which it opens with --on-bad-data skip" if problems else "no problem"
    )


def _sizes(sizes: Counter[tuple[int, int]]) -> str:
    """`640x480`, or from the smallest to the largest."""
    ordered = sorted(sizes, key=lambda size: (size[0] * size[1], size))
    first, *_, last = ordered * 2
    common = sizes.most_common(1)[0]
    if first == last:
        return f"{first[0]}x{first[1]}"
    return (
        f"{first[0]}x{first[1]} to {last[0]}x{last[1]} in {len(sizes)} sizes, "
        f"most often {common[0][0]}x{common[0][1]} ({common[1]:,})"
    )


def _class_table(found: Summary) -> tuple[list[str], list[list[str]]]:
    """The columns that say something, and a row per class, the most frequent first."""
    total = sum(found.pixels.values())
    columns: dict[str, Callable[[ClassCount], int | float]] = {"images": lambda one: one.images}
    if any(one.objects or one.uncounted for one in found.classes.values()):
        columns["objects"] = lambda one: one.objects
        columns |= {size: lambda one, size=size: one.sizes[size] for size in SIZES}
        columns["crowds, ignored"] = lambda one: one.uncounted
    if total:
        columns["% of pixels"] = lambda one: 100 * one.pixels / total
    order = sorted(found.classes.items(), key=lambda item: (-item[1].objects, -item[1].pixels, -item[1].images))
    rows = [(name, [value(one) for value in columns.values()]) for name, one in order]
    if total:
        rows += [(kind, [0, 100 * found.pixels[kind] / total]) for kind in ("background", "void") if found.pixels[kind]]
    texts = [
        [name, *(f"{one:.2f}" if isinstance(one, float) else f"{one:,}" for one in values)] for name, values in rows
    ]
    return ["class", *columns], texts


@contextmanager
def _progress() -> Iterator[Callable[[int, int], None]]:
    """A bar on a terminal, which vanishes: called with images done and images in all."""
    from rich.progress import Progress

    bar = Progress(transient=True, console=console())
    with bar if bar.console.is_terminal else nullcontext():
        job = bar.add_task("images")
        yield lambda done, count: bar.update(job, completed=done, total=count)
