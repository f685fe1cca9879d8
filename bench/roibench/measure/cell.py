"""One cell, measured: build, warm up, time, score what was timed, and only then look at stages, memory and FLOPs."""

from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from time import perf_counter

import torch

from roibench.assemble import find_weights, ready_model
from roibench.dataset import Dataset
from roibench.datasets.reference import open_dataset
from roibench.files import file_hash
from roibench.measure.artefacts import save_artefacts
from roibench.measure.checks import check_predictions
from roibench.measure.cost import count_cost, memory_now, memory_peak
from roibench.measure.interference import SystemMonitor
from roibench.measure.per_image import save_per_image
from roibench.measure.plugin_state import plugins_hash
from roibench.measure.predictions import save_predictions
from roibench.measure.provenance import provenance
from roibench.measure.record import CellSpec, Memory, Ok
from roibench.measure.score import score
from roibench.measure.timing import summarise, time_predictions, time_stages
from roibench.model import HasArtefacts, Model, Probe
from roibench.registry import Registry
from roibench.structures import Input
from roibench.task import Frame, Task

WARMUP_CALLS = 8
STAGE_IMAGES = 64
COST_IMAGES = 8
ARTEFACT_IMAGES = 8


class CellError(RuntimeError):
    """The cell can't be measured as specified; the message says why."""


@dataclass(frozen=True)
class Inputs(Sequence[Input]):
    """The first `images` inputs of a dataset, decoded when asked for, each with what its tasks ask."""

    data: Dataset
    images: int
    tasks: Sequence[Task]

    def __getitem__(self, index: int) -> Input:
        if not 0 <= index < self.images:
            raise IndexError(f"there are {self.images} inputs, none is {index}")
        sample = self.data[index]
        for task in self.tasks:
            if task.query_help:
                return replace(sample.input, query=task.query(sample.target))
        return sample.input

    def __len__(self) -> int:
        return self.images

    def first(self, images: int) -> "Inputs":
        return replace(self, images=min(images, self.images))


