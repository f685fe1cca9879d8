"""Predictions on disk: what was timed and scored, kept for paired comparisons and galleries."""

import json
from collections.abc import Sequence
from io import BytesIO
from pathlib import Path

import numpy as np
import torch

from roibench.files import write_atomically
from roibench.structures import Prediction

_SHAPES = "_shapes"


def same_predictions(some: Sequence[Prediction], others: Sequence[Prediction]) -> bool:
    """Whether they are as many, and equal to the last bit."""
    return len(some) == len(others) and all(map(_same, some, others))


def save_predictions(path: Path, ids: Sequence[str], predictions: Sequence[Prediction]) -> None:
    """Writes one .npz: `ids`; per field of tensors that any prediction fills, FIELD (all values, flat) and FIELD_shapes
    (int64 [n, dims], -1 where a prediction lacks it); any other field as JSON.
    """
    arrays: dict[str, np.ndarray] = {"ids": np.array(ids)}
    known = [one.known for one in predictions]
    for name in dict.fromkeys(name for one in known for name in one):
        values = [one.get(name) for one in known]
        first = next(value for value in values if value is not None)
        if not isinstance(first, torch.Tensor):
            arrays[name] = np.array(json.dumps(values))
            continue
        absent = [-1] * first.dim()
        arrays[name] = torch.cat([value.reshape(-1) for value in values if value is not None]).numpy()
        arrays[f"{name}{_SHAPES}"] = np.array([absent if v is None else list(v.shape) for v in values], dtype=np.int64)
    buffer = BytesIO()
    np.savez_compressed(buffer, **arrays)
    write_atomically(path, buffer.getvalue())


def load_predictions(path: Path) -> tuple[list[str], list[Prediction]]:
    """What save_predictions wrote: ids and predictions, in order."""
    with np.load(path) as file:
        arrays = {name: file[name] for name in file.files}
    ids = arrays.pop("ids").tolist()
    columns: dict[str, list] = {}
    for name in [name for name in arrays if not name.endswith(_SHAPES)]:
        if (shapes := arrays.get(f"{name}{_SHAPES}")) is not None:
            columns[name] = _split(torch.from_numpy(arrays[name]), shapes)
        else:
            values = json.loads(str(arrays[name]))
            columns[name] = [tuple(value) if isinstance(value, list) else value for value in values]
    return ids, [Prediction.of({name: column[i] for name, column in columns.items()}) for i in range(len(ids))]


def _same(one: Prediction, other: Prediction) -> bool:
    if not (isinstance(one, Prediction) and isinstance(other, Prediction)) or one.known.keys() != other.known.keys():
        return False
    pairs = [(value, other.get(name)) for name, value in one.known.items()]
    return all(type(a) is type(b) and (_equal(a, b) if isinstance(a, torch.Tensor) else a == b) for a, b in pairs)


def _equal(one: torch.Tensor, other: torch.Tensor) -> bool:
    """Whether all values are the same, NaN where NaN is."""
    if one.shape != other.shape or one.dtype != other.dtype:
        return False
    return torch.equal(one, other) or bool(((one == other) | ((one != one) & (other != other))).all())


def _split(flat: torch.Tensor, shapes: np.ndarray) -> list[torch.Tensor | None]:
    values: list[torch.Tensor | None] = []
    start = 0
    for shape in shapes.tolist():
        if shape and shape[0] < 0:
            values.append(None)
            continue
        size = int(np.prod(shape, dtype=np.int64))
        values.append(flat[start : start + size].reshape(shape))
        start += size
    return values
