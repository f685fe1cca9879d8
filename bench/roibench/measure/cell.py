"""One cell, step by step: prepare it, warm up, time predict in turns, observe what it costs beside time, and score what
was timed.
"""

import gc
from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from itertools import islice
from pathlib import Path
from time import perf_counter
from typing import Any, NamedTuple

import torch

from roibench.assemble import ready_model
from roibench.backend import Backend
from roibench.dataset import Dataset
from roibench.datasets.reference import open_dataset
from roibench.files import file_hash
from roibench.measure.artefacts import save_artefacts
from roibench.measure.backend import TOLERANCE, HandedOver, hand_over, open_backend
from roibench.measure.calibration import calibration_inputs
from roibench.measure.checks import check_predictions
from roibench.measure.cost import count_cost, memory_now, peak_memory
from roibench.measure.energy import EnergyMeter
from roibench.measure.inputs import Batches, Inputs
from roibench.measure.interference import SystemMonitor
from roibench.measure.outside import outside_hashes
from roibench.measure.per_image import save_per_image
from roibench.measure.plugin_state import plugins_hash
from roibench.measure.predictions import save_predictions
from roibench.measure.prefixes import prefix, prefixes
from roibench.measure.provenance import provenance
from roibench.measure.record import CellSpec, Cost, Memory, Ok, Score, Stage, Turns
from roibench.measure.score import score, unscored, with_missing
from roibench.measure.timing import Timed, summarise, time_predictions, time_stages
from roibench.model import HasArtefacts, Model, Probe
from roibench.registry import Registry
from roibench.specs import ModelSpec
from roibench.task import Frame, Task
from roibench.weights import read_header

TURNS = 25  # blocks of the images, each timed in a turn of its own
LEAST_TURNS = 10
WARMUP_CALLS = 8
MEMORY_IMAGES = 8
EXAMPLE_IMAGES = 8  # on which a backend is compared with torch, or two batches of them
STAGE_IMAGES = 64  # or an eighth of those that were timed, where that is less
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
    """What is there before the clock starts. precision: a context in which the model computes as specified. backend:
    what runs the model's networks; None: torch.
    """

    cell: PlannedCell
    data: Dataset
    model: Model
    device: torch.device
    precision: Callable[[], AbstractContextManager]
    inputs: Inputs
    backend: HandedOver | None = None

    def batches(self, images: int | None = None) -> Batches:
        """Of the first images; None: of all."""
        inputs = self.inputs if images is None else self.inputs.first(images)
        return Batches(inputs, self.cell.spec.batch_size)


class Pace(NamedTuple):
    """How fast a cell is. seconds: per image, at its best; turns: in how many it is timed."""

    seconds: float
    turns: int


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


