"""Predictions and ground truth to scores: cut by the task's rules, each metric's values under METRIC/VALUE."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from math import isnan
from typing import Any

from torch import Tensor

from roibench.measure.checks import check_targets
from roibench.measure.record import Prefix, Score, ScoreValue
from roibench.metric import Estimate, Result, cost_of
from roibench.metrics.fields import ImageError
from roibench.model import Probe
from roibench.registry import Registry, resolve
from roibench.specs import MetricSpec, Value
from roibench.structures import Prediction, Target
from roibench.task import Frame, Scored, Task


class ScoreError(ValueError):
    """A task can't be scored; the message says which metric, and what is wrong."""


@dataclass(frozen=True)
class Scores:
    """One task's values by METRIC/VALUE, and what was declared of each; primary: the one that ranks.

    per_image: [N] each. METRIC/VALUE: of each image alone; cost_of(METRIC/VALUE): how much worse the image makes
        it.
    prefixes: what ranks over the first images alone, by their number; where it is undefined, it is missing.
    artefacts: what its metrics found to look at, as METRIC: NAME.
    warnings: what is doubtful.
    """

    task: Task
    primary: str
    values: Mapping[str, Estimate]
    declared: Mapping[str, Value]
    per_image: Mapping[str, Tensor] = field(default_factory=dict)
    prefixes: Mapping[int, Estimate] = field(default_factory=dict)
    artefacts: Mapping[str, Any] = field(default_factory=dict)
    warnings: tuple[str, ...] = ()

    @property
    def recorded(self) -> Score:
        """What a record keeps of it."""
        values = {}
        for key, estimate in self.values.items():
            declared = self.declared[key]
            values[key] = ScoreValue(
                value=estimate.value,
                low=estimate.low,
                high=estimate.high,
                unit=declared.unit,
                higher_is_better=declared.higher_is_better,
                shown=declared.shown,
                plotted=declared.plotted,
                point=declared.point,
                resampled=_rounded(estimate) if declared.shown and key != self.primary else (),
            )
        return Score(
            primary=self.primary,
            values=values,
            score_threshold=self.task.score_threshold,
            max_detections=self.task.max_detections,
            warnings=self.warnings,
            resampled=_rounded(self.values[self.primary]),
            prefixes={
                images: Prefix(value=found.value, resampled=_rounded(found)) for images, found in self.prefixes.items()
            },
        )


def _rounded(estimate: Estimate) -> tuple[float | None, ...]:
    """What a record keeps of its resamples."""
    return tuple(None if isnan(one) else round(float(one), 7) for one in estimate.resampled)


def unscored(task: Task, registry: Registry) -> Score:
    """Of a model whose accuracy means nothing: which value would rank it, and none."""
    ranking = registry.ranking(task.name)
    return Score(primary="" if ranking is None else f"{ranking[0].name}/{ranking[1].name}", values={})


def with_missing(scored: Score, missing: Sequence[str], classes: Sequence[str], targets: Sequence[Target]) -> Score:
    """A score that tells of classes that the images show, and that the model can't find.

    missing: of the dataset's classes, those that a model from outside lacks.
    """
    labels = {int(label) for one in targets if one.labels is not None for label in one.labels}
    labels |= {one.image_label for one in targets if one.image_label is not None}
    shown = [name for name in missing if classes.index(name) in labels]
    if not shown:
        return scored
    text = f"{len(shown)} classes that the images show are none of the model's, and count as missed: {', '.join(shown)}"
    return scored.model_copy(update={"warnings": (*scored.warnings, text)})


def score(
    task: Task,
    predictions: Sequence[Prediction],
    targets: Sequence[Target],
    frames: Sequence[Frame],
    registry: Registry,
    probe: Probe | None = None,
    prefixes: Sequence[int] = (),
) -> Scores:
    """Scores predictions that check_predictions let through; without a probe, metrics that need one are left out.
    prefixes: numbers of first images over which what ranks is given, too.

    Raises TargetError where the ground truth is impossible; ScoreError where a metric fails or gives what it hasn't
    declared, and where none gives the value that ranks.
    """
    ranking = registry.ranking(task.name)
    if ranking is None:
        raise ScoreError(f"no metric of task {task.name} declares a value that ranks its models: want ranks=True")
    ranks, name = ranking[0], ranking[1].name
    primary = f"{ranks.name}/{name}"
    check_targets(targets, frames, task.target_fields)
    kept = [task.filter(prediction) for prediction in predictions]
    values: dict[str, Estimate] = {}
    declared: dict[str, Value] = {}
    per_image: dict[str, Tensor] = {}
    artefacts: dict[str, Any] = {}
    doubtful = [*task.doubts(Scored(task, predictions, kept, targets, frames))]
    for metric in registry.metrics_for(task.name):
        if metric.needs_probe and probe is None:
            continue
        result = _computed(metric, kept, targets, frames, probe)
        values |= {f"{metric.name}/{name}": estimate for name, estimate in result.values.items()}
        declared |= {f"{metric.name}/{value.name}": value for value in metric.values}
        per_image |= _per_image(metric, result)
        artefacts |= {f"{metric.name}: {name}": value for name, value in result.artefacts.items()}
        doubtful += result.warnings
    if primary not in values:
        raise ScoreError(f"task {task.name}: {primary!r}, which ranks it, has no value; got {sorted(values) or 'none'}")
    first = {n: _computed(ranks, kept[:n], targets[:n], frames[:n], probe).values for n in prefixes}
    at_prefixes = {n: found[name] for n, found in first.items() if name in found}
    return Scores(task, primary, values, declared, per_image, at_prefixes, artefacts, tuple(doubtful))


def _computed(
    metric: MetricSpec,
    predictions: Sequence[Prediction],
    targets: Sequence[Target],
    frames: Sequence[Frame],
    probe: Probe | None,
) -> Result:
    """What a metric gives. Raises ScoreError, naming it or the image."""
    try:
        result = resolve(metric.compute)(predictions, targets, probe=probe if metric.needs_probe else None)
    except ImageError as error:
        raise ScoreError(f"image {frames[error.index].id}: {error.problem}") from error
    except Exception as error:
        raise ScoreError(f"metric {metric.name!r}: {type(error).__name__}: {error}") from error
    names = [value.name for value in metric.values]
    known = {*names, *map(cost_of, names)}
    if undeclared := [*(result.values.keys() - set(names)), *(result.per_image.keys() - known)]:
        raise ScoreError(
            f"metric {metric.name!r} gave {undeclared[0]!r}, which it hasn't declared; its values: {', '.join(names)}"
        )
    if uneven := [name for name, column in result.per_image.items() if column.shape != (len(targets),)]:
        shape = list(result.per_image[uneven[0]].shape)
        raise ScoreError(f"metric {metric.name!r}: per_image[{uneven[0]!r}] is {shape}; want [{len(targets)}]")
    return result


def _per_image(metric: MetricSpec, result: Result) -> dict[str, Tensor]:
    """By METRIC/VALUE. Without an image that makes it worse, a value is higher, or lower where that is better."""
    lower = {cost_of(value.name) for value in metric.values if not value.higher_is_better}
    return {f"{metric.name}/{name}": -column if name in lower else column for name, column in result.per_image.items()}
