"""Run a model on image files: drawings and JSON lines."""

import json
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
import torch
from PIL import Image, UnidentifiedImageError

from roibench.assemble import NoWeightsError, ready_model
from roibench.files import write_atomically
from roibench.registry import UnknownNameError, installed, unknown
from roibench.report.draw import draw
from roibench.structures import Input
from roibench.tasks import DatasetInfo
from roibench.weights import read_header, shipped_weights


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
    """Yields (image, drawing, objects drawn) per file; writes out/STEM.png and, at the end, out/predictions.jsonl.

    Classes come from the weights' header, so no data set is opened.
    """
    registry = installed()
    if name not in registry.models:
        raise UnknownNameError(unknown("model", name, registry.models))
    spec = registry.models[name]
    path = weights or shipped_weights(spec, dataset, registry)
    if path is None or not path.is_file():
        raise NoWeightsError(f"model {name!r} has no weights for {dataset!r}; pass some by --weights FILE")
    classes = read_header(path).classes
    model = ready_model(spec, DatasetInfo(dataset, "", classes), path, torch.device(device))
    lines = []
    for file in images:
        image = read_image(file)
        [prediction] = model.predict([Input(file.stem, image)])
        drawing = out / f"{file.stem}.png"
        out.mkdir(parents=True, exist_ok=True)
        draw(image, prediction, classes, score_threshold).save(drawing)
        kept = (prediction.scores >= score_threshold).nonzero().flatten().tolist()
        objects = [
            {
                "label": classes[int(prediction.labels[i])],
                "score": round(float(prediction.scores[i]), 4),
                "box": [round(value, 2) for value in prediction.boxes[i].tolist()],
            }
            for i in kept
        ]
        lines.append(json.dumps({"image": str(file), "objects": objects}))
        yield file, drawing, len(kept)
    write_atomically(out / "predictions.jsonl", ("\n".join(lines) + "\n").encode())