@dataclass(frozen=True)
class Batches:
    """Inputs, `size` at a time."""

    inputs: Inputs
    size: int

    def __iter__(self) -> Iterator[list[Input]]:
        images = len(self.inputs)
        for first in range(0, images, self.size):
            yield [self.inputs[i] for i in range(first, min(first + self.size, images))]

    def __len__(self) -> int:
        return -(-len(self.inputs) // self.size)


def measure_cell(spec: CellSpec, folder: Path, registry: Registry, on_progress: Callable[[str], None]) -> Ok:
    """Measures a cell in this process; run_cell (measure.isolate) gives it a process of its own.

    folder: of the run; predictions go to folder/predictions/CELL.npz, what each image's part in the scores is to
    folder/per_image/CELL.csv, artefacts to folder/artefacts/CELL.
    on_progress: called with what begins, for the error message of a cell that dies.
    Raises whatever the model raises, PredictionError where it returns what can't be, and CellError where spec and world
    disagree.
    """
    started = datetime.now(UTC)
    torch.set_num_threads(spec.threads)
    torch.manual_seed(spec.seed)
    device = torch.device(spec.device)
    if spec.plugins_hash not in (None, plugins_hash(registry)):
        raise CellError("a plugin, or one of its files, has changed since this run was planned: start the run again")
    model_spec = registry.model(spec.model)
    on_progress("opening the dataset")
    data = open_dataset(spec.dataset, registry, on_bad_data=spec.on_bad_data)
    if data.hash != spec.dataset_hash:
        raise CellError(f"dataset {spec.dataset!r} has changed: hash {data.hash[:12]}, want {spec.dataset_hash[:12]}")
    on_progress("building the model")
    weights = find_weights(model_spec, spec.dataset, Path(spec.weights) if spec.weights else None, registry)
    if weights is not None and (found := file_hash(weights)) != spec.weights_hash:
        raise CellError(f"weights {weights} have changed: SHA-256 {found[:12]}, want {(spec.weights_hash or '')[:12]}")
    model = ready_model(model_spec, data.info, weights, device)

    on_progress("warming up")
    precision = _precision(spec)
    inputs = Inputs(data, min(len(data), spec.images or len(data)), registry.tasks_of(model_spec))
    inputs = inputs.first(_images_within_budget(model, spec, inputs, precision))
    images = len(inputs)
    batches = Batches(inputs, spec.batch_size)
    on_progress("timing")
    before = memory_now(device)
    monitor = SystemMonitor(spec.threads)
    rounds = [time_predictions(model, batches, precision)]
    monitor.look()
    predictions = rounds[0].predictions
    tasks = scored_tasks(registry.tasks_of(model_spec), data)
    on_progress("checking what predict returned")
    frames = [Frame.of(one, data.info) for one in inputs]
    check_predictions(predictions, frames, registry.fields, registry.needed_fields(task.name for task in tasks))
    on_progress("timing")
    for _ in range(1, spec.rounds):
        rounds.append(time_predictions(model, batches, precision, rounds[0]))
        monitor.look()
    memory = Memory(before=before, peak=memory_peak(device))

    on_progress("scoring")
    path = folder / "predictions" / f"{spec.id}.npz"
    save_predictions(path, [frame.id for frame in frames], predictions)
    targets = [data[i].target for i in range(images)]
    scores, per_image, artefacts = {}, {}, {}
    for task in tasks:
        with precision():
            found = score(task, predictions, targets, frames, registry, Probe(model, inputs))
        scores[task.name] = found.recorded
        per_image |= found.per_image
        artefacts |= {f"{task.name}: {name}": value for name, value in found.artefacts.items()}
    of_images = folder / "per_image" / f"{spec.id}.csv"
    save_per_image(of_images, [frame.id for frame in frames], per_image)
    on_progress("stage times")
    stages = time_stages(model, Batches(inputs.first(STAGE_IMAGES), spec.batch_size), precision, device)
    on_progress("counting FLOPs")
    with precision():
        cost = count_cost(model, list(Batches(inputs.first(COST_IMAGES), spec.batch_size)))
    if isinstance(model, HasArtefacts):
        on_progress("collecting artefacts")
        with precision():
            artefacts |= model.artefacts(list(inputs.first(ARTEFACT_IMAGES)))
    return Ok(
        cell=spec,
        cell_id=spec.id,
        started=started,
        finished=datetime.now(UTC),
        family=model_spec.family,
        images=images,
        rounds=spec.rounds,
        scores=scores,
        latency=summarise(rounds),
        interference=monitor.report(rounds),
        stages=stages,
        memory=memory,
        cost=cost,
        predictions=str(path.relative_to(folder)),
        predictions_sha256=file_hash(path),
        per_image=str(of_images.relative_to(folder)),
        per_image_sha256=file_hash(of_images),
        artefacts=save_artefacts(artefacts, folder / "artefacts" / spec.id, folder),
        provenance=provenance(),
    )


def scored_tasks(tasks: Sequence[Task], data: Dataset) -> list[Task]:
    """Those of a model's tasks for which the dataset has ground truth."""
    return [task for task in tasks if {field.name for field in task.target_fields} <= data.info.fields]


def _precision(spec: CellSpec) -> Callable[[], AbstractContextManager]:
    if spec.precision == "float32":
        return nullcontext
    return lambda: torch.autocast(torch.device(spec.device).type, getattr(torch, spec.precision))


def _images_within_budget(
    model: Model, spec: CellSpec, inputs: Inputs, precision: Callable[[], AbstractContextManager]
) -> int:
    """Warms up, and from the last warm calls' speed says how many images all rounds can take within the budget."""
    if not inputs:
        raise CellError(f"dataset {spec.dataset!r} is empty")
    begun = perf_counter()
    warm = time_predictions(model, Batches(inputs.first(WARMUP_CALLS * spec.batch_size), spec.batch_size), precision)
    while perf_counter() - begun < 1.0 and len(warm.seconds) < 10 * WARMUP_CALLS:
        again = time_predictions(model, Batches(inputs.first(spec.batch_size), spec.batch_size), precision)
        warm.seconds += again.seconds
    per_image = min(warm.seconds) / spec.batch_size
    affordable = int(spec.budget_s / (per_image * spec.rounds))
    return max(affordable, spec.batch_size)
