"""What a prediction can't be: checked before anything is scored, drawn or kept, named by image, field and value."""

from collections.abc import Collection, Mapping, Sequence

from roibench.structures import PER_OBJECT, Prediction, Target
from roibench.task import Field, Frame, TargetField


class PredictionError(ValueError):
    """A model returned what no prediction can be; one line that names the image, the field and the value."""


class TargetError(ValueError):
    """A dataset gave ground truth that can't be; one line that names the image, the field and the value."""


def check_count(predictions: object, images: int) -> None:
    """Raises PredictionError where predict didn't return a list of one prediction per image."""
    if not isinstance(predictions, Sequence) or len(predictions) != images:
        many = (
            f"{len(predictions)} predictions"
            if isinstance(predictions, Sequence)
            else f"a {type(predictions).__name__}"
        )
        raise PredictionError(f"predict returned {many} for {images} images; want one Prediction per Input")


def check_predictions(
    predictions: Sequence[object], frames: Sequence[Frame], fields: Mapping[str, Field], needed: Collection[str] = ()
) -> None:
    """Raises PredictionError for the first image with something impossible.

    fields: all that a prediction may have, by name. needed: those that must be there.
    """
    for prediction, frame in zip(predictions, frames, strict=True):
        if problem := _problem(prediction, frame, fields, needed):
            raise PredictionError(f"image {frame.id}: {problem}")


def check_targets(targets: Sequence[Target], frames: Sequence[Frame], fields: Sequence[TargetField]) -> None:
    """Raises TargetError for the first image whose ground truth is impossible; what isn't known is left out."""
    for target, frame in zip(targets, frames, strict=True):
        for field in fields:
            value = target.get(field.name)
            if value is not None and (problem := field.check(value, frame)):
                raise TargetError(f"image {frame.id}: ground truth: {problem}")


def _problem(prediction: object, frame: Frame, fields: Mapping[str, Field], needed: Collection[str]) -> str | None:
    if not isinstance(prediction, Prediction):
        return f"predict returned a {type(prediction).__name__}; want a roibench.structures.Prediction"
    found = prediction.known
    if missing := [name for name in needed if name not in found]:
        return f"no {' and no '.join(missing)}, which the model's task needs"
    if strange := [name for name in found if name not in fields]:
        return f"{strange[0]} is a field of no registered task; want some of {', '.join(sorted(fields))}"
    problems = (fields[name].check(value, frame) for name, value in found.items())
    per_object = [name for name in found if name in PER_OBJECT or fields[name].per_object]
    return next(filter(None, problems), None) or _uneven({name: len(found[name]) for name in per_object})


def _uneven(lengths: Mapping[str, int]) -> str | None:
    if len(set(lengths.values())) <= 1:
        return None
    return f"{', '.join(f'{count} {name}' for name, count in lengths.items())}; want equally many"
