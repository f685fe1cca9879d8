"""Run a model on image files: drawings, JSON lines and label images."""

import json
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
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
from roibench.files import hold, write_atomically
from roibench.measure.checks import Frame, PredictionError, check_count, check_predictions
from roibench.model import Model
from roibench.registry import UnknownNameError, installed, unknown
from roibench.report.draw import draw
from roibench.report.draw_map import shares
from roibench.report.draw_scores import best
from roibench.structures import Input, Prediction
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
) -> Iterator[tuple[Path, Path, str]]:
    """Yields (image, drawing, what was found) per file; writes out/STEM.png, for a semantic map also out/maps/STEM.png
    (8-bit: 0 background, class index + 1), and at the end out/predictions.jsonl: also at an early end, with what was
    done by then.

    Classes come from the weights' header; the dataset is opened for a model that has none. Raises ValueError where a
    drawing would replace an image or another drawing.
    """
    registry = installed()
    if name not in registry.models:
        raise UnknownNameError(unknown("model", name, registry.models))
    spec = registry.models[name]
    drawings = [out / f"{file.stem}.png" for file in images]
    _check_drawings(images, drawings)
    placed = usable_device(device)
    path = find_weights(spec, dataset, weights, registry)
    classes = open_dataset(dataset, registry).info.classes if path is None else read_header(path).classes
    info = DatasetInfo(dataset, "", classes)
    model = ready_model(spec, info, path, placed)
    lock = hold(out)
    lines = []
    try:
        for file, drawing in zip(images, drawings, strict=True):
            image = read_image(file)
            prediction = _predicted(name, model, Input(str(file), image), info)
            _write_png(drawing, draw(image, prediction, classes, score_threshold))
            if prediction.semantic_map is not None:
                _write_png(_map_file(drawing), Image.fromarray(prediction.semantic_map.numpy()))
            found = describe(prediction, classes, score_threshold)
            lines.append(json.dumps({"image": str(file), **found}) + "\n")
            yield file, drawing, _in_words(found)
    finally:
        if lines:
            write_atomically(out / "predictions.jsonl", "".join(lines).encode())
        lock.release()


def _predicted(name: str, model: Model, one: Input, info: DatasetInfo) -> Prediction:
    """What a model finds in one image. Raises PredictError, which names both, where that can't be shown."""
    try:
        predictions = model.predict([one])
        check_count(predictions, 1)
        check_predictions(predictions, [Frame.of(one, info)])
    except PredictionError as error:
        raise PredictError(f"model {name!r}: {error}") from error
    except Exception as error:
        raise PredictError(f"model {name!r}: image {one.id}: {type(error).__name__}: {error}") from error
    return predictions[0]


def describe(prediction: Prediction, classes: Sequence[str], score_threshold: float) -> dict[str, Any]:
    """A prediction as JSON holds it. objects: those that score at least the threshold, boxes as xyxy in pixels. pixels:
    the part of them that each class of the semantic map has, largest first. classes: the best of the whole image.
    attribution: where its maximum is, as x and y of the pixel's centre.
    """
    found: dict[str, Any] = {}
    if prediction.boxes is not None:
        found["objects"] = [
            {
                **({} if prediction.labels is None else {"label": classes[int(prediction.labels[i])]}),
                **({} if prediction.scores is None else {"score": round(float(prediction.scores[i]), 4)}),
                "box": [round(value, 2) for value in prediction.boxes[i].tolist()],
            }
            for i in range(len(prediction.boxes))
            if prediction.scores is None or prediction.scores[i] >= score_threshold
        ]
    if prediction.semantic_map is not None:
        names = ("background", *classes)
        parts = shares(prediction.semantic_map.numpy())
        found["pixels"] = [{"label": names[value], "share": round(share, 4)} for value, share in parts.items()]
    if prediction.class_scores is not None:
        scores = best(prediction.class_scores.numpy())
        found["classes"] = [{"label": classes[label], "score": round(score, 4)} for label, score in scores.items()]
    if prediction.attribution is not None:
        y, x = divmod(int(prediction.attribution.argmax()), prediction.attribution.shape[1])
        found["attribution"] = {"maximum": [x + 0.5, y + 0.5]}
    return found


def _in_words(found: Mapping[str, Any]) -> str:
    words = [
        f"{len(found[what])} {noun}" for what, noun in (("objects", "objects"), ("pixels", "classes")) if what in found
    ]
    words += [f"{first['label']} {first['score']:.2f}" for first in found.get("classes", ())[:1]]
    if "attribution" in found:
        words.append("maximum at x {:g}, y {:g}".format(*found["attribution"]["maximum"]))
    return ", ".join(words)


def _map_file(drawing: Path) -> Path:
    return drawing.parent / "maps" / drawing.name


def _write_png(path: Path, image: Image.Image) -> None:
    picture = BytesIO()
    image.save(picture, "png")
    write_atomically(path, picture.getvalue())


def _check_drawings(images: Sequence[Path], drawings: Sequence[Path]) -> None:
    existing = {file.resolve() for file in images}
    for file, drawing in zip(images, drawings, strict=True):
        for written in (drawing, _map_file(drawing)):
            if written.resolve() in existing:
                raise ValueError(f"image {file}: its drawing would replace {written}; name another folder by --out")
    drawing, count = Counter(drawings).most_common(1)[0]
    if count > 1:
        raise ValueError(f"{count} images would be drawn to {drawing}: want distinct names, or one call for each")
