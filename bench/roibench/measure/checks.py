"""What a prediction can't be: checked before anything is scored, drawn or kept, and said with image, field and value.

One function per field of Prediction, and PER_BOX for those that go together; each is pure, and tells what is wrong in
words or returns None. float64 is taken where float32 is documented, and any integers where int64 is, because they hold
the same values; half precision isn't, because boxes and scores lose digits to it.
"""

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from roibench.dataset import DatasetInfo
from roibench.structures import Input, Prediction

FLOATS = (torch.float32, torch.float64)
INTEGERS = (torch.int64, torch.int32, torch.int16, torch.int8, torch.uint8)
PER_BOX = ("boxes", "scores", "labels", "masks", "keypoints", "captions")

Shape = Sequence[int | str]


class PredictionError(ValueError):
    """A model returned what no prediction can be; one line that names the image, the field and the value."""


@dataclass(frozen=True)
class Frame:
    """What an image's prediction is held against. size: (height, width) in pixels, None without an image. joints: how
    many, None if that isn't known.
    """

    id: str
    size: tuple[int, int] | None
    classes: tuple[str, ...]
    joints: int | None = None

    @classmethod
    def of(cls, one: Input, info: DatasetInfo) -> "Frame":
        size = None if one.image is None else tuple(one.image.shape[1:])
        return cls(one.id, size, info.classes, len(info.joints) or None)

    @property
    def sides(self) -> Shape:
        return self.size or ("H", "W")


def check_count(predictions: object, images: int) -> None:
    """Raises PredictionError where predict didn't return a list of one prediction per image."""
    if not isinstance(predictions, Sequence) or len(predictions) != images:
        many = (
            f"{len(predictions)} predictions"
            if isinstance(predictions, Sequence)
            else f"a {type(predictions).__name__}"
        )
        raise PredictionError(f"predict returned {many} for {images} images; want one Prediction per Input")


def check_predictions(predictions: Sequence[object], frames: Sequence[Frame], needed: Collection[str] = ()) -> None:
    """Raises PredictionError for the first image with something impossible. needed: fields that must be there."""
    for prediction, frame in zip(predictions, frames, strict=True):
        if problem := _problem(prediction, frame, needed):
            raise PredictionError(f"image {frame.id}: {problem}")


def _problem(prediction: object, frame: Frame, needed: Collection[str]) -> str | None:
    if not isinstance(prediction, Prediction):
        return f"predict returned a {type(prediction).__name__}; want a roibench.structures.Prediction"
    values = {name: getattr(prediction, name) for name in FIELDS}
    if missing := [name for name in needed if values[name] is None]:
        return f"no {' and no '.join(missing)}, which the model's task needs"
    found = {name: value for name, value in values.items() if value is not None}
    problems = (FIELDS[name](value, frame) for name, value in found.items())
    return next(filter(None, problems), None) or _uneven({name: len(found[name]) for name in PER_BOX if name in found})


def boxes(value: object, frame: Frame) -> str | None:
    return _tensor("boxes", value, FLOATS, ("K", 4)) or _infinite("boxes", value)


def scores(value: object, frame: Frame) -> str | None:
    return _tensor("scores", value, FLOATS, ("K",)) or _infinite("scores", value)


def labels(value: object, frame: Frame) -> str | None:
    """An index of a class."""
    return _tensor("labels", value, INTEGERS, ("K",)) or _beyond("labels", value, len(frame.classes) - 1)


def masks(value: object, frame: Frame) -> str | None:
    return _tensor("masks", value, (torch.bool,), ("K", *frame.sides))


def keypoints(value: object, frame: Frame) -> str | None:
    return _tensor("keypoints", value, FLOATS, ("K", frame.joints or "J", 3)) or _infinite("keypoints", value)


def captions(value: object, frame: Frame) -> str | None:
    if not isinstance(value, tuple) or not all(isinstance(one, str) for one in value):
        return f"captions are {value!r:.60}; want a tuple of texts"
    return None


def class_scores(value: object, frame: Frame) -> str | None:
    return _tensor("class_scores", value, FLOATS, (len(frame.classes),)) or _infinite("class_scores", value)


def semantic_map(value: object, frame: Frame) -> str | None:
    """0 is background, then the classes; a model can't answer 255, which is void in the ground truth alone."""
    kind = _tensor("semantic_map", value, (torch.uint8,), frame.sides)
    return kind or _beyond("semantic_map", value, len(frame.classes))


def attribution(value: object, frame: Frame) -> str | None:
    return _tensor("attribution", value, FLOATS, frame.sides) or _infinite("attribution", value)


def features(value: object, frame: Frame) -> str | None:
    return _tensor("features", value, FLOATS, ("D",)) or _infinite("features", value)


def generated(value: object, frame: Frame) -> str | None:
    return _tensor("generated", value, (torch.uint8,), (3, "H", "W"))


FIELDS: Mapping[str, Callable[[object, Frame], str | None]] = {
    check.__name__: check
    for check in (
        boxes,
        scores,
        labels,
        masks,
        keypoints,
        captions,
        class_scores,
        semantic_map,
        attribution,
        features,
        generated,
    )
}


def _tensor(name: str, value: object, kinds: Sequence[torch.dtype], shape: Shape) -> str | None:
    """What is wrong with a tensor whatever it holds. shape: a number, or a letter for any."""
    if not isinstance(value, Tensor):
        return f"{name} is a {type(value).__name__}; want a torch.Tensor"
    if value.device.type != "cpu":
        return f"{name} is on {value.device}; want it on the cpu"
    if value.layout != torch.strided:
        return f"{name} is {value.layout}; want a dense tensor"
    if value.requires_grad:
        return f"{name} asks for a gradient; want it detached"
    if value.dtype not in kinds:
        return f"{name} is {value.dtype}; want {kinds[0]}"
    fits = len(value.shape) == len(shape) and all(
        isinstance(want, str) or have == want for have, want in zip(value.shape, shape, strict=True)
    )
    return None if fits else f"{name} has the shape {list(value.shape)}; want [{', '.join(map(str, shape))}]"


def _infinite(name: str, value: Tensor) -> str | None:
    return _first(name, value, ~torch.isfinite(value), "a finite number")


def _beyond(name: str, value: Tensor, last: int) -> str | None:
    return _first(name, value, (value < 0) | (value > last), f"0 to {last}" if last >= 0 else "none: there is no class")


def _first(name: str, value: Tensor, wrong: Tensor, wanted: str) -> str | None:
    """The first wrong value, where it stands and how many more there are."""
    if not wrong.any():
        return None
    place = wrong.nonzero()[0].tolist()
    more = int(wrong.sum()) - 1
    others = f" (and {more} more)" if more else ""
    return f"{name}{place} is {value[tuple(place)].item()}; want {wanted}{others}"


def _uneven(lengths: Mapping[str, int]) -> str | None:
    if len(set(lengths.values())) <= 1:
        return None
    return f"{', '.join(f'{count} {name}' for name, count in lengths.items())}; want equally many"
