"""ONNX Runtime and OpenVINO: both run the ONNX file that torch's exporter writes."""

import tempfile
from pathlib import Path

import torch

from roibench.backend import BackendError, Network, Run
from roibench.backends.onnx_export import OLDEST_TORCH, export, need_exporter, runner
from roibench.outside.onnx_file import open_session
from roibench.sources import need


class Runtime:
    """What runs ONNX files on the CPU, as roibench.outside opens them. runtime: its package."""

    needs_networks = True
    calibrates = False
    is_exact = True

    def __init__(self, runtime: str, backend: str) -> None:
        what = f"backend {backend}"
        need_exporter(what)
        self.runtime, self.version = runtime, f"{runtime} {need(runtime, what)}"

    def refusal(self, device: torch.device, precision: str) -> str | None:
        if torch.__version__ < OLDEST_TORCH:
            return f"needs torch {OLDEST_TORCH} or later to export, not {torch.__version__}"
        if device.type != "cpu":
            return f"runs on the CPU, not on {device}"
        return None if precision == "float32" else f"computes in float32, not in {precision}"

    def take(self, network: Network, device: torch.device) -> Run:
        with tempfile.TemporaryDirectory() as folder:
            file = self.exported(network, Path(folder))
            try:
                return runner(open_session(file, self.runtime, device), network)
            except ValueError as error:
                raise BackendError(f"{network.name}: {error}") from error

    def exported(self, network: Network, folder: Path) -> Path:
        """The file that is run."""
        file = folder / f"{network.name}.onnx"
        export(network, file)
        return file

    def settle(self) -> None:
        """Nothing is made ready later."""


def open_onnx() -> Runtime:
    return Runtime("onnxruntime", "onnx")


def open_openvino() -> Runtime:
    return Runtime("openvino", "openvino")
