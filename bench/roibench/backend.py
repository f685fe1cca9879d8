"""What the harness asks of a backend: it runs a model's networks in torch's place."""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Protocol

import torch
from torch import Tensor, nn

Tensors = Sequence[Tensor]
Run = Callable[[Tensors], Tensors]


class BackendError(ValueError):
    """A backend can't run a network; one line that says why."""


@dataclass(frozen=True)
class Network:
    """A part of a model, made flat: tensors in, tensors out, each in one order.

    name: as the model's `networks` has it.
    module: in eval mode; called as module(*tensors), it returns a list of tensors.
    examples: what predict has called it with, at least once; sizes that differ between images differ here, too.
    calibration: what predict calls it with on images that are never scored, one call after the other, each time it is
        iterated anew; empty unless the backend calibrates.
    """

    name: str
    module: nn.Module
    examples: Sequence[Tensors]
    calibration: Iterable[Tensors] = ()


class Backend(Protocol):
    """One is opened for each cell, in the process that measures it.

    version: what runs, such as `onnxruntime 1.32.0`.
    needs_networks: a model must name its networks (roibench.model.Exportable); else its own submodules are tried.
    calibrates: `Network.calibration` is filled.
    is_exact: its outputs are to be torch's, and are compared with them before anything is timed.
    """

    version: str
    needs_networks: bool
    calibrates: bool
    is_exact: bool

    def refusal(self, device: torch.device, precision: str) -> str | None:
        """Why it can't run there, after `it`: `runs on the CPU alone`; None where it can."""

    def take(self, network: Network, device: torch.device) -> Run:
        """Makes a network ready, with torch's number of threads. Raises BackendError."""

    def settle(self) -> None:
        """predict has run, with its networks taken, on all that was recorded: from now on it is timed."""
