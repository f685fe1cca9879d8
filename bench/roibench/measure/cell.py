"""One cell, measured: build, warm up, time, score what was timed, and only then look at stages, memory and FLOPs."""

from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from time import perf_counter
from typing import Any

import torch

from roibench.assemble import find_weights, ready_model
from roibench.datasets.sources import open_dataset
from roibench.files import file_hash
from roibench.measure.artefacts import save_artefacts
from roibench.measure.cost import count_cost, memory_now, memory_peak
from roibench.measure.disturbance import Watch
from roibench.measure.predictions import cut, save_predictions
from roibench.measure.provenance import provenance
from roibench.measure.record import CellSpec, Interval, Memory, Record, Score
from roibench.measure.timing import summarise, time_predictions, time_stages
from roibench.model import Illustrated, Model
from roibench.registry import Registry, resolve
from roibench.structures import Input, Prediction, Target
from roibench.tasks import RULES, Dataset, ModelSpec, Probe, Task

WARMUP_CALLS = 8
STAGE_IMAGES = 64
COST_IMAGES = 8
ILLUSTRATED_IMAGES = 8


class CellError(RuntimeError):
    """The cell can't be measured as specified; the message says why."""


@dataclass(frozen=True)
class Inputs(Sequence[Input]):
    """The first `images` inputs of a data set, decoded when asked for, each with what its tasks ask."""

    data: Dataset
    images: int
    tasks: Sequence[Task]

    def __getitem__(self, index: int) -> Input:
        if not 0 <= index < self.images:
            raise IndexError(f"there are {self.images} inputs, none is {index}")
        sample = self.data[index]
        for task in self.tasks:
            if ask := RULES[task].ask:
                return replace(sample.input, query=ask(sample.target))
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


def measure_cell(spec: CellSpec, folder: Path, registry: Registry, tell: Callable[[str], None]) -> Record:
    """Measures a cell in this process; run_cell (measure.isolate) gives it a process of its own.

    folder: of the run; predictions go to folder/predictions/CELL.npz, artefacts to folder/artefacts/CELL. tell: is told
    what begins, for the error message of a cell that dies. Raises whatever the model raises, and CellError where spec
    and world disagree.
    """
    started = datetime.now(UTC)
    torch.set_num_threads(spec.threads)
    torch.manual_seed(spec.seed)
    device = torch.device(spec.device)
    model_spec = registry.models[spec.model]
    tell("opening the data set")
    data = open_dataset(spec.dataset, registry, on_bad_data=spec.on_bad_data)
    if data.hash != spec.dataset_hash:
        raise CellError(f"data set {spec.dataset!r} has changed: hash {data.hash[:12]}, want {spec.dataset_hash[:12]}")
    tell("building the model")
    weights = find_weights(model_spec, spec.dataset, Path(spec.weights) if spec.weights else None, registry)
    if weights is not None and (found := file_hash(weights)) != spec.weights_hash:
        raise CellError(f"weights {weights} have changed: SHA-256 {found[:12]}, want {(spec.weights_hash or '')[:12]}")
    model = ready_model(model_spec, data.info, weights, device)

    tell("warming up")
    precision = _precision(spec)
    inputs = Inputs(data, min(len(data), spec.images or len(data)), model_spec.tasks)
    inputs = inputs.first(_images_within_budget(model, spec, inputs, precision))
    images = len(inputs)
    batches = Batches(inputs, spec.batch_size)
    tell("timing")
    before = memory_now(device)
    watch, rounds = Watch(spec.threads), []
    for _ in range(spec.rounds):
        rounds.append(time_predictions(model, batches, precision, rounds[0] if rounds else None))
        watch.look()
    memory = Memory(before=before, peak=memory_peak(device))
    predictions = rounds[0].predictions
    _check(predictions, images)

    tell("scoring")
    path = folder / "predictions" / f"{spec.id}.npz"
    save_predictions(path, [one.id for one in inputs], predictions)
    targets = [data[i].target for i in range(images)]
    scores, artefacts = {}, {}
    for task in scored_tasks(model_spec, data):
        with precision():
            scores[task.value], found = _score(task, predictions, targets, Probe(model, inputs), registry)
        artefacts |= {f"{task.value}: {name}": value for name, value in found.items()}
    tell("stage times")
    stages = time_stages(model, Batches(inputs.first(STAGE_IMAGES), spec.batch_size), precision, device)
    tell("counting FLOPs")
    with precision():
        cost = count_cost(model, list(Batches(inputs.first(COST_IMAGES), spec.batch_size)))
    if isinstance(model, Illustrated):
        tell("illustrating")
        with precision():
            artefacts |= model.artefacts(list(inputs.first(ILLUSTRATED_IMAGES)))
    rules = RULES[model_spec.tasks[0]]
    return Record(
        cell=spec,
        cell_id=spec.id,
        status="ok",
        started=started,
        finished=datetime.now(UTC),
        family=model_spec.family,
        explains=model_spec.explains,
        images=images,
        rounds=spec.rounds,
        score_threshold=rules.score_threshold,
        max_detections=rules.max_detections,
        scores=scores,
        latency=summarise(rounds),
        disturbance=watch.report(rounds),
        stages=stages,
        memory=memory,
        cost=cost,
        predictions=str(path.relative_to(folder)),
        predictions_sha256=file_hash(path),
        artefacts=save_artefacts(artefacts, folder / "artefacts" / spec.id, folder),
        provenance=provenance(),
    )


