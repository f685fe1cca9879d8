"""What can be registered: models, datasets, metrics; and the tasks that tie them together."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any, Protocol

from torch import Tensor

from roibench.structures import Sample, Target


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
    ask finds it for an image whose target is known. primary is the metric value that ranks models, in the unit
    interval, higher is better. score_threshold and max_detections cut every model's list of boxes alike before it is
    scored. shown: the other values that belong into a table; if empty, the first ones that the metrics give. plotted:
    those that have a plot beside the primary one's.
    """

    target_fields: tuple[str, ...]
    prediction_fields: tuple[str, ...]
    primary: str
    query: str | None = None
    ask: Callable[[Target], object] | None = None
    score_threshold: float | None = None
    max_detections: int | None = None
    shown: tuple[str, ...] = ()
    plotted: tuple[str, ...] = ()


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
    Task.CLASSIFICATION: TaskRules(("image_label",), ("class_scores",), "top1"),
    Task.LOCALIZATION: TaskRules(("boxes", "labels", "main"), ("boxes", "class_scores"), "accuracy50"),
    Task.PROPOSALS: TaskRules(("boxes",), ("boxes", "scores"), "recall50", max_detections=1000),
    Task.DETECTION: TaskRules(("boxes", "labels"), ("boxes", "scores", "labels"), "AP", **_BOXES),
    Task.INSTANCE_SEGMENTATION: TaskRules(("masks", "labels"), ("masks", "scores", "labels"), "AP", **_BOXES),
    Task.KEYPOINTS: TaskRules(("keypoints", "boxes"), ("keypoints", "scores"), "AP", **_BOXES),
    Task.SEMANTIC_SEGMENTATION: TaskRules(("semantic_map",), ("semantic_map",), "mIoU"),
    Task.DENSE_CAPTIONING: TaskRules(("boxes", "captions"), ("boxes", "scores", "captions"), "mAP", **_BOXES),
    Task.ATTRIBUTION: TaskRules(
        ("boxes", "labels"),
        ("attribution",),
        "pointing",
        query="the class to explain, an index; None for the highest-scoring one",
        ask=main_class,
        shown=("energy", "insertion", "deletion", "MaxBoxAccV2", "randomization"),
        plotted=("faithfulness",),
    ),
    Task.REPRESENTATION: TaskRules(("image_label",), ("features",), "neighbour_accuracy"),
    Task.GENERATION: TaskRules((), ("generated",), "similarity", query="the latent to decode"),
}


@dataclass(frozen=True)
class DatasetInfo:
    """What a model may know of a dataset before it sees an image.

    name: what it was opened as, e.g. `scenes` or `voc:PATH`. split: which part. classes: names, in label order,
    background not counted. joints: names, in order. vocabulary: words of the captions. image_size: (height, width) in
    pixels where all images share one, else None. fields: the attributes of Target that it fills.
    """

    name: str
    split: str
    classes: tuple[str, ...]
    joints: tuple[str, ...] = ()
    vocabulary: tuple[str, ...] = ()
    image_size: tuple[int, int] | None = None
    fields: frozenset[str] = frozenset()


class Dataset(Protocol):
    """A sequence of samples; `dataset[i]` decodes the i-th image and depends on nothing but i.

    hash: SHA-256 (hex) of everything that the samples depend on: two datasets with one hash hold the same samples.
    unbounded: any i >= 0 is accepted, and the length is that of one epoch (Scenes' train split).
    """

    info: DatasetInfo
    hash: str
    unbounded: bool

    def __len__(self) -> int: ...
    def __getitem__(self, index: int) -> Sample: ...


@dataclass(frozen=True)
class Paper:
    """Where a model comes from, and what was published of it: figures keep their conditions."""

    title: str
    year: int
    url: str
    published: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Recipe:
    """How a gradient-trained model is trained by roibench.train. Epochs count, never the clock.

    epochs: passes over the training split. batch_size: images per step. learning_rate: its peak; linear warm-up over
    warmup_steps, then half a cosine down to zero. optimizer: "sgd" (momentum 0.9) or "adamw". weight_decay: not applied
    to biases and normalisation. clip_norm: largest norm of the gradient, None to leave it. augment: names of functions
    in roibench.nn.augment, applied in order. average: decay of the exponential moving average of the weights that is
    evaluated and saved, None for the weights themselves.
    """

    epochs: int
    batch_size: int
    learning_rate: float
    optimizer: str = "sgd"
    weight_decay: float = 1e-4
    warmup_steps: int = 200
    clip_norm: float | None = 10.0
    augment: tuple[str, ...] = ()
    average: float | None = None
    seed: int = 0


@dataclass(frozen=True)
class ModelSpec:
    """A model as a plugin declares it. Registering one imports no model code.

    name: lower_case, unique.
    family: the plugin folder's name.
    tasks: what its one timed output is scored under.
    build: "module:function", called as build(info, config) -> Model.
    required_targets: fields of Target that training needs.
    optional_targets: those that it also learns from where the dataset has them.
    config: the keyword settings that make this model this model.
    warm_start: the registered model whose weights for the dataset, if it ships some, training begins with, as far as
        names and shapes are the same.
    explains: the registered model that this one wraps (Grad-CAM does). build is then called as build(info, config,
        explained) with that model, an Explainer comes out, and weights are those of the wrapped model.
    weights: dataset name -> file, relative to the plugin's package, that the recipe produced.
    """

    name: str
    family: str
    tasks: tuple[Task, ...]
    build: str
    paper: Paper
    required_targets: tuple[str, ...] = ()
    optional_targets: tuple[str, ...] = ()
    config: Mapping[str, Any] = field(default_factory=dict)
    warm_start: str | None = None
    explains: str | None = None
    recipe: Recipe | None = None
    weights: Mapping[str, str] = field(default_factory=dict)

    @property
    def weights_from(self) -> str:
        """The registered model whose weights this one has."""
        return self.explains or self.name


@dataclass(frozen=True)
class DatasetSpec:
    """A dataset, or a kind of dataset that is opened at a path.

    open: "module:function", called as open(None, split) -> Dataset; where takes_path, as open(path, split,
    on_bad_data="fail", "skip" or "clip").
    eval_split: the split that a model is scored on unless the caller names one (`scenes@train`).
    """

    name: str
    open: str
    fields: tuple[str, ...]
    description: str
    takes_path: bool = False
    eval_split: str = "val"


@dataclass(frozen=True)
class Estimate:
    """A value with its 95 % bootstrap confidence interval over images.

    resampled: what the value was in each resample, NaN where undefined; two models are compared by it.
    """

    value: float
    low: float
    high: float
    resampled: Sequence[float] = field(default=(), repr=False, compare=False)


@dataclass(frozen=True)
class Result:
    """What a metric returns: named values, one number per image where the definition has one, and things to look at.

    No other metric of the task may give a value the same name.
    """

    values: Mapping[str, Estimate]
    per_image: Mapping[str, Tensor] = field(default_factory=dict)
    artefacts: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class MetricSpec:
    """A metric of a task. compute: "module:function", called as compute(predictions, targets, probe=None) -> Result.

    needs_probe: a roibench.model.Probe is passed, for definitions that ask the model again (insertion, parameter
    randomisation); None otherwise.
    """

    name: str
    task: Task
    compute: str
    needs_probe: bool = False
