"""What is there, and what models predicted: `roibench list`, `doctor`, `predict`, `gallery`, `inspect`, `errors`."""

from pathlib import Path
from typing import Annotated

import typer

from roibench.cli.app import DeviceOption, WeightsOption, app
from roibench.cli.show import show_failed


@app.command("list")
def list_() -> None:
    """List the registered models, knobs, backends, datasets, tasks, metrics and claims, and the plugins that failed."""
    from rich.text import Text

    from roibench.console import console, named
    from roibench.registry import installed
    from roibench.specs import TORCH

    registry = installed()
    models = [
        (
            f"{spec.name}@MODEL" if spec.wraps else spec.name,
            spec.family,
            ", ".join(spec.tasks),
            ", ".join(spec.weights) or "-",
            f"{spec.paper.year}" if spec.paper else "-",
        )
        for spec in registry.models.values()
    ]
    tasks = [
        (
            task.name,
            ", ".join(field.name for field in task.target_fields),
            ", ".join(field.name for field in task.prediction_fields),
        )
        for task in registry.tasks.values()
    ]
    sources = [(f"{spec.scheme}:", spec.description, spec.example) for spec in registry.sources.values()]
    backends = [(TORCH, "torch itself"), *((spec.name, spec.description) for spec in registry.backends.values())]
    datasets = [(spec.name, spec.description, ", ".join(spec.fields)) for spec in registry.datasets.values()]
    metrics = [
        (spec.name, spec.task, ", ".join(value.name for value in spec.values)) for spec in registry.metrics.values()
    ]
    claims = [(spec.name, spec.statement) for spec in registry.claims.values()]
    knobs = [
        (
            spec.name,
            knob.name,
            "-" if knob.default is None else f"{knob.default}",
            f"{knob.low} to {knob.high}",
            knob.description,
        )
        for spec in registry.models.values()
        for knob in spec.knobs
    ]
    printer = console()
    for table in (
        named(("model", "family", "tasks", "weights for", "paper"), models, title="Models"),
        named(("model", "knob", "default", "range", "what it is"), knobs, title="Knobs: roibench run --set"),
        named(("source", "description", "example"), sources, title="Models from outside: --model SCHEME:REST"),
        named(("backend", "description"), backends, title="Backends: roibench run --backend"),
        named(("dataset", "description", "targets"), datasets, title="Datasets"),
        named(("task", "ground truth", "prediction"), tasks, title="Tasks"),
        named(("metric", "task", "values"), metrics, title="Metrics"),
        named(("claim", "statement"), claims, title="Claims"),
    ):
        printer.print(table, crop=False)
    for failure in registry.failures:
        printer.print(Text.assemble((f"plugin {failure.plugin!r} failed:", "red"), f" {failure.error}"), soft_wrap=True)


@app.command()
def doctor() -> None:
    """Say what was built, which SIMD level runs, whether CUDA works or why not, which data and weights are found."""
    from rich.text import Text

    from roibench.console import console
    from roibench.doctor import examine
    from roibench.registry import installed

    printer = console()
    rows = examine(installed())
    width = max(len(what) for what, _ in rows)
    for what, state in rows:
        printer.print(Text.assemble((what.ljust(width), "bold"), f"  {state}"), soft_wrap=True)


@app.command()
def predict(
    model: Annotated[str, typer.Argument(help="a registered model, or one from outside, SCHEME:REST")],
    images: Annotated[list[Path], typer.Argument(help="image files")],
    out: Annotated[Path, typer.Option(help="folder for the drawings and predictions.jsonl")],
    dataset: Annotated[str, typer.Option(help="the dataset whose shipped weights are used")] = "scenes",
    weights: WeightsOption = None,
    score_threshold: Annotated[float, typer.Option(help="what is drawn")] = 0.5,
    device: DeviceOption = "cpu",
) -> None:
    """Run a model on images; draw what it finds (boxes, a map of classes), and write it as JSON lines."""
    from roibench.predict import predict_files
    from roibench.registry import installed

    for source, drawing, found in predict_files(
        model, images, out, dataset, weights, score_threshold, device, installed()
    ):
        typer.echo(f"{source}: {found} -> {drawing}")


