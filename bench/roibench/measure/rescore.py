"""Scored again, or scored at all: a run's kept predictions, and what was predicted elsewhere."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

from roibench.dataset import Dataset
from roibench.datasets.reference import DatasetRef, open_dataset
from roibench.measure.checks import check_predictions
from roibench.measure.coco_results import KINDS, load_results, read_results
from roibench.measure.journal import FILE
from roibench.measure.record import Ok, Score
from roibench.measure.recorded import recorded_cells, recorded_data, recorded_predictions
from roibench.measure.score import ScoreError, Scores, score
from roibench.registry import Registry, unknown
from roibench.structures import Target
from roibench.task import Frame, Task

_TASKS = {"bbox": "detection", "segmentation": "instance_segmentation", "keypoints": "keypoints"}


@dataclass(frozen=True)
class GroundTruth:
    """The first images of a dataset: what predictions are held against."""

    frames: Sequence[Frame]
    targets: Sequence[Target]

    @classmethod
    def of(cls, data: Dataset, images: int) -> Self:
        frames, targets = [], []
        for index in range(images):
            one, target = data[index]
            frames.append(Frame.of(one, data.info))
            targets.append(target)
        return cls(frames, targets)


@dataclass(frozen=True)
class Rescored:
    """Predictions under one task.

    what: the cell or the file that they are of.
    notes: what to know of them.
    """

    what: str
    dataset: str
    task: str
    images: int
    score: Score
    notes: tuple[str, ...] = ()

    @property
    def as_json(self) -> dict[str, Any]:
        """What `roibench score --json` prints; the score as a record holds it."""
        return {
            "predictions": self.what,
            "dataset": self.dataset,
            "task": self.task,
            "images": self.images,
            "score": self.score.model_dump(mode="json"),
            "notes": list(self.notes),
        }


def recorded_scores(record: Ok, run: Path, task: Task, ground_truth: GroundTruth, registry: Registry) -> Scores:
    """A cell's kept predictions of the images of the ground truth, scored. Metrics that ask the model again are left
    out.
    """
    images = range(len(ground_truth.frames))
    predictions = recorded_predictions(record, run, images, ground_truth.frames, registry)
    try:
        return score(task, predictions, ground_truth.targets, ground_truth.frames, registry)
    except ScoreError as error:
        raise ScoreError(f"{record.cell_id}: {error}") from error


def rescore(source: Path, registry: Registry, dataset: str | None = None, task: str | None = None) -> list[Rescored]:
    """A run's folder, or a COCO result file. dataset: what the file speaks of; of a run, where its dataset lies now.
    task: the only one to score; None: all that a run's cells have, or what the file's entries hold.

    Raises ValueError for what is neither, and where dataset, task and predictions don't go together.
    """
    if task is not None and task not in registry.tasks:
        raise ValueError(f"--task: {unknown('task', task, registry.tasks)}")
    if source.is_dir() or source.name == FILE:
        return _rescore_run(source, registry, dataset, task)
    if not source.is_file():
        raise ValueError(f"{source}: want a run's folder or a COCO result file")
    if dataset is None:
        raise ValueError(f"{source}: --dataset: want the dataset that was predicted, such as coco:PATH@val")
    return [_score_results(source, registry, dataset, task)]


def _rescore_run(run: Path, registry: Registry, dataset: str | None, task: str | None) -> list[Rescored]:
    opened: dict[tuple[str, int], GroundTruth] = {}
    found = []
    for record in recorded_cells(run):
        if not record.is_scored:
            continue
        source = dataset or record.cell.dataset
        for name in record.scores:
            if task not in (None, name):
                continue
            key = record.cell.dataset_hash, record.images
            if key not in opened:
                moved = record.model_copy(update={"cell": record.cell.model_copy(update={"dataset": source})})
                opened[key] = GroundTruth.of(recorded_data(moved, registry), record.images)
            scores = recorded_scores(record, run, registry.tasks[name], opened[key], registry)
            label = DatasetRef.parse(source).label
            found.append(Rescored(record.cell_id, label, name, record.images, scores.recorded))
    if not found:
        scored = dict.fromkeys(name for record in recorded_cells(run) for name in record.scores)
        want = f"--task {task}: no cell was scored under it; want {' or '.join(scored)}"
        raise ValueError(
            f"{run}: {want if task else 'its models were measured for their speed alone: nothing was scored'}"
        )
    return found


def _score_results(file: Path, registry: Registry, dataset: str, task: str | None) -> Rescored:
    entries = load_results(file)
    kinds = [kind for kind in KINDS if any(kind in entry for entry in entries)]
    kind = next((kind for kind in kinds if task in (None, _TASKS[kind])), None)
    if kind is None:
        known = " or ".join(_TASKS[kind] for kind in kinds) or "results with a bbox, a segmentation or keypoints"
        raise ValueError(f"{file} can't be scored{f' under {task}' if task else ''}; want {known}")
    scored = registry.tasks[_TASKS[kind]]
    data = open_dataset(dataset, registry)
    if missing := {field.name for field in scored.target_fields} - data.info.fields:
        raise ValueError(
            f"dataset {dataset!r} has no {' and no '.join(sorted(missing))}, which {scored.name} is scored on"
        )
    ground_truth = GroundTruth.of(data, len(data))
    predictions = read_results(file, entries, kind, data, ground_truth.frames)
    check_predictions(predictions, ground_truth.frames, registry.fields, registry.needed_fields([scored.name]))
    scores = score(scored, predictions, ground_truth.targets, ground_truth.frames, registry)
    left = len(entries) - sum(len(scored.filter(one).scores) for one in predictions)
    notes = (
        f"{left:,} of {len(entries):,} results were not scored, as of every model: those below "
        f"{scored.score_threshold} and beyond the best {scored.max_detections} of their image",
    )
    label = DatasetRef.parse(dataset).label
    return Rescored(str(file), label, scored.name, len(predictions), scores.recorded, notes if left else ())
