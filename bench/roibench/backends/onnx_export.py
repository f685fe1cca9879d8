"""A network as an ONNX file, by torch's own exporter; and what a runtime makes of it."""

import logging
import warnings
from pathlib import Path

import torch
from torch import Tensor

from roibench.backend import BackendError, Network, Run, Tensors
from roibench.outside.onnx_file import Session
from roibench.sources import need

# The exporter of 2.9 can't take networks of any number of tensors; none between was tried.
OLDEST_TORCH = "2.14"


def need_exporter(what: str) -> None:
    """Raises MissingExtraError where a package that exports isn't installed. what: needs it."""
    for package in ("onnx", "onnxscript"):
        need(package, what)


def export(network: Network, file: Path) -> None:
    """Any size that the network itself takes, but those of 1: a batch of one image stays one.

    Raises BackendError.
    """
    example = max(network.examples, key=lambda tensors: sum(tensor.numel() for tensor in tensors))
    if any(not tensor.numel() for tensor in example):
        raise BackendError(f"{network.name} is given nothing on the first images: there is nothing to export it with")
    auto = torch.export.Dim.AUTO
    sizes = tuple({axis: auto for axis, size in enumerate(tensor.shape) if size > 1} for tensor in example)
    with torch.no_grad(), warnings.catch_warnings(), _Quiet():
        warnings.simplefilter("ignore")
        outputs = len(network.module(*example))
        try:
            torch.onnx.export(
                network.module,
                tuple(example),
                file,
                dynamo=True,
                dynamic_shapes=(sizes,),
                input_names=[f"input{index}" for index in range(len(example))],
                output_names=[f"output{index}" for index in range(outputs)],
                external_data=False,
                verbose=False,
            )
        except Exception as error:  # the exporter's own, and those of all that it calls
            raise BackendError(f"{network.name} can't be exported to ONNX: {_reason(error)}") from error


class _Quiet:
    """Without what the exporter logs of operators that it doesn't need."""

    def __enter__(self) -> None:
        self._logger = logging.getLogger("torch.onnx")
        self._level = self._logger.level
        self._logger.setLevel(logging.CRITICAL)

    def __exit__(self, *_: object) -> None:
        self._logger.setLevel(self._level)


def _reason(error: BaseException) -> str:
    """The exporter wraps what went wrong several times, in pages of advice: the first cause, in a line."""
    while (cause := error.__cause__ or error.__context__) is not None:
        error = cause
    line = next((line.strip() for line in str(error).splitlines() if line.strip()), type(error).__name__)
    return f"{type(error).__name__}: {line}"[:300]


def runner(session: Session, network: Network) -> Run:
    """The session in the network's place. Raises BackendError where it takes other inputs than the network."""
    names = [port.name for port in session.inputs]
    if len(names) != len(network.examples[0]):
        raise BackendError(f"{network.name} takes {len(network.examples[0])} tensors, its ONNX graph {len(names)}")

    def run(tensors: Tensors) -> list[Tensor]:
        arrays = (tensor.contiguous().numpy() for tensor in tensors)
        found = session.run(dict(zip(names, arrays, strict=True)))
        return [torch.from_numpy(array) for array in found.values()]

    return run
