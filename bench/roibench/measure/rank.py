"""Is one model better than another, or is it the images? Paired differences of what runs have recorded."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from roibench.datasets.reference import DatasetRef
from roibench.measure.pairs import latency_ratio
from roibench.measure.record import Interval, Ok
from roibench.measure.recorded import recorded_cells, recorded_data
from roibench.measure.rescore import GroundTruth, recorded_scores
from roibench.metric import Estimate
from roibench.metrics.bootstrap import difference
from roibench.registry import Registry
from roibench.task import Task


@dataclass(frozen=True)
class Entry:
    """A cell's value that ranks, and how it compares with the best one's.

    behind: how far the value lies from the best one; None for the best itself.
    times: how many times as long it takes as the best, paired by turns; None where they took none together.
    warnings: what is doubtful about its predictions.
    """

    record: Ok
    value: Estimate
    behind: Estimate | None
    times: Interval | None = None
    warnings: tuple[str, ...] = ()


@dataclass(frozen=True)
class Ranking:
    """Cells scored on the same images of one dataset, under one task, best first.

    primary: METRIC/VALUE that ranks.
    unit: its own.
    """

    dataset: str
    task: str
    primary: str
    unit: str
    images: int
    entries: tuple[Entry, ...]


def rank_runs(runs: Sequence[Path], registry: Registry) -> list[Ranking]:
    """Compares all cells of the runs' folders that share dataset and task: over each number of images that one was
    measured on, those that were measured on as many or more.

    They are scored again, from the predictions that the runs have kept: the metric's resamples, which no record holds,
    are the same draws for each. Raises ValueError where a run has no predictions or other ones than its record says, or
    where the dataset has changed since.
    """
    groups: dict[tuple[str, str], list[tuple[Ok, Path]]] = {}
    for run in runs:
        for record in filter(lambda record: record.is_scored, recorded_cells(run)):
            for task in record.scores:
                groups.setdefault((record.cell.dataset_hash, task), []).append((record, run))
    return [
        _rank(registry.tasks[task], [cell for cell in cells if cell[0].images >= images], images, registry)
        for (_, task), cells in groups.items()
        for images in sorted({record.images for record, _ in cells}, reverse=True)
    ]


def _rank(task: Task, cells: Sequence[tuple[Ok, Path]], images: int, registry: Registry) -> Ranking:
    first, folder = cells[0]
    ground_truth = GroundTruth.of(recorded_data(first, registry, folder), images)
    scored = []
    for record, run in cells:
        scores = recorded_scores(record, run, task, ground_truth, registry)
        scored.append((record, scores.values[scores.primary], scores.warnings))
    ranking = scores.declared[scores.primary]
    scored.sort(key=lambda one: one[1].value, reverse=ranking.higher_is_better)
    leader, best, _ = scored[0]
    entries = tuple(
        Entry(
            record,
            value,
            None if value is best else difference(value, best),
            None if value is best else latency_ratio(record, leader),
            warnings,
        )
        for record, value, warnings in scored
    )
    label = DatasetRef.parse(first.cell.dataset).label
    return Ranking(label, task.name, scores.primary, ranking.unit, images, entries)