def scored_tasks(spec: ModelSpec, data: Dataset) -> list[Task]:
    """Those of the model's tasks for which the data set has the truth."""
    return [task for task in spec.tasks if set(RULES[task].target_fields) <= data.info.fields]


def _precision(spec: CellSpec) -> Callable[[], AbstractContextManager]:
    if spec.precision == "float32":
        return nullcontext
    return lambda: torch.autocast(torch.device(spec.device).type, getattr(torch, spec.precision))


def _images_within_budget(
    model: Model, spec: CellSpec, inputs: Inputs, precision: Callable[[], AbstractContextManager]
) -> int:
    """Warms up, and from the last warm calls' speed says how many images all rounds can take within the budget."""
    if not inputs:
        raise CellError(f"data set {spec.dataset!r} is empty")
    begun = perf_counter()
    warm = time_predictions(model, Batches(inputs.first(WARMUP_CALLS * spec.batch_size), spec.batch_size), precision)
    while perf_counter() - begun < 1.0 and len(warm.seconds) < 10 * WARMUP_CALLS:
        again = time_predictions(model, Batches(inputs.first(spec.batch_size), spec.batch_size), precision)
        warm.seconds += again.seconds
    per_image = min(warm.seconds) / spec.batch_size
    affordable = int(spec.budget_s / (per_image * spec.rounds))
    return max(affordable, spec.batch_size)


def _check(predictions: Sequence[Prediction], images: int) -> None:
    if len(predictions) != images or not all(isinstance(one, Prediction) for one in predictions):
        raise CellError(
            f"predict returned {len(predictions)} predictions for {images} images; want one Prediction per Input"
        )


def _score(
    task: Task, predictions: Sequence[Prediction], targets: Sequence[Target], probe: Probe, registry: Registry
) -> tuple[Score, dict[str, Any]]:
    """The task's scores, and what its metrics found to look at."""
    rules = RULES[task]
    for index, prediction in enumerate(predictions):
        if missing := [name for name in rules.prediction_fields if getattr(prediction, name) is None]:
            raise CellError(f"prediction {index} lacks {missing}, which task {task.value} scores")
    kept = [cut(prediction, rules) for prediction in predictions]
    values: dict[str, Interval] = {}
    artefacts: dict[str, Any] = {}
    for metric in registry.metrics_for(task):
        result = resolve(metric.compute)(kept, targets, probe=probe if metric.needs_probe else None)
        for name, estimate in result.values.items():
            values[name] = Interval(value=estimate.value, low=estimate.low, high=estimate.high)
        artefacts |= result.artefacts
    if rules.primary not in values:
        raise CellError(
            f"no metric of task {task.value} gave its primary value {rules.primary!r}; got {sorted(values)}"
        )
    return Score(primary=rules.primary, values=values), artefacts
