"""One cell, measured in four steps: prepare it, time predict, score what was timed, and only then observe what it costs
beside time.
"""

from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from time import perf_counter
from typing import Any

import torch

from roibench.assemble import ready_model
from roibench.dataset import Dataset
from roibench.datasets.reference import open_dataset
from roibench.files import file_hash
from roibench.measure.artefacts import save_artefacts
from roibench.measure.checks import check_predictions
from roibench.measure.cost import count_cost, memory_now, memory_peak
from roibench.measure.inputs import Batches, Inputs
from roibench.measure.interference import SystemMonitor
from roibench.measure.per_image import save_per_image
from roibench.measure.plugin_state import plugins_hash
from roibench.measure.predictions import save_predictions
from roibench.measure.provenance import provenance
from roibench.measure.record import CellSpec, Cost, Interference, Memory, Ok, Score, Stage
from roibench.measure.score import score
from roibench.measure.timing import Timed, summarise, time_predictions, time_stages
from roibench.model import HasArtefacts, Model, Probe
from roibench.registry import Registry
from roibench.specs import ModelSpec
from roibench.structures import Prediction
from roibench.task import Frame, Task

WARMUP_CALLS = 8
STAGE_IMAGES = 64
COST_IMAGES = 8
ARTEFACT_IMAGES = 8

Progress = Callable[[str], None]


class CellError(RuntimeError):
    """The cell can't be measured as specified; the message says why."""


@dataclass(frozen=True)
class PlannedCell:
    """A cell, and what its names stand for: it travels to the process that measures it.

    spec: what a record keeps of it.
    model: its model.
    tasks: those of the model's that the dataset has ground truth for.
    weights: the file to load, None where there is none.
    """

    spec: CellSpec
    model: ModelSpec
    tasks: tuple[Task, ...]
    weights: Path | None = None

    @property
    def id(self) -> str:
        return self.spec.id


@dataclass(frozen=True)
class Prepared:
    """What is there before the clock starts. precision: a context in which the model computes as specified."""

    cell: PlannedCell
    data: Dataset
    model: Model
    device: torch.device
    precision: Callable[[], AbstractContextManager]
    inputs: Inputs

    def batches(self, images: int | None = None) -> Batches:
        """Of the first images; None: of all."""
        inputs = self.inputs if images is None else self.inputs.first(images)
        return Batches(inputs, self.cell.spec.batch_size)


@dataclass(frozen=True)
class Rounds:
    """What the timed rounds gave. frames: what the predictions, one per input, were checked against."""

    inputs: Inputs
    frames: list[Frame]
    timed: list[Timed]
    memory: Memory
    interference: Interference | None

    @property
    def predictions(self) -> list[Prediction]:
        return self.timed[0].predictions


@dataclass(frozen=True)
class Outcome:
    """What was made of the predictions: scores by task, the files that keep them, what there is to look at."""

    scores: dict[str, Score]
    predictions: Path
    per_image: Path
    artefacts: dict[str, Any]


@dataclass(frozen=True)
class Observed:
    """What passes of their own showed."""

    stages: list[Stage]
    cost: Cost
    artefacts: dict[str, Any]


def measure_cell(cell: PlannedCell, folder: Path, registry: Registry, on_progress: Progress) -> Ok:
    """Measures a cell in this process; run_cell (measure.isolate) gives it a process of its own.

    folder: of the run; predictions go to folder/predictions/CELL.npz, what each image's part in the scores is to
    folder/per_image/CELL.csv, artefacts to folder/artefacts/CELL.
    on_progress: called with what begins, for the error message of a cell that dies.
    Raises whatever the model raises, PredictionError where it returns what can't be, and CellError where plan and world
    disagree.
    """
    started = datetime.now(UTC)
    prepared = prepare(cell, registry, on_progress)
    rounds = time_rounds(prepared, registry, on_progress)
    outcome = score_rounds(prepared, rounds, folder, registry, on_progress)
    observed = observe(prepared, on_progress)
    spec = cell.spec
    return Ok(
        cell=spec,
        cell_id=spec.id,
        started=started,
        finished=datetime.now(UTC),
        family=cell.model.family,
        images=len(rounds.inputs),
        rounds=spec.rounds,
        scores=outcome.scores,
        latency=summarise(rounds.timed),
        interference=rounds.interference,
        stages=observed.stages,
        memory=rounds.memory,
        cost=observed.cost,
        predictions=str(outcome.predictions.relative_to(folder)),
        predictions_sha256=file_hash(outcome.predictions),
        per_image=str(outcome.per_image.relative_to(folder)),
        per_image_sha256=file_hash(outcome.per_image),
        artefacts=save_artefacts(outcome.artefacts | observed.artefacts, folder / "artefacts" / spec.id, folder),
        provenance=provenance(registry),
    )


