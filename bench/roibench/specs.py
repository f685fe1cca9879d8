"""What plugins register: models, datasets, metrics. Plain data that names code, so that registering imports none."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any


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
    tasks: tuple[str, ...]
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
class Value:
    """A number that a metric gives, and how it is read.

    unit: "%" for a fraction, which is shown in per cent; of any other (ms, px, or "" for none) the number as it is.
    ranks: models are ranked by it; one value of a task is. shown: tables have it beside that one. plotted: it has a
    plot against speed of its own.
    """

    name: str
    unit: str = "%"
    higher_is_better: bool = True
    ranks: bool = False
    shown: bool = False
    plotted: bool = False


@dataclass(frozen=True)
class MetricSpec:
    """A metric of a task. compute: "module:function", called as compute(predictions, targets, probe=None) -> Result.

    values: all that compute may give; one that the data leave undefined, it leaves out.
    needs_probe: a roibench.model.Probe is passed, for definitions that ask the model again (insertion, parameter
    randomisation); None otherwise.
    """

    name: str
    task: str
    compute: str
    values: tuple[Value, ...]
    needs_probe: bool = False
