"""What a task is: the fields that it reads and scores, and the rules that are the same for every model."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from enum import StrEnum

from roibench.structures import Target


class Task(StrEnum):
    CLASSIFICATION = "classification"
    LOCALIZATION = "localization"
    PROPOSALS = "proposals"
    DETECTION = "detection"
    INSTANCE_SEGMENTATION = "instance_segmentation"
    KEYPOINTS = "keypoints"
    SEMANTIC_SEGMENTATION = "semantic_segmentation"
    DENSE_CAPTIONING = "dense_captioning"
    ATTRIBUTION = "attribution"
    REPRESENTATION = "representation"
    GENERATION = "generation"


@dataclass(frozen=True)
class TaskRules:
    """What a task needs of its data and of its models, the same for everyone.

    target_fields and prediction_fields name attributes of Target and Prediction. query says what Input.query holds, and
    ask finds it for an image whose target is known. score_threshold and max_detections cut every model's list of boxes
    alike before it is scored.
    """

    target_fields: tuple[str, ...]
    prediction_fields: tuple[str, ...]
    query: str | None = None
    ask: Callable[[Target], object] | None = None
    score_threshold: float | None = None
    max_detections: int | None = None


def main_class(target: Target) -> int | None:
    """The class that an image is about: its own label, or that of its main object, or of its largest one; None if it is
    about nothing. A crowd or an ignored object is never the largest.
    """
    if target.image_label is not None:
        return target.image_label
    if target.labels is None or not len(target.labels):
        return None
    if target.main is not None:
        return int(target.labels[target.main])
    areas = (target.boxes[:, 2:] - target.boxes[:, :2]).prod(1) if target.areas is None else target.areas
    for passed_over in (target.crowd, target.ignored):
        if passed_over is not None:
            areas = areas.masked_fill(passed_over, -1.0)
    return int(target.labels[areas.argmax()]) if areas.max() >= 0 else None


_BOXES = {"score_threshold": 0.05, "max_detections": 100}
RULES: Mapping[Task, TaskRules] = {
    Task.CLASSIFICATION: TaskRules(("image_label",), ("class_scores",)),
    Task.LOCALIZATION: TaskRules(("boxes", "labels", "main"), ("boxes", "class_scores")),
    Task.PROPOSALS: TaskRules(("boxes",), ("boxes", "scores"), max_detections=1000),
    Task.DETECTION: TaskRules(("boxes", "labels"), ("boxes", "scores", "labels"), **_BOXES),
    Task.INSTANCE_SEGMENTATION: TaskRules(("masks", "labels"), ("masks", "scores", "labels"), **_BOXES),
    Task.KEYPOINTS: TaskRules(("keypoints", "boxes"), ("keypoints", "scores"), **_BOXES),
    Task.SEMANTIC_SEGMENTATION: TaskRules(("semantic_map",), ("semantic_map",)),
    Task.DENSE_CAPTIONING: TaskRules(("boxes", "captions"), ("boxes", "scores", "captions"), **_BOXES),
    Task.ATTRIBUTION: TaskRules(
        ("boxes", "labels"),
        ("attribution",),
        query="the class to explain, an index; None for the highest-scoring one",
        ask=main_class,
    ),
    Task.REPRESENTATION: TaskRules(("image_label",), ("features",)),
    Task.GENERATION: TaskRules((), ("generated",), query="the latent to decode"),
}
