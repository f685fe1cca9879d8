"""Predictions and ground truth to scores: cut by the task's rules, each metric's values under names of their own."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from roibench.measure.checks import check_targets
from roibench.metric import Estimate
from roibench.metrics.fields import ImageError
from roibench.model import Probe
from roibench.registry import Registry, resolve
from roibench.structures import Prediction, Target
from roibench.task import Frame, Scored, Task


class ScoreError(ValueError):
    """A task can't be scored; the message says which metric, and what is wrong."""


@dataclass(frozen=True)
class Scores:
    """One task's values; artefacts: what its metrics found to look at, as METRIC: NAME; warnings: what is doubtful."""

    values: Mapping[str, Estimate]
    artefacts: Mapping[str, Any] = field(default_factory=dict)
    warnings: tuple[str, ...] = ()


def score(
    task: Task,
    predictions: Sequence[Prediction],
    targets: Sequence[Target],
    frames: Sequence[Frame],
    registry: Registry,
    probe: Probe | None = None,
) -> Scores:
    """Scores predictions that check_predictions let through; without a probe, metrics that need one are left out.

    Raises TargetError where the ground truth is impossible; ScoreError where the metrics don't give
    the task's primary value, or two of them one name.
    """
    check_targets(targets, frames, task.target_fields)
    kept = [task.filter(prediction) for prediction in predictions]
    values: dict[str, Estimate] = {}
    owners: dict[str, str] = {}
    artefacts: dict[str, Any] = {}
    for metric in registry.metrics_for(task.name):
        if metric.needs_probe and probe is None:
            continue
        try:
            result = resolve(metric.compute)(kept, targets, probe=probe if metric.needs_probe else None)
        except ImageError as error:
            raise ScoreError(f"image {frames[error.index].id}: {error.problem}") from error
        except Exception as error:
            raise ScoreError(f"metric {metric.name!r}: {type(error).__name__}: {error}") from error
        if taken := [name for name in result.values if name in values]:
            raise ScoreError(
                f"task {task.name}: the metrics {owners[taken[0]]!r} and {metric.name!r} both give {taken[0]!r}; "
                "want a name for each value"
            )
        values |= result.values
        owners |= dict.fromkeys(result.values, metric.name)
        artefacts |= {f"{metric.name}: {name}": value for name, value in result.artefacts.items()}
    if task.primary not in values:
        raise ScoreError(f"no metric of task {task.name} gave its primary value {task.primary!r}; got {sorted(values)}")
    return Scores(values, artefacts, task.doubts(Scored(task, predictions, kept, targets, frames)))