class Measurement:
    """A cell's measurement in this process, step by step; roibench.measure.turns asks for the steps.

    folder: of the run; predictions go to folder/predictions/CELL.npz, what each image's part in the scores is to
    folder/per_image/CELL.csv, artefacts to folder/artefacts/CELL.
    on_progress: called with what begins, for the error message of a cell that dies.
    Every step raises whatever the model raises, PredictionError where it returns what can't be, and CellError where
    plan and world disagree.
    """

    def __init__(self, cell: PlannedCell, folder: Path, registry: Registry, on_progress: Progress) -> None:
        self.cell, self.folder, self.registry, self.on_progress = cell, folder, registry, on_progress

    def prepare(self) -> float:
        """Opens the dataset, builds the model and sees what memory it takes; MiB of this process afterwards."""
        self.started = datetime.now(UTC)
        self.prepared, self.memory = prepare(self.cell, self.registry, self.on_progress)
        gc.collect()
        gc.freeze()  # what is there by now stays: a collection between turns needn't look at it
        return memory_now(torch.device("cpu"))

    def warm_up(self) -> Pace:
        """Warms up, and decides from the last calls' speed on how many images the cell is timed, in which blocks."""
        self.on_progress("warming up")
        prepared, spec = self.prepared, self.cell.spec
        seconds = _warm_seconds(prepared)
        passes = spec.rounds
        affordable = spec.budget_s / (seconds * passes)
        if affordable < len(prepared.inputs):
            self.inputs = prepared.inputs.first(max(prefix(affordable), spec.batch_size))
        else:
            self.inputs = prepared.inputs
        batches = -(-len(self.inputs) // spec.batch_size)
        blocks = min(TURNS, batches)
        self.passes = max(passes, -(-LEAST_TURNS // blocks))
        self.blocks = [range(batches * block // blocks, batches * (block + 1) // blocks) for block in range(blocks)]
        self.timed: list[Timed] = []
        self.frames: list[Frame] = []
        self.monitor, self.meter = SystemMonitor(spec.threads), EnergyMeter.of(prepared.device)
        return Pace(seconds, blocks * self.passes)

    def take_turn(self, turn: int) -> float:
        """Times the turn's block of images; the median of its calls, in milliseconds per image.

        Each begins with a call that isn't timed, on the block's first images: what the cells before it left in the
        caches isn't this one's. Python's garbage collector has run, and stays on.
        """
        prepared, (repeat, block) = self.prepared, divmod(turn, len(self.blocks))
        batches = Batches(self.inputs, self.cell.spec.batch_size, self.blocks[block])
        self.on_progress("timing")
        time_predictions(prepared.model, islice(batches, 1), prepared.precision)
        gc.collect()
        with self.monitor, self.meter:
            timed = time_predictions(prepared.model, batches, prepared.precision, self.timed[block] if repeat else None)
        if not repeat:
            self.on_progress("checking what predict returned")
            frames = [Frame.of(one, prepared.data.info) for batch in batches for one in batch]
            needed = {field.name for task in self.cell.tasks for field in task.prediction_fields}
            check_predictions(timed.predictions, frames, self.registry.fields, needed)
            self.frames += frames
        self.timed.append(timed)
        return timed.median

    def observe(self) -> None:
        """What the cell costs beside time."""
        images = min(STAGE_IMAGES, max(COST_IMAGES, len(self.inputs) // 8))
        self.observed = observe(self.prepared, images, self.on_progress)

    def finish(self, turns: Turns) -> Ok:
        """Scores what was timed. turns: what the record keeps of them."""
        cell, spec, observed = self.cell, self.cell.spec, self.observed
        outcome = self._score()
        return Ok(
            cell=spec,
            cell_id=spec.id,
            started=self.started,
            finished=datetime.now(UTC),
            family=cell.model.family,
            epochs=None if cell.weights is None else read_header(cell.weights).recipe["epochs"],
            pretrained_on=cell.model.learns.origin,
            images=len(self.inputs),
            rounds=self.passes,
            scores=outcome.scores,
            latency=summarise(self.timed, turns),
            interference=self.monitor.report(self.timed),
            stages=observed.stages,
            memory=self.memory,
            cost=observed.cost,
            energy=self.meter.report([sum(one.counts) for one in self.timed]),
            predictions=str(outcome.predictions.relative_to(self.folder)),
            predictions_sha256=file_hash(outcome.predictions),
            per_image=str(outcome.per_image.relative_to(self.folder)),
            per_image_sha256=file_hash(outcome.per_image),
            artefacts=save_artefacts(
                outcome.artefacts | observed.artefacts, self.folder / "artefacts" / spec.id, self.folder
            ),
            backend=self.prepared.backend and self.prepared.backend.record,
            provenance=provenance(self.registry),
        )

    def _score(self) -> Outcome:
        """Keeps what was timed, and scores it under each task."""
        self.on_progress("scoring")
        prepared, cell = self.prepared, self.cell
        ids = [frame.id for frame in self.frames]
        predictions = [one for timed in self.timed[: len(self.blocks)] for one in timed.predictions]
        kept = self.folder / "predictions" / f"{cell.id}.npz"
        save_predictions(kept, ids, predictions)
        targets = [prepared.data[i].target for i in range(len(self.inputs))]
        probe = Probe(prepared.model, self.inputs)
        scores, per_image, artefacts = {}, {}, {}
        outside = cell.spec.outside
        for task in cell.tasks:
            if outside and outside.unscored:
                scores[task.name] = unscored(task, self.registry)
                continue
            with prepared.precision():
                found = score(task, predictions, targets, self.frames, self.registry, probe, prefixes(len(targets)))
            missing, classes = outside.missing if outside else (), prepared.data.info.classes
            scores[task.name] = with_missing(found.recorded, missing, classes, targets)
            per_image |= found.per_image
            artefacts |= {f"{task.name}: {name}": value for name, value in found.artefacts.items()}
        of_images = self.folder / "per_image" / f"{cell.id}.csv"
        save_per_image(of_images, ids, per_image)
        return Outcome(scores, kept, of_images, artefacts)


def prepare(cell: PlannedCell, registry: Registry, on_progress: Progress) -> tuple[Prepared, Memory]:
    """Opens the dataset and builds the model, and in a first pass over a few images sees what memory that takes. Raises
    CellError where they aren't those that were planned.
    """
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
    if spec.outside is not None and outside_hashes(cell.model) != spec.outside.files:
        raise CellError(f"model {spec.outside.source} has changed since this run was planned: start the run again")
    inputs = Inputs(data, min(len(data), spec.images or len(data)), cell.tasks)
    with peak_memory(device) as memory:
        model = ready_model(cell.model, data.info, cell.weights, device)
        prepared = Prepared(cell, data, model, device, _precision(spec), inputs)
        if (backend := open_backend(spec.backend, registry)) is not None:
            on_progress(f"handing its networks to {spec.backend}")
            prepared = replace(prepared, backend=_handed_over(prepared, backend, registry))
        on_progress("warming up")
        time_predictions(model, prepared.batches(MEMORY_IMAGES), prepared.precision)
    return prepared, memory.found


def _handed_over(prepared: Prepared, backend: Backend, registry: Registry) -> HandedOver:
    cell, spec = prepared.cell, prepared.cell.spec
    calibration = None
    if backend.calibrates:
        inputs, told = calibration_inputs(spec, prepared.data, cell.tasks, registry)
        calibration = Batches(inputs, spec.batch_size), told
    examples = prepared.batches(max(EXAMPLE_IMAGES, 2 * spec.batch_size))
    coarsest = 8 * torch.finfo(getattr(torch, spec.precision)).eps
    tolerance = max(TOLERANCE, coarsest)
    return hand_over(prepared.model, backend, examples, prepared.precision, prepared.device, tolerance, calibration)


def observe(prepared: Prepared, images: int, on_progress: Progress) -> Observed:
    """Stages, FLOPs and what the model has to show, in passes of their own: none of them disturbs the timed ones.

    images: from the first one on, whose stages are timed.
    """
    model, precision = prepared.model, prepared.precision
    on_progress("stage times")
    stages = time_stages(model, prepared.batches(images), precision, prepared.device)
    on_progress("counting FLOPs")
    in_torch = nullcontext() if prepared.backend is None else prepared.backend.in_torch()
    with in_torch, precision():
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


def _warm_seconds(prepared: Prepared) -> float:
    """Calls predict for a second; the fastest call's seconds per image."""
    spec, begun = prepared.cell.spec, perf_counter()
    warm = time_predictions(prepared.model, prepared.batches(WARMUP_CALLS * spec.batch_size), prepared.precision)
    while perf_counter() - begun < 1.0 and len(warm.seconds) < 10 * WARMUP_CALLS:
        warm.seconds += time_predictions(prepared.model, prepared.batches(spec.batch_size), prepared.precision).seconds
    return min(warm.seconds) / spec.batch_size
