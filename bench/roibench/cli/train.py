"""`roibench train` and `retrain`."""

from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path
from time import perf_counter
from typing import Annotated, Any

import typer

from roibench.cli.app import BadDataOption, DatasetOption, DeviceOption, app
from roibench.cli.show import show_ranking


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
    from roibench.measure.plan import make_plan
    from roibench.measure.rank import rank_runs
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
        show_ranking(rank_runs(runs, registry))


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
