"""A model's file in a runtime: ONNX Runtime or OpenVINO. Arrays in, arrays by name out."""

import ast
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple, Protocol

import numpy as np
import torch
from numpy.typing import NDArray

from roibench.sources import need

METADATA = ("names", "imgsz")  # what is read of what ultralytics' exporter leaves


class Port(NamedTuple):
    """An input or output of a graph. shape: None where a side isn't fixed. dtype: as numpy calls it."""

    name: str
    shape: tuple[int | None, ...]
    dtype: str


class Session(Protocol):
    """A loaded file. metadata: what its exporter left in it."""

    inputs: tuple[Port, ...]
    outputs: tuple[Port, ...]
    metadata: Mapping[str, str]

    def run(self, feeds: Mapping[str, NDArray[Any]]) -> dict[str, NDArray[Any]]: ...


def open_session(file: Path, runtime: str, device: torch.device) -> Session:
    """With torch's number of threads. Raises ValueError: one line that names the file."""
    if not file.is_file():
        raise ValueError(f"no file {file}: want a model's file")
    need(runtime, file.name)
    kind = OnnxRuntimeSession if runtime == "onnxruntime" else OpenVinoSession
    try:
        return kind(file, device)
    except ValueError:
        raise
    except Exception as error:  # each runtime has errors of its own
        raise ValueError(f"{file.name}: {runtime} can't load it: {' '.join(str(error).split())[:300]}") from error


class OnnxRuntimeSession:
    def __init__(self, file: Path, device: torch.device) -> None:
        import onnxruntime

        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = torch.get_num_threads()
        options.inter_op_num_threads = 1
        options.log_severity_level = 3
        providers: list[Any] = ["CPUExecutionProvider"]
        if device.type == "cuda":
            available = onnxruntime.get_available_providers()
            if "CUDAExecutionProvider" not in available:
                raise ValueError(
                    f"{file.name}: this onnxruntime has {', '.join(available)}: on a GPU want onnxruntime-gpu"
                )
            providers.insert(0, ("CUDAExecutionProvider", {"device_id": device.index or 0}))
        self._session = onnxruntime.InferenceSession(str(file), options, providers=providers)
        if device.type == "cuda" and "CUDAExecutionProvider" not in self._session.get_providers():
            raise ValueError(f"{file.name}: onnxruntime has fallen back from CUDA to the CPU: its libraries don't load")
        self.inputs = tuple(map(_onnx_port, self._session.get_inputs()))
        self.outputs = tuple(map(_onnx_port, self._session.get_outputs()))
        self.metadata = dict(self._session.get_modelmeta().custom_metadata_map)

    def run(self, feeds: Mapping[str, NDArray[Any]]) -> dict[str, NDArray[Any]]:
        names = [port.name for port in self.outputs]
        return dict(zip(names, self._session.run(names, dict(feeds)), strict=True))


def _onnx_port(found: Any) -> Port:
    kind = found.type.removeprefix("tensor(").removesuffix(")")
    names = {"float": "float32", "double": "float64"}
    shape = tuple(side if isinstance(side, int) and side > 0 else None for side in found.shape)
    return Port(found.name, shape, names.get(kind, kind))


class OpenVinoSession:
    def __init__(self, file: Path, device: torch.device) -> None:
        import openvino

        if device.type != "cpu":
            raise ValueError(f"{file.name}: OpenVINO runs on the CPU here, not on {device}: want --device cpu")
        core = openvino.Core()
        graph = core.read_model(file)
        threads = {"INFERENCE_NUM_THREADS": torch.get_num_threads(), "PERFORMANCE_HINT": "LATENCY", "NUM_STREAMS": 1}
        # As the file says: by itself OpenVINO computes in bfloat16 where a processor has it.
        self._compiled = core.compile_model(graph, "CPU", threads | {"INFERENCE_PRECISION_HINT": "f32"})
        self._request = self._compiled.create_infer_request()
        self.inputs = tuple(_openvino_port(port, index) for index, port in enumerate(self._compiled.inputs))
        self.outputs = tuple(_openvino_port(port, index) for index, port in enumerate(self._compiled.outputs))
        kept = {key: ["framework", key] for key in METADATA}
        self.metadata = {
            key: graph.get_rt_info(path).astype(str) for key, path in kept.items() if graph.has_rt_info(path)
        }

    def run(self, feeds: Mapping[str, NDArray[Any]]) -> dict[str, NDArray[Any]]:
        self._request.infer(dict(feeds))
        # Copies: the request's own memory is written again by the next call.
        found = [self._request.get_output_tensor(index).data.copy() for index in range(len(self.outputs))]
        return dict(zip((port.name for port in self.outputs), found, strict=True))


def _openvino_port(port: Any, index: int) -> Port:
    names = sorted(port.get_names())
    shape = tuple(side.get_length() if side.is_static else None for side in port.get_partial_shape())
    return Port(names[0] if names else str(index), shape, np.dtype(port.get_element_type().to_dtype()).name)


def metadata_classes(session: Session) -> tuple[str, ...] | None:
    """Names that ultralytics' exports hold: a dict by index, as Python writes it."""
    try:
        names = ast.literal_eval(session.metadata["names"])
        return tuple(str(names[key]) for key in sorted(names)) if isinstance(names, dict) else tuple(map(str, names))
    except (KeyError, ValueError, SyntaxError, TypeError):
        return None
