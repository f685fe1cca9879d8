"""What a task is. One is registered as a Task, which holds its fields, its rules and its contract."""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from enum import IntEnum
from typing import TYPE_CHECKING, Any, NamedTuple

import torch

from roibench.dataset import DatasetInfo
from roibench.specs import MetricSpec
from roibench.structures import PER_OBJECT, Input, Prediction, Target

if TYPE_CHECKING:
    from PIL.Image import Image

    from roibench.draw.canvas import Canvas


@dataclass(frozen=True)
class Frame:
    """What an image's prediction is held against.

    id: the image's name.
    size: (height, width) in pixels, None without an image.
    classes: names, in label order.
    joints: how many, None if that isn't known.
    """

    id: str
    size: tuple[int, int] | None
    classes: tuple[str, ...]
    joints: int | None = None

    @classmethod
    def of(cls, one: Input, info: DatasetInfo) -> "Frame":
        size = None if one.image is None else tuple(one.image.shape[1:])
        return cls(one.id, size, info.classes, len(info.joints) or None)

    @property
    def sides(self) -> Sequence[int | str]:
        return self.size or ("H", "W")


@dataclass(frozen=True)
class Scored:
    """What one task scores, image by image.

    task: which.
    returned: as the model gave it.
    kept: after the task's filter.
    targets: ground truth.
    frames: what each was checked against.
    """

    task: "Task"
    returned: Sequence[Prediction]
    kept: Sequence[Prediction]
    targets: Sequence[Target]
    frames: Sequence[Frame]


class Mistakes(NamedTuple):
    """What is wrong with the objects that were predicted of an image.

    objects: of each of them, in order, its mistake in a word; None where it is right, or counts neither way.
    missed: of each true one, whether nothing that was predicted comes near it.
    """

    objects: tuple[str | None, ...]
    missed: tuple[bool, ...]


class Place(IntEnum):
    """Where a layer of a drawing lies, from the bottom up; strips are put below the picture."""

    AREA = 0
    MARK = 1
    STRIP = 2


Draw = Callable[["Canvas", Prediction, Sequence[str], float], None]


@dataclass(frozen=True)
class Layer:
    """A part of a drawing: draw(canvas, prediction, classes, score_threshold) adds it to the canvas."""

    draw: Draw
    place: Place = Place.MARK


@dataclass(frozen=True)
class Field:
    """A field of Prediction, common or a task's own; several tasks may share one.

    name: of the attribute of Prediction, or of the key in its `extra`.
    check: (value, frame) -> what is wrong in words, or None.
    per_object: it has an entry per object, as many as the other fields that have one.
    doubts: what is possible but most likely a mistake: sentences, with counts.
    layers: how it is drawn.
    describe: (prediction, classes, score_threshold) -> what JSON can hold, by name.
    in_words: what `describe` gave -> a few words, or None.
    file: a folder, and what `roibench predict` writes there for an image beside the drawing.
    """

    name: str
    check: Callable[[Any, Frame], str | None]
    per_object: bool = False
    doubts: Callable[[Scored], Iterator[str]] | None = None
    layers: tuple[Layer, ...] = ()
    describe: Callable[[Prediction, Sequence[str], float], Mapping[str, Any]] | None = None
    in_words: Callable[[Mapping[str, Any]], str | None] | None = None
    file: "tuple[str, Callable[[Prediction], Image]] | None" = None


@dataclass(frozen=True)
class TargetField:
    """A field of Target, common or a task's own.

    name: of the attribute of Target, or of the key in its `extra`.
    check: (value, frame) -> what is wrong in words, or None.
    counts: whether what a target has in it is scored; None: whatever there is.
    """

    name: str
    check: Callable[[Any, Frame], str | None]
    counts: Callable[[Target], bool] | None = None

    def has(self, target: Target) -> bool:
        """Whether a target has anything in this field that is scored."""
        return target.get(self.name) is not None and (self.counts is None or self.counts(target))


class Task:
    """Derive from it, fill the attributes, and register an instance.

    name: lower_case, unique.
    target_fields: what a dataset must know for the task to be scored.
    prediction_fields: what a model must return.
    query_help: what Input.query holds, in words; None where nothing is asked.
    score_threshold: detections below it are filtered out before scoring, for every model alike; None: none are.
    max_detections: how many of an image's detections are scored, best first; None: all.
    metrics: what it is scored by; plugins may register more for it. One value of them ranks models.
    contract: the class whose tests a model of this task passes (roibench.contract).
    """

    name: str
    target_fields: tuple[TargetField, ...] = ()
    prediction_fields: tuple[Field, ...] = ()
    query_help: str | None = None
    score_threshold: float | None = None
    max_detections: int | None = None
    metrics: tuple[MetricSpec, ...] = ()
    contract: type | None = None

    def query(self, target: Target) -> object:
        """What a model is asked of an image whose ground truth is known."""
        return None

    def ground_truth(self, target: Target) -> Prediction:
        """What a model would predict that knows the ground truth: to be drawn beside predictions."""
        known = {one.name: value for one in self.prediction_fields if (value := target.get(one.name)) is not None}
        return Prediction.of(known)

    def counts(self, target: Target) -> bool:
        """Whether a target has anything that this task scores."""
        return all(one.has(target) for one in self.target_fields)

    def filter(self, prediction: Prediction) -> Prediction:
        """Detections at or above the score threshold, the best max_detections of them, best first; unchanged where the
        prediction has no scores or the task has no such rule.
        """
        if prediction.scores is None or (self.score_threshold is None and self.max_detections is None):
            return prediction
        order = torch.sort(prediction.scores, descending=True, stable=True).indices
        if self.score_threshold is not None:
            order = order[prediction.scores[order] >= self.score_threshold]
        order = order[: self.max_detections]
        per_object = {*PER_OBJECT, *(one.name for one in self.prediction_fields if one.per_object)}
        return Prediction.of(
            {name: _chosen(value, order) if name in per_object else value for name, value in prediction.known.items()}
        )

    def mistakes(self, prediction: Prediction, target: Target) -> Mistakes | None:
        """What is wrong with each object of a prediction that was filtered; None where the task doesn't tell."""
        return None

    def doubts(self, scored: Scored) -> tuple[str, ...]:
        """What is possible of the predictions, but most likely a mistake: sentences; none is the usual case."""
        found = (field.doubts(scored) for field in self.prediction_fields if field.doubts)
        return tuple(sentence for sentences in found for sentence in sentences)


def ground_truth(tasks: Iterable[Task], target: Target) -> Prediction:
    """What a model would predict that knows the ground truth of all of these tasks."""
    return Prediction.of({name: value for task in tasks for name, value in task.ground_truth(target).known.items()})


def _chosen(value: Any, order: torch.Tensor) -> Any:
    return value[order] if isinstance(value, torch.Tensor) else type(value)(value[i] for i in order.tolist())
