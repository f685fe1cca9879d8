"""The command line: a thin layer that reads what a person typed, calls the library and prints what comes back."""

import inspect
import sys
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from pathlib import Path
from time import perf_counter
from typing import TYPE_CHECKING, Annotated, Any

import typer
from typer.core import TyperGroup

from roibench.console import write_any_text
from roibench.options import GROUP, OPTIONS

if TYPE_CHECKING:
    from click import Command, Context

    from roibench.measure.compare import Comparison


class Commands(TyperGroup):
    """The commands below, and those that plugins register, which are loaded where one of them is asked for."""

    def list_commands(self, context: "Context") -> list[str]:
        from roibench.registry import installed

        return [*super().list_commands(context), *installed().commands]

    def get_command(self, context: "Context", name: str) -> "Command | None":
        if (built_in := super().get_command(context, name)) is not None:
            return built_in
        from roibench.registry import installed, resolve

        spec = installed().commands.get(name)
        if spec is None:
            return None
        alone = typer.Typer(add_completion=False, pretty_exceptions_enable=False)
        alone.command(spec.name, help=spec.help)(resolve(spec.run))
        return typer.main.get_command(alone)


app = typer.Typer(
    cls=Commands,
    help="RoIBench: which vision model should I use, and what does its accuracy cost in milliseconds?",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)

# What a person's mistake raises: one line, not a traceback.
MISTAKES = (ValueError, LookupError, OSError, RuntimeError)
# A shell's exit code after Ctrl-C, and typer's.
INTERRUPTED = 130

DatasetOption = Annotated[
    str, typer.Option("--dataset", help="scenes, voc:PATH, coco:PATH, ...; @SPLIT names another split")
]
DeviceOption = Annotated[str, typer.Option("--device", help="cpu, cuda, cuda:1")]
WeightsOption = Annotated[Path | None, typer.Option("--weights", help="a file that `roibench train` wrote")]
BadDataOption = Annotated[str, typer.Option("--on-bad-data", help="fail, listing all of it; skip; clip")]


@app.callback()
def options(context: typer.Context, debug: Annotated[bool, typer.Option("--debug", help="Show tracebacks.")] = False):
    """main(), which sees the errors, reads --debug itself; `run` hands it on."""
    context.obj = debug


