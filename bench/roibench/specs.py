"""What plugins register beside tasks: models, datasets, metrics, claims. Plain data that names code, so that
registering imports none. The registry validates it by these annotations.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Annotated, Any, Self

from pydantic import ConfigDict, Field

Name = Annotated[str, Field(pattern=r"^[a-z][a-z0-9_]*$", description="lower_case letters, digits and underscores")]
CommandName = Annotated[str, Field(pattern=r"^[a-z][a-z0-9-]*$", description="lower-case letters, digits and dashes")]
CodePath = Annotated[str, Field(pattern=r"^[A-Za-z_][\w.]*:[A-Za-z_]\w*$", description='"module:function"')]
ValueName = Annotated[str, Field(pattern=r"^[A-Za-z]\w*$", description="letters, digits and underscores")]
Unit = Annotated[str, Field(description="a unit such as '%', 'ms' or ''")]
Sentence = Annotated[str, Field(pattern=r"\.$", description="a sentence, with its full stop")]
Scheme = Annotated[str, Field(pattern=r"^[a-z][a-z0-9]*$", description="lower-case letters and digits")]
WeightsFile = Annotated[str, Field(pattern=r"\.safetensors$", description="a .safetensors file")]

TORCH = "torch"  # the backend that runs everything, unless another one runs a model's networks

_CHECKED = ConfigDict(strict=True, revalidate_instances="always")


@dataclass(frozen=True)
class Paper:
    """Where a model comes from, and what was published of it: figures keep their conditions."""

    title: str
    year: int
    url: str
    published: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Recipe:
    """How a model is trained by roibench.train. Epochs count, never the clock.

    epochs: passes over the training split, or over what of it the model learns from.
    batch_size: images per step.
    learning_rate: its peak; linear warm-up over warmup_steps, then half a cosine down to zero. None for a model that
        isn't trained by gradients: its own `fit` knows how, and of all this counts epochs and seed alone.
    optimizer: "sgd" (momentum 0.9), "adamw", or "rmsprop", which has no momentum, for adversarial training.
    weight_decay: not applied to biases and normalisation.
    warmup_steps: steps in which the learning rate rises.
    clip_norm: largest norm of the gradient, None to leave it.
    augment: names of functions in roibench.nn.augment, applied in order.
    average: decay of the exponential moving average of the weights that is evaluated and saved, None for the weights
        themselves.
    seed: of everything random.
    """

    __pydantic_config__ = _CHECKED

    epochs: int
    batch_size: int = 1
    learning_rate: float | None = None
    optimizer: str = "sgd"
    weight_decay: float = 1e-4
    warmup_steps: int = 200
    clip_norm: float | None = 10.0
    augment: tuple[str, ...] = ()
    average: float | None = None
    seed: int = 0


@dataclass(frozen=True)
class WarmStart:
    """Whose weights a training begins with, as far as names and shapes are the same.

    model: a registered model.
    dataset: the bare name of the one for which it ships those weights, whatever the new model learns from.
    """

    __pydantic_config__ = _CHECKED

    model: Name
    dataset: Name


@dataclass(frozen=True)
class Knob:
    """What of a model can be set without training it again, so that one model is a curve of accuracy against time.

    name: a key of the model's config, which predict reads and no weight's shape depends on.
    default: what it is unless it is set; None where that is no number: an image's own size.
    low, high: the least and the largest that it may be; whole numbers alone, unless one of these three is a float.
    description: in a few words.
    """

    __pydantic_config__ = _CHECKED

    name: Name
    default: int | float | None
    low: int | float
    high: int | float
    description: str

    def value(self, number: int | float) -> int | float:
        """The number in the knob's type. Raises ValueError, saying what it wants, for one that it can't be."""
        whole = not any(isinstance(one, float) for one in (self.default, self.low, self.high))
        if not self.low <= number <= self.high or (whole and not isinstance(number, int)):
            raise ValueError(f"want a {'whole ' if whole else ''}number from {self.low} to {self.high}")
        return number if whole else float(number)


@dataclass(frozen=True)
class Outside:
    """What a model brings along that no plugin registered by name: it was opened from a source (SourceSpec).

    source: as typed, SCHEME:REST.
    classes: its own names, in the order of its labels, which are mapped to the dataset's; None: it has none, and its
        labels are the dataset's.
    files: what it is made of, weights of any format and what tells how they are used: their hashes are in the record.
    settings: how it is fed and decoded, as far as that was read or guessed: what JSON can hold.
    remarks: what a person must know before they believe the figures, such as what was guessed: sentences.
    random_weights: nobody trained it; its speed is measured, and nothing is scored.
    """

    __pydantic_config__ = _CHECKED

    source: str
    classes: tuple[str, ...] | None = None
    files: tuple[Path, ...] = ()
    settings: Mapping[str, Any] = field(default_factory=dict)
    remarks: tuple[str, ...] = ()
    random_weights: bool = False


@dataclass(frozen=True)
class ModelSpec:
    """A model as a plugin declares it. Registering one imports no model code.

    name: unique among models.
    family: the plugin folder's name.
    tasks: names of the tasks that its one timed output is scored under.
    build: called as build(info, config) -> Model.
    required_targets: fields of Target that training needs.
    optional_targets: those that it also learns from where the dataset has them.
    config: the keyword settings that make this model this model.
    knobs: those of them that `roibench run --set` may choose. A wrapper has those of the model inside, too.
    warm_start: the weights of another model that training begins with; None to begin with what `initialize` gives.
    teacher: a registered model whose shipped weights for the dataset that this one learns from are asked in training
        (Trainer.teacher); None for a model that learns from ground truth alone.
    pretrained_on: what tables name as the data that the model's start has seen, such as "ImageNet": where there is a
        warm start, its dataset unless given.
    paper: where it comes from; None where that isn't known of a model from outside.
    recipe: how it is trained; None for a model that isn't.
    weights: dataset name -> file, relative to the plugin's package, that the recipe produced.
    outside: of a model that was opened from a source; None for one that is registered. Such a model is named as
        reports name it, SCHEME:REST without the machine's folders; its config has `classes`, and what --class-map told.
    wraps: it is a roibench.model.Wrapper, which goes around any other model that has what its class asks for, and is
        named NAME@MODEL: build is called as build(info, config, inner).
    inner: the model inside; only the registry fills it in.
    """

    __pydantic_config__ = _CHECKED

    name: Name
    family: str
    tasks: Annotated[tuple[str, ...], Field(min_length=1, description="names of tasks, at least one")]
    build: CodePath
    paper: Paper | None
    required_targets: tuple[str, ...] = ()
    optional_targets: tuple[str, ...] = ()
    config: Mapping[str, Any] = field(default_factory=dict)
    knobs: tuple[Knob, ...] = ()
    warm_start: WarmStart | None = None
    teacher: Name | None = None
    pretrained_on: str | None = None
    recipe: Recipe | None = None
    weights: Mapping[str, WeightsFile] = field(default_factory=dict)
    outside: Outside | None = None
    wraps: bool = False
    inner: "ModelSpec | None" = None

    @property
    def learns(self) -> "ModelSpec":
        """The model whose weights this one has: itself, or the one that it wraps."""
        return self.inner.learns if self.inner else self

    @property
    def all_knobs(self) -> tuple[Knob, ...]:
        """Its own, then those of the model that it wraps."""
        own = {knob.name for knob in self.knobs}
        return (
            self.knobs + tuple(knob for knob in self.inner.all_knobs if knob.name not in own)
            if self.inner
            else self.knobs
        )

    def tuned(self, knobs: Mapping[str, int | float]) -> Self:
        """The same model with these values of its knobs, by name."""
        own = {knob.name for knob in self.knobs}
        config = {**self.config, **{name: value for name, value in knobs.items() if name in own}}
        inner = self.inner and self.inner.tuned({name: value for name, value in knobs.items() if name not in own})
        return replace(self, config=config, inner=inner)

    @property
    def origin(self) -> str | None:
        """The data that its start has seen; None where it began from scratch."""
        return self.pretrained_on or (self.warm_start.dataset if self.warm_start else None)


@dataclass(frozen=True)
class SourceSpec:
    """Where models come from that aren't registered one by one: `--model SCHEME:REST` is such a model.

    scheme: unique among sources.
    open: called as open(rest) -> ModelSpec, with its `outside`. Raises ValueError or OSError: one line that says what
        would be right.
    description: in a few words.
    example: what a person may type.
    """

    __pydantic_config__ = _CHECKED

    scheme: Scheme
    open: CodePath
    description: str
    example: str

    @property
    def name(self) -> str:
        return self.scheme


@dataclass(frozen=True)
class BackendSpec:
    """What can run a model's networks in torch's place: `roibench run --backend NAME`.

    name: unique among backends; `torch` is the one that all are compared with.
    open: called as open() -> roibench.backend.Backend. Raises ValueError: one line that says what isn't installed.
    description: in a few words.
    """

    __pydantic_config__ = _CHECKED

    name: Name
    open: CodePath
    description: str


@dataclass(frozen=True)
class DatasetSpec:
    """A dataset, or a kind of dataset that is opened at a path.

    name: unique among datasets.
    open: called as open(None, split) -> Dataset; where takes_path, as open(path, split, on_bad_data="fail", "skip" or
        "clip").
    fields: of Target, that it fills.
    description: in a few words.
    takes_path: it is opened at a path, NAME:PATH.
    eval_split: the split that a model is scored on unless the caller names one (`scenes@train`).
    """

    __pydantic_config__ = _CHECKED

    name: Name
    open: CodePath
    fields: tuple[str, ...]
    description: str
    takes_path: bool = False
    eval_split: str = "val"


@dataclass(frozen=True)
class Point:
    """Where a value lies on a curve that several values make, such as recall against the number of proposals.

    curve: its name. at: where on it. along: what `at` counts, in words.
    """

    curve: str
    at: float
    along: str


@dataclass(frozen=True)
class Value:
    """A number that a metric gives, and how it is read.

    name: unique within the metric.
    unit: "%" for a fraction, which is shown in per cent; of any other (ms, px, or "" for none) the number as it is.
    higher_is_better: its direction.
    ranks: models are ranked by it; one value of a task is.
    shown: tables have it beside that one.
    plotted: it has a plot against speed of its own.
    point: it is one of a curve, which is drawn.
    """

    __pydantic_config__ = _CHECKED

    name: ValueName
    unit: Unit = "%"
    higher_is_better: bool = True
    ranks: bool = False
    shown: bool = False
    plotted: bool = False
    point: Point | None = None


@dataclass(frozen=True)
class MetricSpec:
    """A metric of a task.

    name: unique among metrics.
    task: whose predictions it scores.
    compute: called as compute(predictions, targets, probe=None) -> Result.
    values: all that compute may give; one that the data leave undefined, it leaves out.
    needs_probe: a roibench.model.Probe is passed, for definitions that ask the model again (insertion, parameter
        randomisation); None otherwise.
    """

    __pydantic_config__ = _CHECKED

    name: Name
    task: str
    compute: CodePath
    values: Annotated[tuple[Value, ...], Field(min_length=1, description="a tuple of Value, at least one")]
    needs_probe: bool = False


@dataclass(frozen=True)
class CommandSpec:
    """A command of the `roibench` command line.

    name: what is typed, unique among commands; one that the command line has already comes first.
    run: a function whose parameters typer turns into arguments and options.
    help: a sentence.
    """

    __pydantic_config__ = _CHECKED

    name: CommandName
    run: CodePath
    help: Sentence


@dataclass(frozen=True)
class ClaimSpec:
    """Something that is said of models, and that records decide.

    name: unique among claims.
    statement: a sentence, in words that need no code to be read.
    judge: called as judge(records) -> roibench.claim.Verdict, with the records of all cells that ran.
    """

    __pydantic_config__ = _CHECKED

    name: Name
    statement: Sentence
    judge: CodePath