def prepare(cell: PlannedCell, registry: Registry, on_progress: Progress) -> Prepared:
    """Opens the dataset and builds the model. Raises CellError where they aren't those that were planned."""
    spec = cell.spec
    torch.set_num_threads(spec.threads)
    torch.manual_seed(spec.seed)
    device = torch.device(spec.device)
    if spec.plugins_hash not in (None, plugins_hash(registry)):
        raise CellError("a plugin, or one of its files, has changed since this run was planned: start the run again")
    on_progress("opening the dataset")
    data = open_dataset(spec.dataset, registry, on_bad_data=spec.on_bad_data)
    if data.hash != spec.dataset_hash:
        raise CellError(f"dataset {spec.dataset!r} has changed: hash {data.hash[:12]}, want {spec.dataset_hash[:12]}")
    if not len(data):
        raise CellError(f"dataset {spec.dataset!r} is empty")
    on_progress("building the model")
    if cell.weights is not None and (found := file_hash(cell.weights)) != spec.weights_hash:
        want = (spec.weights_hash or "")[:12]
        raise CellError(f"weights {cell.weights} have changed: SHA-256 {found[:12]}, want {want}")
    model = ready_model(cell.model, data.info, cell.weights, device)
    inputs = Inputs(data, min(len(data), spec.images or len(data)), cell.tasks)
    return Prepared(cell, data, model, device, _precision(spec), inputs)


def time_rounds(prepared: Prepared, registry: Registry, on_progress: Progress) -> Rounds:
    """Warms up, then times every round over as many images as the budget allows. Raises PredictionError."""
    cell, model = prepared.cell, prepared.model
    on_progress("warming up")
    inputs = prepared.inputs.first(_images_within_budget(prepared))
    batches = Batches(inputs, cell.spec.batch_size)
    on_progress("timing")
    before = memory_now(prepared.device)
    monitor = SystemMonitor(cell.spec.threads)
    timed = [time_predictions(model, batches, prepared.precision)]
    monitor.look()
    on_progress("checking what predict returned")
    frames = [Frame.of(one, prepared.data.info) for one in inputs]
    needed = {field.name for task in cell.tasks for field in task.prediction_fields}
    check_predictions(timed[0].predictions, frames, registry.fields, needed)
    on_progress("timing")
    for _ in range(1, cell.spec.rounds):
        timed.append(time_predictions(model, batches, prepared.precision, timed[0]))
        monitor.look()
    memory = Memory(before=before, peak=memory_peak(prepared.device))
    return Rounds(inputs, frames, timed, memory, monitor.report(timed))


def score_rounds(
    prepared: Prepared, rounds: Rounds, folder: Path, registry: Registry, on_progress: Progress
) -> Outcome:
    """Keeps what was timed, and scores it under each task."""
    on_progress("scoring")
    cell = prepared.cell
    ids = [frame.id for frame in rounds.frames]
    kept = folder / "predictions" / f"{cell.id}.npz"
    save_predictions(kept, ids, rounds.predictions)
    targets = [prepared.data[i].target for i in range(len(rounds.inputs))]
    probe = Probe(prepared.model, rounds.inputs)
    scores, per_image, artefacts = {}, {}, {}
    for task in cell.tasks:
        with prepared.precision():
            found = score(task, rounds.predictions, targets, rounds.frames, registry, probe)
        scores[task.name] = found.recorded
        per_image |= found.per_image
        artefacts |= {f"{task.name}: {name}": value for name, value in found.artefacts.items()}
    of_images = folder / "per_image" / f"{cell.id}.csv"
    save_per_image(of_images, ids, per_image)
    return Outcome(scores, kept, of_images, artefacts)


def observe(prepared: Prepared, on_progress: Progress) -> Observed:
    """Stages, FLOPs and what the model has to show, in passes of their own: none of them disturbs the timed ones."""
    model, precision = prepared.model, prepared.precision
    on_progress("stage times")
    stages = time_stages(model, prepared.batches(STAGE_IMAGES), precision, prepared.device)
    on_progress("counting FLOPs")
    with precision():
        cost = count_cost(model, list(prepared.batches(COST_IMAGES)))
    if not isinstance(model, HasArtefacts):
        return Observed(stages, cost, {})
    on_progress("collecting artefacts")
    with precision():
        return Observed(stages, cost, dict(model.artefacts(list(prepared.inputs.first(ARTEFACT_IMAGES)))))


def _precision(spec: CellSpec) -> Callable[[], AbstractContextManager]:
    if spec.precision == "float32":
        return nullcontext
    return lambda: torch.autocast(torch.device(spec.device).type, getattr(torch, spec.precision))


def _images_within_budget(prepared: Prepared) -> int:
    """Warms up, and from the last warm calls' speed tells how many images all rounds can take within the budget."""
    spec, model, precision = prepared.cell.spec, prepared.model, prepared.precision
    begun = perf_counter()
    warm = time_predictions(model, prepared.batches(WARMUP_CALLS * spec.batch_size), precision)
    while perf_counter() - begun < 1.0 and len(warm.seconds) < 10 * WARMUP_CALLS:
        warm.seconds += time_predictions(model, prepared.batches(spec.batch_size), precision).seconds
    per_image = min(warm.seconds) / spec.batch_size
    affordable = int(spec.budget_s / (per_image * spec.rounds))
    return max(affordable, spec.batch_size)