@app.command("list")
def list_() -> None:
    """List the registered models, their knobs, datasets, tasks, metrics and claims, and the plugins that failed."""
    from rich.text import Text

    from roibench.console import console, named
    from roibench.registry import installed

    registry = installed()
    models = [
        (
            f"{spec.name}@MODEL" if spec.wraps else spec.name,
            spec.family,
            ", ".join(spec.tasks),
            ", ".join(spec.weights) or "-",
            f"{spec.paper.year}",
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
        named(("dataset", "description", "targets"), datasets, title="Datasets"),
        named(("task", "ground truth", "prediction"), tasks, title="Tasks"),
        named(("metric", "task", "values"), metrics, title="Metrics"),
        named(("claim", "statement"), claims, title="Claims"),
    ):
        printer.print(table, crop=False)
    for failure in registry.failures:
        printer.print(Text.assemble((f"plugin {failure.plugin!r} failed:", "red"), f" {failure.error}"), soft_wrap=True)


def takes_run_options(command: Callable[..., None]) -> Callable[..., None]:
    """Gives a command that takes **typed the options of a run: by field, as they were typed, None where not given; a
    list where one may be given several times.
    """
    parameters = [inspect.signature(command).parameters["context"]]
    for option in OPTIONS:
        declared = typer.Option(
            option.flag, help=option.help_with_default, metavar=option.type, rich_help_panel=GROUP, show_default=False
        )
        kind = inspect.Parameter.KEYWORD_ONLY
        annotation = Annotated[list[str] | None if option.repeats else str | None, declared]
        parameters.append(inspect.Parameter(option.field, kind, default=None, annotation=annotation))
    command.__signature__ = inspect.Signature(parameters)
    command.__annotations__ = {parameter.name: parameter.annotation for parameter in parameters}
    return command


@app.command(context_settings={"allow_extra_args": True, "ignore_unknown_options": True})
@takes_run_options
def run(context: typer.Context, **typed: str | list[str] | None) -> None:
    """Measure models, as `pytest bench --benchmark-only` does. pytest's own options may follow."""
    import pytest

    import roibench.suites

    suite = Path(roibench.suites.__file__).parent / "bench_models.py"
    arguments = ["-p", "roibench.pytest_plugin", "--import-mode=importlib", "-o", "addopts=", "-p", "no:cacheprovider"]
    arguments += ["--full-trace"] if context.obj else []
    for option in OPTIONS:  # pytest_plugin checks them
        given = typed[option.field]
        arguments += [f"{option.flag}={text}" for text in ([given] if isinstance(given, str) else given or ())]
    code = pytest.main([*arguments, "-q", "--benchmark-only", str(suite), *context.args])
    raise typer.Exit(INTERRUPTED if code == pytest.ExitCode.INTERRUPTED else int(code))


@app.command()
def train(
    model: Annotated[str, typer.Argument(help="a registered model")],
    dataset: DatasetOption = "scenes",
    device: DeviceOption = "cpu",
    precision: Annotated[str | None, typer.Option(help="float32 or bfloat16 (default: the faster one here)")] = None,
    epochs: Annotated[int | None, typer.Option(help="instead of the recipe's")] = None,
    seed: Annotated[int, typer.Option(help="of everything random")] = 0,
    threads: Annotated[int | None, typer.Option(help="CPU threads (default: one per core)")] = None,
    batch_size: Annotated[int | None, typer.Option(help="instead of the recipe's; the learning rate follows")] = None,
    workers: Annotated[
        int | None, typer.Option(help="processes that load images (default: 1; on a GPU one per core)")
    ] = None,
    deterministic: Annotated[
        bool, typer.Option("--deterministic", help="the same bits every time on a GPU, too; slow")
    ] = False,
    on_bad_data: BadDataOption = "fail",
    out: Annotated[Path | None, typer.Option(help="folder (default: results/runs/train-MODEL-DATASET)")] = None,
) -> None:
    """Train a model by its recipe; an interrupted training goes on where its last epoch ended."""
    folder = out or train_folder(model, dataset)
    options = {"precision": precision, "epochs": epochs, "seed": seed, "threads": threads, "workers": workers}
    options |= {"batch_size": batch_size, "deterministic": deterministic}
    path = _train(model, dataset, folder, device=device, on_bad_data=on_bad_data, **options)
    typer.echo(f"measure it: roibench run --model {model} --dataset {dataset} --weights {path}")


@app.command()
def retrain(
    models: Annotated[str, typer.Argument(help="models, with wildcards, separated by commas")] = "*",
    device: DeviceOption = "cpu",
    threads: Annotated[int | None, typer.Option(help="CPU threads (default: one per core)")] = None,
) -> None:
    """Train anew what is shipped, and compare it with the shipped weights. What was trained before is gone on with.

    A model comes after those that it begins with or is taught by; it learns from these as they are shipped.
    """
    from roibench.measure.compare import compare_runs
    from roibench.measure.plan import make_plan
    from roibench.measure.run import Run
    from roibench.options import Options
    from roibench.registry import installed
    from roibench.train import in_order_of_training

    registry = installed()
    specs = in_order_of_training(registry.select_models(models.split(",")))
    for model, dataset in [(spec.name, dataset) for spec in specs for dataset in spec.weights]:
        if registry.datasets[dataset].takes_path:
            typer.echo(
                f"{model}: left out, {dataset} needs a path; use: roibench train {model} --dataset {dataset}:PATH"
            )
            continue
        folder, begun = train_folder(model, dataset), perf_counter()
        path = _train(model, dataset, folder, device=device, threads=threads)
        typer.echo(f"{model} for {dataset}: trained in {(perf_counter() - begun) / 60:.1f} minutes")
        runs = []
        for name, weights in (("shipped", None), ("trained", path)):
            options = Options(models=[model], datasets=[dataset], devices=[device], weights=weights, rounds=1)
            run = Run(make_plan(options, registry), folder / name, registry)
            records = list(run.measure(run.plan.cells, typer.echo))
            failed = [record.error for record in records if record.status == "failed"]
            run.finish()
            if failed:
                raise RuntimeError(f"{model} with {name} weights: {failed[0]}")
            runs.append(run.folder)
        _show(compare_runs(runs, registry))


@app.command()
def compare(
    runs: Annotated[list[Path], typer.Argument(help="folders of runs, such as results/runs/20260101-120000")],
) -> None:
    """Say how far each model is behind the best one on the same images, and whether that is more than chance."""
    from roibench.measure.compare import compare_runs
    from roibench.registry import installed

    _show(compare_runs(runs, installed()))
    for run in runs:
        _show_failed(run)


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


def train_folder(model: str, dataset: str) -> Path:
    from roibench.datasets.reference import DatasetRef

    return Path("results/runs") / f"train-{model}-{DatasetRef.parse(dataset).name}"


def _train(model: str, dataset: str, folder: Path, **options: Any) -> Path:
    """roibench.train.train_model with a progress bar; returns the file of weights."""
    from rich.progress import (
        BarColumn,
        MofNCompleteColumn,
        Progress,
        TextColumn,
        TimeElapsedColumn,
        TimeRemainingColumn,
    )

    from roibench.console import console
    from roibench.datasets.reference import DatasetRef
    from roibench.registry import installed
    from roibench.report.write import write_training_curve
    from roibench.train import LOG, train_model

    columns = (TextColumn("epoch {task.fields[epoch]}"), BarColumn(), MofNCompleteColumn())
    columns += (TimeElapsedColumn(), TimeRemainingColumn(), TextColumn("{task.description}"))
    printer = console()
    bar = Progress(*columns, console=printer)
    job = bar.add_task("", total=None, epoch=1)
    with ExitStack() as shown:  # the bar appears once nothing is wrong with what was typed

        def progress(epoch: int, step: int, steps: int, losses: dict[str, float]) -> None:
            total = f"loss {sum(losses.values()):.3f}  " + "  ".join(f"{k} {v:.3f}" for k, v in losses.items())
            if step == steps:
                bar.console.print(f"epoch {epoch + 1}: {total}", soft_wrap=True)
            bar.update(job, completed=epoch * steps + step, epoch=epoch + 1, description=total)

        def begin(recipe_epochs: int, steps: int) -> Callable[[int, int, int, dict[str, float]], None]:
            if printer.is_terminal:  # a log has a line per epoch, and no bar
                shown.enter_context(bar)
            bar.update(job, total=recipe_epochs * steps)
            return progress

        path = train_model(model, dataset, folder, installed(), begin=begin, **options)
    written = [path]
    if (folder / LOG).is_file():  # the common loop's
        written.append(write_training_curve(folder / LOG, f"{model} on {DatasetRef.parse(dataset).label}"))
    typer.echo(f"wrote {' and '.join(map(str, written))}")
    return path


def _show_failed(run: Path) -> None:
    """What a run has no predictions of."""
    from roibench.measure.journal import read_records
    from roibench.report.rows import failures

    for failure in failures(read_records(run)):
        typer.echo(f"left out, it failed: {failure.cell_id}: {failure.text}")


def _show(comparisons: "Sequence[Comparison]") -> None:
    from roibench.console import console
    from roibench.report.terminal import render_comparisons

    console().print(render_comparisons(comparisons), crop=False)


@app.command()
def predict(
    model: Annotated[str, typer.Argument(help="a registered model")],
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
    _show_failed(run)


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
def schema() -> None:
    """Print the JSON schema of a record, as a line of records.jsonl holds it."""
    import json

    from roibench.measure.record import RECORD

    typer.echo(json.dumps(RECORD.json_schema(), indent=2))


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


def main() -> None:
    """The console script: a mistake is one line on standard error and exit code 2; --debug, wherever it stands, shows
    its traceback.
    """
    arguments = [word for word in sys.argv[1:] if word != "--debug"]
    debug = len(arguments) < len(sys.argv) - 1
    write_any_text()
    try:
        app(["--debug", *arguments] if debug else arguments)
    except SystemExit as end:
        if end.code == INTERRUPTED:
            typer.echo("interrupted; what was finished is safe: the same `run` or `train` goes on from there", err=True)
        raise
    except MISTAKES as error:
        if debug:
            raise
        typer.echo(f"roibench: {error}", err=True)
        raise SystemExit(2) from None
