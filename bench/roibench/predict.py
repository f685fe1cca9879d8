"""Run a model on image files: drawings and JSON lines."""

import json
from collections import Counter
from collections.abc import Iterator, Sequence
from io import BytesIO
from pathlib import Path

import numpy as np
import torch
from PIL import Image, UnidentifiedImageError

from roibench.assemble import find_weights, ready_model, usable_device
from roibench.datasets.sources import open_dataset
from roibench.files import hold, write_atomically
from roibench.registry import UnknownNameError, installed, unknown
from roibench.report.draw import draw
from roibench.structures import Input
from roibench.tasks import DatasetInfo
from roibench.weights import read_header


def read_image(path: Path) -> torch.Tensor:
    """A file as uint8 RGB [3, H, W], turned as its EXIF says. Raises ValueError, naming it, for no readable image."""
    from PIL import ImageOps

    try:
        with Image.open(path) as image:
            pixels = np.array(ImageOps.exif_transpose(image).convert("RGB"))
    except FileNotFoundError as error:
        raise ValueError(f"image {path}: no such file") from error
    except (UnidentifiedImageError, OSError) as error:
        raise ValueError(f"image {path}: can't be read ({error})") from error
    return torch.from_numpy(pixels).permute(2, 0, 1).contiguous()


def predict_files(
    name: str,
    images: Sequence[Path],
    out: Path,
    dataset: str,
    weights: Path | None,
    score_threshold: float,
    device: str,
) -> Iterator[tuple[Path, Path, int]]:
    """Yields (image, drawing, objects drawn) per file; writes out/STEM.png and, at the end, out/predictions.jsonl:
    also at an early end, with what was done by then.

    Classes come from the weights' header; the data set is opened for a model that has none. Raises ValueError where a
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
    model = ready_model(spec, DatasetInfo(dataset, "", classes), path, placed)
    lock = hold(out)
    lines = []
    try:
        for file, drawing in zip(images, drawings, strict=True):
            image = read_image(file)
            [prediction] = model.predict([Input(file.stem, image)])
            picture = BytesIO()
            draw(image, prediction, classes, score_threshold).save(picture, "png")
            write_atomically(drawing, picture.getvalue())
            kept = (prediction.scores >= score_threshold).nonzero().flatten().tolist()
            objects = [
                {
                    "label": classes[int(prediction.labels[i])],
                    "score": round(float(prediction.scores[i]), 4),
                    "box": [round(value, 2) for value in prediction.boxes[i].tolist()],
                }
                for i in kept
            ]
            lines.append(json.dumps({"image": str(file), "objects": objects}) + "\n")
            yield file, drawing, len(kept)
    finally:
        if lines:
            write_atomically(out / "predictions.jsonl", "".join(lines).encode())
        lock.release()


def _check_drawings(images: Sequence[Path], drawings: Sequence[Path]) -> None:
    existing = {file.resolve() for file in images}
    for file, drawing in zip(images, drawings, strict=True):
        if drawing.resolve() in existing:
            raise ValueError(f"image {file}: its drawing would replace {drawing}; name another folder by --out")
    drawing, count = Counter(drawings).most_common(1)[0]
    if count > 1:
        raise ValueError(f"{count} images would be drawn to {drawing}: want distinct names, or one call for each")
