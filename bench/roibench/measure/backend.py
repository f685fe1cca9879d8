"""A model's networks handed to a backend: made ready, compared with torch, and put where predict calls them."""

from collections.abc import Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from time import perf_counter

import torch
from torch import Tensor, nn

from roibench.backend import Backend, BackendError, Network, Run
from roibench.measure.networks import (
    Batches,
    Calls,
    Flat,
    InPlace,
    Place,
    Precision,
    Recorder,
    places_of,
    record,
    with_torchs,
)
from roibench.measure.record import BackendRun, Calibration
from roibench.model import Exportable, Model, Wrapper, listening
from roibench.registry import Registry, UnknownNameError, resolve, unknown
from roibench.specs import TORCH

TOLERANCE = 1e-3  # of an output's largest magnitude: how far exact backends may lie from torch in float32


def open_backend(name: str, registry: Registry) -> Backend | None:
    """None for torch. Raises UnknownNameError, and ValueError where its packages aren't installed."""
    if name == TORCH:
        return None
    if name not in registry.backends:
        raise UnknownNameError(f"--backend {name}: {unknown('backend', name, {TORCH, *registry.backends})}")
    return resolve(registry.backends[name].open)()


def refusal(backend: Backend, model: Model) -> str | None:
    """Why nothing of a model can run in a backend; None where it can be tried."""
    if isinstance(model, Exportable):
        return None
    if backend.needs_networks:
        return "it names no networks (roibench.model.Exportable)"
    if isinstance(model, Wrapper) or not isinstance(model, nn.Module):
        return "it has no networks of its own"
    return None


@dataclass(frozen=True)
class HandedOver:
    """What was done. places: where torch's networks were."""

    record: BackendRun
    places: Sequence[Place]

    def in_torch(self) -> AbstractContextManager[None]:
        """With torch's networks back: what they cost is counted by torch alone."""
        return with_torchs(self.places)


def hand_over(
    model: Model,
    backend: Backend,
    examples: Batches,
    precision: Precision,
    device: torch.device,
    tolerance: float = TOLERANCE,
    calibration: tuple[Batches, Calibration] | None = None,
) -> HandedOver:
    """Lets a backend run the model's networks from now on.

    examples: images of the sizes that there are. calibration: images that are never scored, for a backend that
    calibrates. Raises BackendError where it can't run one, or gives others than torch by more than the tolerance.
    """
    begun = perf_counter()
    images = [list(batch) for batch in examples]
    recorders = record(model, places_of(model), images, precision, strict=isinstance(model, Exportable))
    if not recorders:
        raise BackendError(f"predict calls no submodule of {type(model).__name__} that takes and gives tensors alone")
    batches, calibrated = calibration or ((), None)
    runs: dict[str, Run] = {}
    furthest = 0.0
    for name, recorder in recorders.items():
        given = [tensors for tensors, _ in recorder.calls]
        calls = Calls(model, name, recorder.place, batches, precision)
        runs[name] = backend.take(Network(name, Flat(recorder), given, calls), device)
        difference = _difference(runs[name], recorder, precision)
        if backend.is_exact and not difference <= tolerance:
            raise BackendError(
                f"{name} gives others than in torch: by {difference:.2g} of the largest magnitude, want {tolerance:.2g}"
            )
        furthest = max(furthest, difference)
    in_torch = _watched(model, images, precision)
    for name, recorder in recorders.items():
        vars(recorder.place.owner)[recorder.place.attribute] = InPlace(runs[name], recorder)
    marked = _watched(model, images, precision)
    # A network in a backend is a stage, in place of those that it marked in torch; what wasn't marked at all stays.
    vars(model)["stages"] = (*marked, *(one for one in model.stages if one not in {*marked, *in_torch}))
    backend.settle()
    found = BackendRun(
        version=backend.version,
        networks=tuple(recorders),
        seconds=perf_counter() - begun,
        difference=furthest,
        tolerance=tolerance if backend.is_exact else None,
        calibration=calibrated,
    )
    return HandedOver(found, [recorder.place for recorder in recorders.values()])


def _difference(run: Run, recorder: Recorder, precision: Precision) -> float:
    """The largest between what it gives and what torch gave, as a share of the output's largest magnitude."""
    found = 0.0
    for given, wanted in recorder.calls:
        with recorder.as_called(precision):
            gave = run([one.clone() for one in given])  # clones are made in the same mode as predict's tensors
        if [one.shape for one in gave] != [one.shape for one in wanted]:
            shapes = [[list(one.shape) for one in side] for side in (gave, wanted)]
            raise BackendError(f"{recorder.name} gives shapes {shapes[0]}, in torch {shapes[1]}")
        shares = [_share(one, other) for one, other in zip(gave, wanted, strict=True) if other.numel()]
        found = max([found, *shares])
    return found


def _share(one: Tensor, other: Tensor) -> float:
    one, other = one.double(), other.double()
    same = (one == other) | (one.isnan() & other.isnan())
    off = torch.where(same, 0.0, (one - other).abs()).max()
    largest = torch.where(other.isfinite(), other.abs(), 0.0).max()
    # A NaN or an infinity on one side alone is as far as can be.
    return float(torch.nan_to_num(off / largest.clamp(min=1e-12), nan=torch.inf))


class _Marked:
    """The stages that are marked, in the order in which they begin."""

    def __init__(self) -> None:
        self.names: dict[str, None] = {}

    def enter(self, name: str) -> None:
        self.names[name] = None

    def exit(self, name: str) -> None: ...


def _watched(model: Model, batches: Batches, precision: Precision) -> list[str]:
    marked = _Marked()
    with listening(marked), precision():
        for batch in batches:
            model.predict(batch)
    return list(marked.names)