@app.command()
def gallery(
    run: Annotated[Path, typer.Argument(help="folder of a run, such as results/runs/20260101-120000")],
    images: Annotated[str, typer.Option(help="which, counted from 0, separated by commas")] = "0,1,2,3",
    model: Annotated[
        str, typer.Option(help="which of its models, by their names in tables, with wildcards, separated by commas")
    ] = "*",
    columns: Annotated[
        int, typer.Option(help="models on a picture, at most; the others go on in further pictures, NAME-2.png ...")
    ] = 5,
    out: Annotated[Path | None, typer.Option(help="a .png (default: gallery.png in the run's folder)")] = None,
) -> None:
    """Draw what the models of a run predicted for the same images, side by side."""
    from roibench.registry import installed
    from roibench.report.gallery import left_out, write_gallery

    words = [word.strip() for word in images.split(",")]
    if not all(word.isdecimal() for word in words):
        raise ValueError(f"--images {images!r}: want whole numbers, separated by commas")
    models, indices = [pattern.strip() for pattern in model.split(",")], [int(word) for word in words]
    for path in write_gallery(run, indices, out or run / "gallery.png", installed(), models, columns):
        typer.echo(f"wrote {path}")
    for cell in left_out(run, models):
        typer.echo(f"left out, of another dataset or task: {cell}")
    show_failed(run)


@app.command("inspect")
def inspect_(
    run: Annotated[Path, typer.Argument(help="folder of a run, such as results/runs/20260101-120000")],
    worst: Annotated[int, typer.Option(help="how many images")] = 10,
    cell: Annotated[str | None, typer.Option(help="a cell's id, or its model (default: the first one)")] = None,
    beside: Annotated[
        str,
        typer.Option(
            help="models that go around it, separated by commas, such as grad_cam: each is asked about the class of "
            "the worst mistake in an image, and drawn beside it"
        ),
    ] = "",
    out: Annotated[Path | None, typer.Option(help="a .png (default: worst-CELL.png in the run's folder)")] = None,
) -> None:
    """List and draw the images that cost a model most: by how much worse they make the value that ranks. Of a
    detector's boxes, each false positive has its kind of error beside its score (TIDE: class, location, both,
    duplicate, background), and objects that it missed are marked.
    """
    from roibench.registry import installed
    from roibench.report.inspect import inspect_run, write_inspection

    registry = installed()
    found = inspect_run(run, worst, registry, cell)
    typer.echo(f"{found.record.cell_id}: what its score would gain without these images")
    for one in found.worst:
        typer.echo(f"{one.id}: {'; '.join([found.line(one), ', '.join(one.counts)]).removesuffix('; ')}")
    folder = run if run.is_dir() else run.parent
    around = [name.strip() for name in beside.split(",")] if beside else []
    path = write_inspection(found, out or folder / f"worst-{found.record.cell_id}.png", registry, around)
    typer.echo(f"wrote {path}")


@app.command()
def errors(
    run: Annotated[Path, typer.Argument(help="folder of a run, such as results/runs/20260101-120000")],
    model: Annotated[
        str,
        typer.Option(
            help="which of its models, by their names in tables, with wildcards, separated by commas; others are "
            "compared with the first one"
        ),
    ] = "*",
    out: Annotated[Path | None, typer.Option(help="a folder (default: errors in the run's folder)")] = None,
) -> None:
    """Tell what goes wrong: every value beside another model's, paired, and a page of tables and plots. Of a detector:
    what each kind of error costs (TIDE), classes, curves of precision, recall and F1, a confusion matrix, calibration.
    """
    from roibench.console import console, named
    from roibench.registry import installed
    from roibench.report.errors import FOLDER, analyse_run, notes, values_grid, write_analysis

    found = analyse_run(run, installed(), [pattern.strip() for pattern in model.split(",")])
    titles, rows = values_grid(found)
    console().print(named(titles, rows, title=found.heading), crop=False)
    for line in notes(found):
        typer.echo(line)
    folder = run if run.is_dir() else run.parent
    typer.echo(f"wrote {write_analysis(found, out or folder / FOLDER)[0]}")
    show_failed(run)
