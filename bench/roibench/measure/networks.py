"""A model's networks: where predict calls them, what it calls them with, and how another callable gets there."""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, ExitStack, contextmanager
from dataclasses import dataclass, field
from typing import Any, NamedTuple, Self

import torch
from torch import Tensor, nn
from torch.utils._pytree import TreeSpec, tree_flatten, tree_unflatten

from roibench.backend import BackendError, Run, Tensors
from roibench.model import Exportable, Model, listening, stage
from roibench.structures import Input

Batches = Iterable[Sequence[Input]]
Precision = Callable[[], AbstractContextManager]


class Place(NamedTuple):
    """Where predict finds a network: it is `attribute` of `owner` that is called."""

    owner: object
    attribute: str

    @classmethod
    def of(cls, model: Model, dotted: str) -> Self:
        """A method, or the `forward` of a submodule, whose hooks are called on. Raises BackendError."""
        owner: object = model
        *path, name = dotted.split(".")
        try:
            for part in path:
                owner = getattr(owner, part)
            found = getattr(owner, name)
        except AttributeError as error:
            raise BackendError(f"networks: {type(model).__name__} has no {dotted!r}") from error
        return cls(found, "forward") if isinstance(found, nn.Module) else cls(owner, name)

    @property
    def call(self) -> Callable[..., Any]:
        return getattr(self.owner, self.attribute)

    @contextmanager
    def holding(self, call: Callable[..., Any] | None) -> Iterator[None]:
        """With another callable there; None: with the class's own. What an instance has itself comes before methods."""
        own = vars(self.owner)
        before = own.pop(self.attribute, None)
        if call is not None:
            own[self.attribute] = call
        try:
            yield
        finally:
            own.pop(self.attribute, None)
            if before is not None:
                own[self.attribute] = before


@dataclass
class Recorder:
    """Stands in a network's place, calls it, and keeps what it was given and gave, by call.

    inference, gradients: torch's modes while it was called.
    fault: why no backend can run it; None: nothing speaks against it.
    """

    name: str
    place: Place
    call: Callable[..., Any]
    inputs: TreeSpec | None = None
    outputs: TreeSpec | None = None
    calls: list[tuple[list[Tensor], list[Tensor]]] = field(default_factory=list)
    inference: bool = False
    gradients: bool = False
    fault: str | None = None

    def __call__(self, *arguments: Any, **named: Any) -> Any:
        self.inference, self.gradients = torch.is_inference_mode_enabled(), torch.is_grad_enabled()
        given, inputs = tree_flatten((arguments, named))
        kept = self._kept(given, "takes")  # before the network can write into them
        result = self.call(*arguments, **named)
        found, outputs = tree_flatten(result)
        self.inputs, self.outputs = self.inputs or inputs, self.outputs or outputs
        if (inputs, outputs) != (self.inputs, self.outputs):
            self.fault = f"{self.name} takes or gives other numbers of tensors for other images"
        self.calls.append((kept, self._kept(found, "gives")))
        return result

    def _kept(self, values: Sequence[object], verb: str) -> list[Tensor]:
        """Copies: of what is made in inference mode nothing can be exported."""
        if others := [type(value).__name__ for value in values if not isinstance(value, Tensor)]:
            self.fault = f"{self.name} {verb} {others[0]}: want tensors alone, in lists, tuples and dicts"
            return []
        with torch.inference_mode(False), torch.no_grad():
            return [value.detach().clone() for value in values]

    @contextmanager
    def as_called(self, precision: Precision) -> Iterator[None]:
        """torch's modes as they were."""
        with torch.inference_mode(self.inference), torch.set_grad_enabled(self.gradients), precision():
            yield


class Flat(nn.Module):
    """A network from tensors to a list of tensors. It holds the weights; it has no stages, and no hooks of its own."""

    def __init__(self, recorder: Recorder) -> None:
        super().__init__()
        self.owner = recorder.place.owner
        self.call, self.structure = recorder.call, recorder.inputs
        self.eval()

    def forward(self, *tensors: Tensor) -> list[Tensor]:
        arguments, named = tree_unflatten(list(tensors), self.structure)
        return tree_flatten(self.call(*arguments, **named))[0]


class InPlace:
    """What a backend made of a network, called as predict calls that one; a stage, by its name."""

    def __init__(self, run: Run, recorder: Recorder) -> None:
        self.run, self.name = run, recorder.name
        self.inputs, self.outputs = recorder.inputs, recorder.outputs
        self.stage = recorder.name.rpartition(".")[2]

    def __call__(self, *arguments: Any, **named: Any) -> Any:
        with stage(self.stage):
            tensors, inputs = tree_flatten((arguments, named))
            if inputs != self.inputs:
                raise BackendError(
                    f"{self.name} takes another number of tensors for this image than for the first ones"
                )
            with listening(None):  # a network that torch itself runs, such as a compiled one, marks stages of its own
                return tree_unflatten(self.run(tensors), self.outputs)


def places_of(model: Model) -> dict[str, Place]:
    """Of the networks that the model names; of one that names none, of its submodules. Raises BackendError."""
    if isinstance(model, Exportable):
        return {name: Place.of(model, name) for name in model.networks}
    return {name: Place(child, "forward") for name, child in model.named_children()}


def record(
    model: Model, places: Mapping[str, Place], batches: Batches, precision: Precision, strict: bool = True
) -> dict[str, Recorder]:
    """What predict calls each network with. Raises BackendError for one that takes or gives anything but tensors, or
    that isn't called; strict=False leaves such ones out.
    """
    recorders = {name: Recorder(name, place, place.call) for name, place in places.items()}
    with ExitStack() as stack:
        for recorder in recorders.values():
            stack.enter_context(recorder.place.holding(recorder))
        stack.enter_context(precision())
        for batch in batches:
            model.predict(batch)
    for name, recorder in list(recorders.items()):
        if not recorder.calls:
            recorder.fault = f"{name} isn't called by predict on the first images"
        if recorder.fault and strict:
            raise BackendError(recorder.fault)
        if recorder.fault:
            del recorders[name]
    return recorders


@dataclass(frozen=True)
class Calls:
    """What predict calls one network with on further images, each time it is asked anew: many don't fit into memory."""

    model: Model
    name: str
    place: Place
    batches: Batches
    precision: Precision

    def __iter__(self) -> Iterator[Tensors]:
        for batch in self.batches:
            found = record(self.model, {self.name: self.place}, [batch], self.precision, strict=False)
            for recorder in found.values():
                yield from (given for given, _ in recorder.calls if all(one.numel() for one in given))


@contextmanager
def with_torchs(places: Iterable[Place]) -> Iterator[None]:
    """With torch's networks in their places, for what torch alone can tell."""
    with ExitStack() as stack:
        for place in places:
            stack.enter_context(place.holding(None))
        yield
