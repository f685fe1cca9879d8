"""From what a person asks for to the cells of a run. Whatever is wrong with it is reported before anything runs."""

import hashlib
import itertools
import os
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import torch

from roibench.assemble import NoWeightsError, build_model, find_weights, usable_device
from roibench.backend import Backend
from roibench.dataset import Dataset
from roibench.datasets.ground_truth import any_counts
from roibench.datasets.reference import DatasetRef, open_dataset
from roibench.files import file_hash
from roibench.measure.backend import open_backend, refusal
from roibench.measure.cell import PlannedCell
from roibench.measure.outside import check_class_map, classes_of, from_outside, outside_hashes, remarks
from roibench.measure.plugin_state import plugins_hash
from roibench.measure.provenance import cpu_name, source_state
from roibench.measure.record import CellSpec, FromOutside
from roibench.model import Model
from roibench.options import Options
from roibench.outside.class_map import ClassMapError
from roibench.registry import Registry, unknown
from roibench.sources import Source, read_class_map, with_class_map
from roibench.specs import Knob, ModelSpec
from roibench.task import Task
from roibench.weights import load_weights, read_header, state_hash


class PlanError(ValueError):
    """What was asked for can't be run; one line that says what would be right."""


@dataclass(frozen=True)
class Plan:
    """The cells of a run.

    remarks: what must be known of models from outside: what was guessed, which classes matched.
    skipped: what wildcards matched but can't be run, or be scored, and why.
    failures: plugins that couldn't be used, whole or in part, and why.
    max_ms: milliseconds per image beyond which a cell is left out.
    """

    cells: list[PlannedCell]
    skipped: list[str] = field(default_factory=list)
    remarks: list[str] = field(default_factory=list)
    failures: list[str] = field(default_factory=list)
    max_ms: float | None = None

    @property
    def key(self) -> str:
        """Equal for two runs that would measure the same: cells with all hashes, source, machine."""
        parts = [
            *(cell.id for cell in self.cells),
            *map(str, source_state()),
            cpu_name(),
            str(os.cpu_count()),
            str(self.max_ms),
        ]
        return hashlib.sha256("\n".join(parts).encode()).hexdigest()


@dataclass(frozen=True)
class Candidate:
    """A model that runs on a dataset: with what its cells are measured, the tasks of it that can't be scored, and what
    must be known of one from outside.
    """

    model: ModelSpec
    tasks: tuple[Task, ...]
    weights: Path | None
    weights_hash: str | None
    unscored: tuple[str, ...]
    outside: FromOutside | None = None
    remarks: tuple[str, ...] = ()


