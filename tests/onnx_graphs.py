"""ONNX files as exporters write them: graphs whose outputs are known, whatever the image."""

from collections.abc import Mapping
from pathlib import Path

import numpy as np
import pytest

onnx = pytest.importorskip("onnx", reason="onnx isn't installed: it writes the files that these tests read")
pytest.importorskip("onnxruntime", reason="the extra [onnx] isn't installed")

from onnx import TensorProto, helper, numpy_helper  # noqa: E402

FLOAT = TensorProto.FLOAT


def constant_graph(
    file: Path,
    outputs: Mapping[str, np.ndarray],
    size: tuple[int | str, int | str] = (64, 96),
    metadata: Mapping[str, str] | None = None,
    channels: int = 3,
) -> Path:
    """Takes images [1, 3, H, W], and gives the outputs whatever they show."""
    nodes, values = [], []
    for name, array in outputs.items():
        kept = helper.make_node("Constant", [], [name], value=numpy_helper.from_array(array, name))
        nodes.append(kept)
        values.append(helper.make_tensor_value_info(name, helper.np_dtype_to_tensor_dtype(array.dtype), array.shape))
    return _save(file, nodes, values, ("images", [1, channels, *size]), metadata)


def mean_graph(file: Path, size: tuple[int, int] = (8, 8)) -> Path:
    """Takes images [B, 3, H, W], and gives each channel's mean: a classifier of three classes."""
    nodes = [helper.make_node("ReduceMean", ["images", "axes"], ["means"], keepdims=0)]
    axes = numpy_helper.from_array(np.array([2, 3]), "axes")
    values = [helper.make_tensor_value_info("means", FLOAT, ["batch", 3])]
    return _save(file, nodes, values, ("images", ["batch", 3, *size]), None, [axes])


def _save(file, nodes, values, given, metadata, initializers=()) -> Path:
    images = helper.make_tensor_value_info(given[0], FLOAT, given[1])
    graph = helper.make_graph(nodes, "graph", [images], values, list(initializers))
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=10)
    helper.set_model_props(model, dict(metadata or {}))
    onnx.save(model, file)
    return file
