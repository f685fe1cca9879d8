"""Checked reading of predictions and targets: what is missing or makes no sense is an ImageError naming its image."""

from collections.abc import Iterator, Sequence
from typing import NamedTuple, TypeVar

import numpy as np
import torch
from torch import Tensor

from roibench.metrics.matching import Booleans, Floats
from roibench.structures import Prediction, Target

T = TypeVar("T")


class Owner(NamedTuple):
    """Whose fields are read.

    index: of the image among those that are scored.
    what: "prediction" or "target".
    """

    index: int
    what: str


class ImageError(ValueError):
    """One image can't be scored.

    index: which.
    problem: why, for whoever knows the image's name.
    """

    def __init__(self, owner: Owner, problem: str) -> None:
        super().__init__(f"{owner.what} of image {owner.index}: {problem}")
        self.index = owner.index
        self.problem = f"{owner.what}: {problem}"


def by_image(
    predictions: Sequence[Prediction], targets: Sequence[Target]
) -> Iterator[tuple[Owner, Prediction, Owner, Target]]:
    """Each image's prediction and target, each after what names it in an error."""
    if len(predictions) != len(targets):
        raise ValueError(f"{len(predictions)} predictions for {len(targets)} targets")
    for i, (prediction, target) in enumerate(zip(predictions, targets, strict=True)):
        yield Owner(i, "prediction"), prediction, Owner(i, "target"), target


def checked_array(
    owner: Owner, name: str, value: Tensor | None, length: int | None = None, of: str = "boxes"
) -> Floats:
    """A copy in float64, which holds every label and every float32 exactly; an ImageError if it isn't finite.

    length: how many it must be, one per `of`; None: any number.
    """
    value = present(owner, name, value)
    if length is not None and len(value) != length:
        raise ImageError(owner, f"{len(value)} {name} for {length} {of}")
    if not torch.isfinite(value).all():
        raise ImageError(owner, f"NaN or infinite {name}")
    return value.detach().double().numpy()


def flags(owner: Owner, name: str, value: Tensor | None, length: int, of: str = "boxes") -> Booleans:
    """The same for what is optional and False where it isn't given: crowd, ignored."""
    if value is None:
        return np.zeros(length, bool)
    return checked_array(owner, name, value, length, of).astype(bool)


def check_size(owner: Owner, name: str, size: tuple[int, ...], true_size: tuple[int, ...]) -> None:
    """Sizes are (height, width); a prediction is as large as the ground truth."""
    if size != true_size:
        sizes = ("x".join(map(str, one)) for one in (size, true_size))
        raise ImageError(owner, "{}: {} pixels, the ground truth has {}".format(name, *sizes))


def present(owner: Owner, name: str, value: T | None) -> T:
    if value is None:
        raise ImageError(owner, f"no {name}")
    return value