def make_plan(options: Options, registry: Registry) -> Plan:
    """Raises PlanError (or the registry's and the datasets' own errors) for anything that can't be right: a model that
    was named, and not only matched by a wildcard, must run on one of the datasets.
    """
    for device in options.devices:
        usable_device(device)
    backends = {name: open_backend(name, registry) for name in options.backends}
    table = {} if options.class_map is None else read_class_map(options.class_map)
    models = [with_class_map(model, table) for model in registry.select_models(options.models)]
    # Of each that was named: why it doesn't run, by dataset.
    named = {name for name in options.models if not set(name) & set("*?[") and Source.inside(name) is None}
    unplaced = {name: [] for name in (*named, *(model.name for model in models if model.learns.outside))}
    if options.weights is not None:
        _check_weights(options.weights, models)
    tunings = {model.name: _tunings(model, options, model.name in unplaced) for model in models}
    if unused := [name for name in options.knobs if not any(name in one[0] for one in tunings.values())]:
        known = {knob.name for model in models for knob in model.all_knobs}
        raise PlanError(f"--set {unused[0]}: {unknown('knob', unused[0], known)}")
    plugins = plugins_hash(registry)
    cells: dict[str, PlannedCell] = {}
    skipped: list[str] = []
    told: list[str] = []
    opened = {source: open_dataset(source, registry, on_bad_data=options.on_bad_data) for source in options.datasets}
    if options.class_map is not None:
        check_class_map(table, models, [name for data in opened.values() for name in data.info.classes])
    for source, data in opened.items():
        candidates, missing = [], []
        for model in models:
            try:
                candidates.append(_candidate(model, source, data, options, registry))
            except (NoWeightsError, PlanError, ClassMapError) as reason:
                unplaced.get(model.name, []).append(str(reason))
                # `*` alone means those that have weights.
                if options.models != ("*",) or not isinstance(reason, NoWeightsError):
                    missing.append(str(reason))
        if not candidates and len(options.datasets) == 1:
            raise PlanError("; ".join(missing) or f"no model has weights for dataset {source!r}")
        skipped += [line for candidate in candidates for line in candidate.unscored] + missing
        told += [line for candidate in candidates for line in candidate.remarks if line not in told]
        chosen = [
            (candidate, place)
            for candidate in candidates
            for place in _runnable(candidate, source, data, backends, options, skipped)
        ]
        tuned = [(*one, knobs) for one in chosen for knobs in tunings[one[0].model.name]]
        axes = (tuned, options.batch_sizes, options.threads or (_cores(),))
        for (candidate, (backend, device, precision), knobs), batch_size, threads in itertools.product(*axes):
            spec = CellSpec(
                model=candidate.model.name,
                dataset=source,
                dataset_hash=data.hash,
                device=device,
                precision=precision,
                batch_size=batch_size,
                threads=threads,
                images=options.images,
                rounds=options.rounds,
                weights=None if options.weights is None else str(options.weights),
                weights_hash=candidate.weights_hash,
                plugins_hash=plugins,
                on_bad_data=options.on_bad_data,
                knobs=knobs,
                outside=candidate.outside,
                backend=backend,
                budget_s=options.budget_s,
                timeout_s=options.timeout_s,
            )
            cells[spec.id] = PlannedCell(spec, candidate.model.tuned(knobs), candidate.tasks, candidate.weights)
    if nowhere := [reasons for reasons in unplaced.values() if len(reasons) == len(options.datasets)]:
        raise PlanError("; ".join(nowhere[0]))
    if not cells:
        raise PlanError("; ".join(skipped))
    failures = [failure.line for failure in registry.failures]
    return Plan(list(cells.values()), skipped, told, failures, options.max_ms)


def _tunings(model: ModelSpec, options: Options, named: bool) -> list[dict[str, int | float]]:
    """What the model is measured with: every combination of the values that were asked for of its knobs, by name.

    Raises PlanError for a value that one can't have, and where a model that was named lacks a knob.
    """
    knobs = model.all_knobs
    if named and (missing := options.knobs.keys() - {knob.name for knob in knobs}):
        has = ", ".join(knob.name for knob in knobs) or "none"
        raise PlanError(f"--set {min(missing)}: model {model.name!r} has no such knob; it has {has}")
    chosen = [knob for knob in knobs if knob.name in options.knobs]
    values = [[_value(model, knob, value) for value in options.knobs[knob.name]] for knob in chosen]
    return [dict(zip((knob.name for knob in chosen), one, strict=True)) for one in itertools.product(*values)]


def _value(model: ModelSpec, knob: Knob, value: int | float) -> int | float:
    try:
        return knob.value(value)
    except ValueError as error:
        raise PlanError(f"--set {knob.name}={value}: model {model.name!r}: {error}") from error


def _candidate(model: ModelSpec, source: str, data: Dataset, options: Options, registry: Registry) -> Candidate:
    """Raises PlanError or NoWeightsError where the model can't run, or be scored, on the dataset."""
    lacking = {task: _names(task) - data.info.fields for task in registry.tasks_of(model)}
    tasks = tuple(task for task, fields in lacking.items() if not fields)
    if not tasks:
        wants = " or ".join(", ".join(field.name for field in task.target_fields) for task in lacking)
        raise PlanError(
            f"model {model.name!r} is scored on {wants}; dataset {source!r} has {', '.join(sorted(data.info.fields))}"
        )
    where = f" in its first {options.images} images" if options.images else ""
    unscored = [
        f"task {task.name} of model {model.name!r}: dataset {source!r} has no {', '.join(sorted(fields))}"
        for task, fields in lacking.items()
        if fields
    ]
    scored = tuple(task for task in tasks if any_counts(data, task.counts, options.images))
    nothing = [
        f"model {model.name!r}: dataset {source!r} has nothing that counts for {task.name}{where}"
        for task in tasks
        if task not in scored
    ]
    if not scored:
        raise PlanError(nothing[0])
    left_out = (*unscored, *nothing)
    if model.learns.outside is not None:
        return _from_outside(model, scored, source, data, options, left_out)
    weights = find_weights(model, source, options.weights, registry)
    return Candidate(model, scored, weights, _weights_hash(model, source, data, weights, options), left_out)


