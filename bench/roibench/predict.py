"""Run a model on image files: drawings, JSON lines and label images."""

import json
from collections import Counter
from collections.abc import Iterator, Sequence
from io import BytesIO
from pathlib import Path
from typing import Any

import torch
from PIL import Image

from roibench.assemble import find_weights, ready_model, usable_device
from roibench.dataset import DatasetInfo
from roibench.datasets.bad_data import BadDataError
from roibench.datasets.images import decode
from roibench.datasets.reference import open_dataset
from roibench.draw.prediction import draw
from roibench.files import hold, write_atomically
from roibench.measure.checks import PredictionError, check_count, check_predictions
from roibench.model import Model
from roibench.registry import Registry
from roibench.specs import ModelSpec
from roibench.structures import Input, Prediction
from roibench.task import Field, Frame
from roibench.weights import read_header


class PredictError(RuntimeError):
    """A model failed on an image, or returned what can't be; the message names both."""


def read_image(path: Path) -> torch.Tensor:
    """A file as uint8 RGB [3, H, W], upright. Raises ValueError, naming it, for no readable image."""
    try:
        return decode(path)
    except BadDataError as error:
        raise ValueError(f"image {error.problems[0]}") from error


def predict_files(
    name: str,
    images: Sequence[Path],
    out: Path,
    dataset: str,
    weights: Path | None,
    score_threshold: float,
    device: str,
    registry: Registry,
) -> Iterator[tuple[Path, Path, str]]:
    """Yields (image, drawing, what was found) per file; writes out/STEM.png, what fields have files of their own (a
    semantic map: out/maps/STEM.png), and at the end out/predictions.jsonl: also at an early end, with what was done by
    then.

    Classes and joints come from the weights' header; those of a model from outside are its own; the dataset is opened
    for a model that has none. Raises ValueError
    where a drawing would replace an image or another drawing.
    """
    spec = registry.model(name)
    fields = list(registry.fields.values())
    drawings = [out / f"{file.stem}.png" for file in images]
    _check_drawings(images, drawings, [field.file[0] for field in fields if field.file])
    placed = usable_device(device)
    path = find_weights(spec, dataset, weights, registry)
    if spec.outside is not None and spec.outside.classes is not None:
        info = DatasetInfo(spec.name, "", spec.outside.classes)
    else:
        trained = open_dataset(dataset, registry).info if path is None else read_header(path)
        info = DatasetInfo(dataset, "", trained.classes, trained.joints)
    classes = info.classes
    model = ready_model(spec, info, path, placed)
    lock = hold(out)
    lines = []
    try:
        for file, drawing in zip(images, drawings, strict=True):
            image = read_image(file)
            prediction = _predicted(spec, model, Input(str(file), image), info, registry)
            _write_png(drawing, draw(image, prediction, classes, fields, score_threshold))
            for field in fields:
                if field.file and prediction.get(field.name) is not None:
                    folder, picture = field.file
                    _write_png(drawing.parent / folder / drawing.name, picture(prediction))
            found, words = describe(prediction, fields, classes, score_threshold)
            lines.append(json.dumps({"image": str(file), **found}) + "\n")
            yield file, drawing, words
    finally:
        if lines:
            write_atomically(out / "predictions.jsonl", "".join(lines).encode())
        lock.release()


def _predicted(spec: ModelSpec, model: Model, one: Input, info: DatasetInfo, registry: Registry) -> Prediction:
    """What a model finds in one image. Raises PredictError, which names both, where that can't be shown."""
    try:
        predictions = model.predict([one])
        check_count(predictions, 1)
        needed = registry.needed_fields(spec.tasks)
        check_predictions(predictions, [Frame.of(one, info)], registry.fields, needed)
    except PredictionError as error:
        raise PredictError(f"model {spec.name!r}: {error}") from error
    except Exception as error:
        raise PredictError(f"model {spec.name!r}: image {one.id}: {type(error).__name__}: {error}") from error
    return predictions[0]


def describe(
    prediction: Prediction, fields: Sequence[Field], classes: Sequence[str], score_threshold: float
) -> tuple[dict[str, Any], str]:
    """A prediction as JSON holds it, and in a few words."""
    found, words = {}, []
    for field in fields:
        if field.describe and prediction.get(field.name) is not None:
            described = field.describe(prediction, classes, score_threshold)
            found |= described
            words.append(field.in_words and field.in_words(described))
    return found, ", ".join(filter(None, words))


def _write_png(path: Path, image: Image.Image) -> None:
    picture = BytesIO()
    image.save(picture, "png")
    write_atomically(path, picture.getvalue())


def _check_drawings(images: Sequence[Path], drawings: Sequence[Path], folders: Sequence[str]) -> None:
    existing = {file.resolve() for file in images}
    for file, drawing in zip(images, drawings, strict=True):
        for written in (drawing, *(drawing.parent / folder / drawing.name for folder in folders)):
            if written.resolve() in existing:
                raise ValueError(f"image {file}: its drawing would replace {written}; name another folder by --out")
    drawing, count = Counter(drawings).most_common(1)[0]
    if count > 1:
        raise ValueError(f"{count} images would be drawn to {drawing}: want distinct names, or one call for each")
