"""What a run has kept: its cells, and the dataset and predictions that they speak of, if these are still the same."""

from collections.abc import Sequence
from pathlib import Path

import torch

from roibench.assemble import find_weights, ready_model
from roibench.dataset import Dataset
from roibench.datasets.reference import found_from, open_dataset
from roibench.files import file_hash
from roibench.measure.checks import PredictionError, check_predictions
from roibench.measure.journal import read_records
from roibench.measure.outside import outside_hashes
from roibench.measure.predictions import load_predictions
from roibench.measure.record import Ok
from roibench.model import Model
from roibench.registry import AT, Registry
from roibench.sources import with_class_map
from roibench.structures import Prediction
from roibench.task import Frame


def recorded_cells(run: Path) -> list[Ok]:
    """The cells of a run's folder that ran. Raises ValueError where there are none."""
    records = [record for record in read_records(run) if record.status == "ok"]
    if not records:
        raise ValueError(f"{run}: no run's folder: it has no records.jsonl with a cell that ran")
    return records


def recorded_data(record: Ok, registry: Registry, run: Path | None = None) -> Dataset:
    """The dataset that was measured on; a relative path is looked for from the run's folder and those above it, too.
    Raises ValueError where it has changed since.
    """
    source = found_from(record.cell.dataset, run) if run else record.cell.dataset
    data = open_dataset(source, registry, on_bad_data=record.cell.on_bad_data)
    if data.hash != record.cell.dataset_hash:
        raise ValueError(f"dataset {record.cell.dataset!r} has changed since {record.cell_id} was measured")
    return data


def recorded_model(record: Ok, data: Dataset, registry: Registry, around: str | None = None) -> Model:
    """The model that was measured, with the knobs and weights that it had, on the CPU; around: the name of a model that
    goes around it, to have that one.

    Raises UnknownNameError for a name that nothing has; ValueError where the weights have changed since, and where
    the one can't go around the other.
    """
    cell = record.cell
    spec = registry.model(f"{around}{AT}{cell.typed_model}" if around else cell.typed_model).tuned(cell.knobs)
    if cell.outside is not None:
        spec = with_class_map(spec, cell.outside.classes)
        if outside_hashes(spec) != cell.outside.files:
            raise ValueError(f"model {cell.outside.source} has changed since {record.cell_id} was measured")
    weights = find_weights(spec, cell.dataset, Path(cell.weights) if cell.weights else None, registry)
    if weights is not None and file_hash(weights) != cell.weights_hash:
        raise ValueError(f"weights {weights} have changed since {record.cell_id} was measured")
    try:
        return ready_model(spec, data.info, weights, torch.device("cpu"))
    except TypeError as error:  # of a Wrapper
        raise ValueError(f"model {spec.name!r}: {error}") from error


def recorded_predictions(
    record: Ok, run: Path, images: Sequence[int], frames: Sequence[Frame], registry: Registry
) -> list[Prediction]:
    """What was timed and scored, of some images, one per frame. Raises ValueError where the run has no predictions, or
    others than its record says; PredictionError where one is impossible, which earlier versions didn't look for.
    """
    folder = run if run.is_dir() else run.parent
    path = folder / record.predictions
    if not path.is_file() or file_hash(path) != record.predictions_sha256:
        state = "are others than its record says" if path.is_file() else "were not kept"
        raise ValueError(f"{record.cell_id}: its predictions ({path}) {state}")
    _, predictions = load_predictions(path)
    chosen = [predictions[index] for index in images]
    needed = registry.needed_fields(record.scores)
    try:
        check_predictions(chosen, frames, registry.fields, needed)
    except PredictionError as error:
        raise PredictionError(f"{record.cell_id}: {error}") from error
    return chosen