def _from_outside(
    model: ModelSpec, tasks: tuple[Task, ...], source: str, data: Dataset, options: Options, left_out: tuple[str, ...]
) -> Candidate:
    """Raises PlanError where it can't be built, and ClassMapError where none of its classes is the dataset's."""
    try:
        classes = classes_of(model, data.info)
    except ClassMapError as error:
        raise ClassMapError(f"model {model.name!r}, dataset {source!r}: {error}") from error
    with torch.random.fork_rng(devices=()):
        torch.manual_seed(0)
        state = _built(model, source, data).state_dict()
    hashes = outside_hashes(model)
    pinned = hashlib.sha256("\n".join(f"{name} {one}" for name, one in sorted(hashes.items())).encode()).hexdigest()
    told = tuple(remarks(model, classes, DatasetRef.parse(source).label))
    return Candidate(
        model, tasks, None, pinned if hashes else state_hash(state), left_out, from_outside(model, classes), told
    )


def _runnable(
    candidate: Candidate,
    source: str,
    data: Dataset,
    backends: Mapping[str, Backend | None],
    options: Options,
    skipped: list[str],
) -> Iterator[tuple[str, str, str]]:
    """Backend, device and precision, of each combination in which the model can be tried. skipped: is told the others,
    and why.
    """
    spec = candidate.model
    others = any(backend is not None for backend in backends.values())
    model = _built(spec, source, data) if others else None
    for name, backend in backends.items():
        reason = None if backend is None else refusal(backend, model)
        if reason is not None:
            skipped.append(f"model {spec.name!r}, dataset {source!r}, backend {name}: {reason}")
            continue
        for device, precision in itertools.product(options.devices, options.precisions):
            reason = None if backend is None else backend.refusal(torch.device(device), precision)
            if reason is None:
                yield name, device, precision
            elif (line := f"backend {name}: it {reason}") not in skipped:
                skipped.append(line)


def _names(task: Task) -> set[str]:
    return {field.name for field in task.target_fields}


def _weights_hash(model: ModelSpec, source: str, data: Dataset, weights: Path | None, options: Options) -> str | None:
    """Of the file that will be loaded; of what the model holds once it is built, where it finds that by itself."""
    if weights is None:  # with nothing to load, building is what shows whether the model takes this dataset
        with torch.random.fork_rng(devices=()):
            torch.manual_seed(0)
            return state_hash(_built(model, source, data).state_dict())
    if options.weights is not None:  # loaded once here, so that a file that doesn't fit is refused before anything runs
        load_weights(options.weights, _built(model, source, data), model, data.info.classes)
    elif model.wraps:  # whether the model inside has what is asked of it shows when both are built
        _built(model, source, data)
    return file_hash(weights)


def _built(model: ModelSpec, source: str, data: Dataset) -> Model:
    try:
        return build_model(model, data.info)
    except Exception as reason:
        what = str(reason) if isinstance(reason, ValueError | OSError) else f"{type(reason).__name__}: {reason}"
        raise PlanError(f"model {model.name!r} can't be built for dataset {source!r}: {what}") from reason


def _check_weights(path: Path, models: Sequence[ModelSpec]) -> None:
    if outside := [model.name for model in models if model.learns.outside]:
        raise PlanError(f"--weights {path}: model {outside[0]} is from outside, and its source names its own")
    owner = read_header(path).model
    if others := [model.name for model in models if model.learns.name != owner]:
        raise PlanError(f"--weights {path} is of model {owner!r}, not of {', '.join(others)}: want --model {owner}")


def _cores() -> int:
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
