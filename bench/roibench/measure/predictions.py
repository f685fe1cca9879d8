"""Predictions on disk: what was timed and scored, kept for paired comparisons and galleries."""

import json
from collections.abc import Sequence
from dataclasses import fields
from io import BytesIO
from pathlib import Path

import numpy as np
import torch

from roibench.files import write_atomically
from roibench.structures import Prediction
from roibench.task import TaskRules

_TENSORS = tuple(field.name for field in fields(Prediction) if field.name != "captions")


def cut(prediction: Prediction, rules: TaskRules) -> Prediction:
    """The task's cut, the same for every model: boxes at or above the score threshold, the best max_detections.

    Returns the prediction unchanged where it has no scores or the task has no cut.
    """
    if prediction.scores is None or (rules.score_threshold is None and rules.max_detections is None):
        return prediction
    order = torch.sort(prediction.scores, descending=True, stable=True).indices
    if rules.score_threshold is not None:
        order = order[prediction.scores[order] >= rules.score_threshold]
    order = order[: rules.max_detections]
    per_box = ("boxes", "scores", "labels", "masks", "keypoints")
    changes = {name: value[order] for name in per_box if (value := getattr(prediction, name)) is not None}
    if prediction.captions is not None:
        changes["captions"] = tuple(prediction.captions[i] for i in order.tolist())
    rest = {field.name: getattr(prediction, field.name) for field in fields(prediction) if field.name not in changes}
    return Prediction(**changes, **rest)


def same_predictions(some: Sequence[Prediction], others: Sequence[Prediction]) -> bool:
    """Whether they are as many, and equal to the last bit."""
    return len(some) == len(others) and all(map(_same, some, others))


def save_predictions(path: Path, ids: Sequence[str], predictions: Sequence[Prediction]) -> None:
    """Writes one .npz: `ids`; per field that any prediction fills, FIELD (all values, flat) and FIELD_shapes (int64
    [n, dims], -1 where a prediction lacks it); captions as JSON.
    """
    arrays: dict[str, np.ndarray] = {"ids": np.array(ids)}
    for name in _TENSORS:
        values = [getattr(one, name) for one in predictions]
        known = [value for value in values if value is not None]
        if not known:
            continue
        absent = [-1] * known[0].dim()
        arrays[name] = torch.cat([value.reshape(-1) for value in known]).numpy()
        arrays[f"{name}_shapes"] = np.array([absent if v is None else list(v.shape) for v in values], dtype=np.int64)
    if any(one.captions is not None for one in predictions):
        arrays["captions"] = np.array(json.dumps([one.captions for one in predictions]))
    buffer = BytesIO()
    np.savez_compressed(buffer, **arrays)
    write_atomically(path, buffer.getvalue())


def load_predictions(path: Path) -> tuple[list[str], list[Prediction]]:
    """What save_predictions wrote: ids and predictions, in order."""
    with np.load(path) as file:
        arrays = {name: file[name] for name in file.files}
    ids = arrays["ids"].tolist()
    columns: dict[str, list] = {}
    for name in _TENSORS:
        if name in arrays:
            columns[name] = _split(torch.from_numpy(arrays[name]), arrays[f"{name}_shapes"])
    if "captions" in arrays:
        captions = json.loads(str(arrays["captions"]))
        columns["captions"] = [None if one is None else tuple(one) for one in captions]
    return ids, [Prediction(**{name: column[i] for name, column in columns.items()}) for i in range(len(ids))]


def _same(one: Prediction, other: Prediction) -> bool:
    pairs = [(getattr(one, field.name, None), getattr(other, field.name, None)) for field in fields(Prediction)]
    return all(type(a) is type(b) and (torch.equal(a, b) if isinstance(a, torch.Tensor) else a == b) for a, b in pairs)


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
