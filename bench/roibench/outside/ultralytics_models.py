"""Detectors of the ultralytics package, where a person has installed it: `ultralytics:best.pt`. Its licence (AGPL)
makes it no dependency of ours; an export to ONNX needs none of it.
"""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch

from roibench.dataset import DatasetInfo
from roibench.model import stage
from roibench.outside.answers import detections, label_table
from roibench.outside.frozen import Frozen
from roibench.sources import need
from roibench.specs import ModelSpec, Outside, Paper
from roibench.structures import Input, Prediction
from roibench.tasks.objects import MAX_DETECTIONS, SCORE_THRESHOLD

ULTRALYTICS = Paper("Ultralytics YOLO", 2023, "https://github.com/ultralytics/ultralytics")


def open_source(rest: str) -> ModelSpec:
    """Raises ValueError: one line that names the source."""
    source = f"ultralytics:{rest}"
    library = f"ultralytics {need('ultralytics', f'model {source}')}"
    file = Path(rest)
    if not file.is_file():
        raise ValueError(f"model {source}: no file {rest}: want a checkpoint, such as best.pt")
    model = _loaded(file)
    if model.task != "detect":
        raise ValueError(f"model {source}: its task is {model.task!r}; want a detector")
    classes = tuple(model.names[index] for index in sorted(model.names))
    return ModelSpec(
        f"ultralytics:{file.name}",
        family="outside",
        tasks=("detection",),
        build="roibench.outside.ultralytics_models:build",
        paper=ULTRALYTICS,
        config={"file": rest, "classes": classes},
        outside=Outside(source, classes=classes, files=(file.resolve(),), settings={"library": library}),
    )


def _loaded(file: Path) -> Any:
    from ultralytics import YOLO

    return YOLO(str(file))


class UltralyticsModel(Frozen):
    """model: ultralytics' YOLO, whose predict prepares, runs and suppresses by itself."""

    stages = ("prepare", "predict", "answer")

    def __init__(self, model: Any, table: Sequence[int]) -> None:
        self.model, self.table, self.device = model, table, torch.device("cpu")

    def place(self, device: torch.device) -> None:
        self.device = device

    def predict(self, inputs: Sequence[Input]) -> list[Prediction]:
        with stage("prepare"):  # BGR, as OpenCV reads files
            images = [np.ascontiguousarray(one.image.flip(0).permute(1, 2, 0).numpy()) for one in inputs]
        with stage("predict"):
            options = {"conf": SCORE_THRESHOLD, "max_det": MAX_DETECTIONS, "device": str(self.device)}
            found = self.model.predict(images, verbose=False, **options)
        with stage("answer"):
            return [detections(one.boxes.xyxy, one.boxes.conf, one.boxes.cls.long(), self.table) for one in found]


def build(info: DatasetInfo, config: Mapping[str, Any]) -> UltralyticsModel:
    return UltralyticsModel(_loaded(Path(config["file"])), label_table(config, info))
