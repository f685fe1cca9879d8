"""What the harness asks of a model, and a base class that gives nn.Modules most of it."""

from collections.abc import Mapping, Sequence
from contextvars import ContextVar
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Generic, Protocol, Self, runtime_checkable

import torch
from torch import Tensor, nn

from roibench.dataset import Dataset
from roibench.specs import Recipe
from roibench.structures import Input, Prediction, Target


class Trainer(Protocol):
    """What `fit` is handed: roibench.train.Trainer, whose own `fit` is the common loop.

    recipe: what was declared, with what the caller chose in its place.
    folder: where what is kept of the training goes.
    device: where to compute.
    teacher: the model that ModelSpec.teacher names, trained and on the device; None where it names none.
    """

    recipe: Recipe
    folder: Path
    device: torch.device
    teacher: "Model | None"

    def fit(self, model: "TrainableModel", data: Dataset) -> None: ...


@runtime_checkable
class Model(Protocol):
    """Anything that predicts. Classical models implement this alone; networks derive from TrainableModel.

    stages: names of the parts of predict, in order; predict marks each with `with stage(name)`.
    predict: decoded uint8 images on the host in, final predictions on the host out, one per input, in order. Everything
    between is timed: resizing, normalisation, transfer, suppression.
    fit: learns from a training split.
    state_dict, load_state_dict: all that was learned, as tensors.
    """

    stages: tuple[str, ...]

    def predict(self, inputs: Sequence[Input]) -> list[Prediction]: ...
    def fit(self, data: Dataset, trainer: Trainer) -> None: ...
    def state_dict(self) -> dict[str, Tensor]: ...
    def load_state_dict(self, state: Mapping[str, Tensor]) -> object: ...


@runtime_checkable
class HasArtefacts(Protocol):
    """A model that has more to show than its predictions.

    artefacts: of a few inputs, what there is to look at, by name: uint8 tensors [3, H, W] are pictures; other tensors,
        and what JSON can hold, are kept as they are. Called once per cell, outside the timed span.
    """

    def artefacts(self, inputs: Sequence[Input]) -> Mapping[str, Any]: ...


@runtime_checkable
class Exportable(Protocol):
    """A model whose networks another backend may run in torch's place.

    networks: names of its methods and submodules, such as `network` or `network.roi_heads.box_head`. predict calls each
        by that name, with tensors, alone or in lists, tuples and dicts, and gets such back; the rest of predict is
        Python's in every backend. Neither contains the other.
    """

    networks: tuple[str, ...]


@runtime_checkable
class Placeable(Protocol):
    """A model that knows itself how it gets to a device, because torch doesn't run it, or not all of it.

    place: called once, before anything is predicted. Raises ValueError where it can't run there.
    """

    def place(self, device: torch.device) -> None: ...


class TrainableModel(nn.Module):
    """An nn.Module that the common loop can train: it adds `losses`, and gets `fit` for it.

    renamed_parameters: former prefix -> present one, of parts that were renamed: weights from before still load.
    """

    stages: tuple[str, ...] = ()
    renamed_parameters: Mapping[str, str] = {}

    @property
    def device(self) -> torch.device:
        """Where the parameters are; predict moves its inputs there."""
        return next(self.parameters()).device

    def initialize(self) -> None:
        """Called once before training from scratch: fills in pretrained weights, where the model starts from some."""

    def predict(self, inputs: Sequence[Input]) -> list[Prediction]:
        raise NotImplementedError(f"{type(self).__name__} must implement predict(inputs)")

    def losses(self, inputs: Sequence[Input], targets: Sequence[Target]) -> dict[str, Tensor]:
        """Scalar losses by name; their sum is minimised."""
        raise NotImplementedError(f"{type(self).__name__} must implement losses(inputs, targets) or its own fit")

    def fit(self, data: Dataset, trainer: Trainer) -> None:
        trainer.fit(self, data)


class Wrapper(nn.Module):
    """A model around another one, `inner`, whose weights are its own: it has learned nothing beside them.

    asks: a protocol, what `inner` must have beside a Model; object: nothing. Raises TypeError, saying what it lacks.
    """

    stages: tuple[str, ...] = ()
    asks: type = object

    def __init__(self, inner: Model) -> None:
        super().__init__()
        # Not isinstance: from Python 3.12 on it doesn't see attributes that nn.Module looks up, such as submodules.
        if lacking := [name for name in _members(self.asks) if not hasattr(inner, name)]:
            want = f"{type(self).__name__} goes around a model that is {self.asks.__name__}"
            raise TypeError(f"{want}; {type(inner).__name__} lacks {lacking}")
        self.inner = inner

    def predict(self, inputs: Sequence[Input]) -> list[Prediction]:
        raise NotImplementedError(f"{type(self).__name__} must implement predict(inputs)")

    def fit(self, data: Dataset, trainer: Trainer) -> None:
        raise TypeError(f"{type(self).__name__} learns nothing; train the {type(self.inner).__name__} inside")

    def state_dict(self, *args: Any, **kwargs: Any) -> dict[str, Tensor]:
        return self.inner.state_dict(*args, **kwargs)

    def load_state_dict(self, state: Mapping[str, Tensor], *args: Any, **kwargs: Any) -> object:
        return self.inner.load_state_dict(state, *args, **kwargs)


def _members(protocol: type) -> list[str]:
    """The attributes and methods that a protocol, and what it extends, asks for."""
    bases = [base for base in protocol.__mro__ if base not in (object, Generic, Protocol)]
    names = dict.fromkeys(name for base in bases for name in (*base.__annotations__, *vars(base)))
    return [name for name in names if not name.startswith("_")]


@dataclass(frozen=True)
class Probe:
    """The model that was scored and the inputs that it was given, in order: to be asked again, untimed.

    An input is decoded when it is looked up. Whoever changes the model changes a copy of it.
    """

    model: Model
    inputs: Sequence[Input]


class StageListener(Protocol):
    """Is told when a marked part of predict begins and ends."""

    def enter(self, name: str) -> None: ...
    def exit(self, name: str) -> None: ...


_listener: ContextVar[StageListener | None] = ContextVar("roibench_stage_listener", default=None)


class stage:  # noqa: N801 - reads as a statement: `with stage("backbone"): ...`
    """Marks a part of predict. Without a listener it costs one look-up (well under a microsecond)."""

    __slots__ = ("_told", "name")

    def __init__(self, name: str) -> None:
        self.name = name

    def __enter__(self) -> Self:
        self._told = _listener.get()
        if self._told is not None:
            self._told.enter(self.name)
        return self

    def __exit__(self, *_: object) -> None:
        if self._told is not None:
            self._told.exit(self.name)


class listening:  # noqa: N801 - as stage
    """Sends the stages marked inside the block to a listener; to nobody if None: those of a model that another one asks
    within a stage of its own.
    """

    __slots__ = ("_token", "listener")

    def __init__(self, listener: StageListener | None) -> None:
        self.listener = listener

    def __enter__(self) -> StageListener | None:
        self._token = _listener.set(self.listener)
        return self.listener

    def __exit__(self, *_: object) -> None:
        _listener.reset(self._token)
