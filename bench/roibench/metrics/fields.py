"""Checked reading of predictions and targets: what is missing or makes no sense is a ValueError naming its image."""

from collections.abc import Iterator, Sequence
from typing import TypeVar

import numpy as np
import torch
from torch import Tensor

from roibench.metrics.matching import Booleans, Floats
from roibench.structures import Prediction, Target

T = TypeVar("T")


def by_image(
    predictions: Sequence[Prediction], targets: Sequence[Target]
) -> Iterator[tuple[str, Prediction, str, Target]]:
    """Each image's prediction and target, each after the words that name it in an error."""
    if len(predictions) != len(targets):
        raise ValueError(f"{len(predictions)} predictions for {len(targets)} targets")
    for i, (prediction, target) in enumerate(zip(predictions, targets, strict=True)):
        yield f"prediction of image {i}", prediction, f"target of image {i}", target


def numbers(owner: str, name: str, value: Tensor | None, length: int | None = None, of: str = "boxes") -> Floats:
    """A checked copy in float64, which holds every label and every float32 exactly; length: of how many `of`."""
    value = present(owner, name, value)
    if length is not None and len(value) != length:
        raise ValueError(f"{owner}: {len(value)} {name} for {length} {of}")
    if not torch.isfinite(value).all():
        raise ValueError(f"{owner}: NaN or infinite {name}")
    return value.detach().double().numpy()


def flags(owner: str, name: str, value: Tensor | None, length: int, of: str = "boxes") -> Booleans:
    """The same for what is optional and False where it isn't given: crowd, ignored."""
    if value is None:
        return np.zeros(length, bool)
    return numbers(owner, name, value, length, of).astype(bool)


def present(owner: str, name: str, value: T | None) -> T:
    if value is None:
        raise ValueError(f"{owner}: no {name}")
    return value
