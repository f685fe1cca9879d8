"""COCO's own evaluation and fixtures: what the metrics must agree with."""

import contextlib
import io
import os
from pathlib import Path

import numpy as np
import pytest
import torch
from pycocotools.coco import COCO
from pycocotools.cocoeval import COCOeval

from roibench.structures import Prediction, Target


class _WithIgnored(COCOeval):
    """COCOeval overwrites `ignore` with `iscrowd`; this one keeps both."""

    def _prepare(self):
        super()._prepare()
        for annotations in self._gts.values():
            for annotation in annotations:
                annotation["ignore"] |= annotation.get("ignored", 0)


def _evaluate(document: dict, results: list[dict], kind: str = "bbox") -> dict[str, float]:
    ground_truth = COCO()
    ground_truth.dataset = document
    with contextlib.redirect_stdout(io.StringIO()):
        ground_truth.createIndex()
        detections = ground_truth.loadRes(results) if results else COCO()
        evaluation = _WithIgnored(ground_truth, detections, kind)
        evaluation.evaluate()
        evaluation.accumulate()
        evaluation.summarize()
    # In the order of summarize(): what it prints as AP @[ IoU=0.50:0.95 | area= all ] is AP, and so on.
    if kind == "keypoints":
        names = ("AP", "AP50", "AP75", "APmedium", "APlarge", "AR", "AR50", "AR75", "ARmedium", "ARlarge")
    else:
        names = ("AP", "AP50", "AP75", "APsmall", "APmedium", "APlarge")
        names += ("AR1", "AR10", "AR100", "ARsmall", "ARmedium", "ARlarge")
    return {name: number for name, number in zip(names, evaluation.stats, strict=True) if number >= 0}


def _as_json(predictions: list[Prediction], targets: list[Target]) -> tuple[dict, list[dict]]:
    annotations, results = [], []
    for i, (prediction, target) in enumerate(zip(predictions, targets, strict=True)):
        boxes = _xywh(target.boxes)
        areas = [w * h for _, _, w, h in boxes] if target.areas is None else target.areas.tolist()
        none = [False] * len(boxes)
        crowds = none if target.crowd is None else target.crowd.tolist()
        ignored = none if target.ignored is None else target.ignored.tolist()
        for box, label, area, crowd, ignore in zip(boxes, target.labels.tolist(), areas, crowds, ignored, strict=True):
            annotations.append(
                {"id": len(annotations) + 1, "image_id": i, "category_id": label, "bbox": box, "area": area}
                | {"iscrowd": int(crowd), "ignored": int(ignore)}
            )
        found = zip(_xywh(prediction.boxes), prediction.labels.tolist(), prediction.scores.tolist(), strict=True)
        results += [{"image_id": i, "category_id": label, "bbox": box, "score": score} for box, label, score in found]
    labels = {entry["category_id"] for entry in annotations + results}
    document = {
        "images": [{"id": i} for i in range(len(targets))],
        "categories": [{"id": label} for label in sorted(labels)],
        "annotations": annotations,
    }
    return document, results


def _xywh(boxes: torch.Tensor) -> list[list[float]]:
    boxes = boxes.double().numpy()
    return np.concatenate([boxes[:, :2], boxes[:, 2:] - boxes[:, :2]], axis=1).tolist()


@pytest.fixture(scope="session")
def coco_numbers():
    """(predictions, targets) -> pycocotools' 12 numbers by name, those of -1 (undefined) left out."""
    return lambda predictions, targets: _evaluate(*_as_json(predictions, targets))


@pytest.fixture(scope="session")
def coco_json_numbers():
    """The same of COCO JSON as it stands: (ground truth, results, "bbox" or "segm" or "keypoints") in float64."""
    return _evaluate


@pytest.fixture(scope="session")
def coco_fixtures() -> Path:
    """The folder of COCO's own evaluation fixtures."""
    data = os.environ.get("ROIBENCH_DATA")
    folder = Path(data or "") / "eval_fixtures" / "cocoapi_val2014_100"
    if not data or not folder.is_dir():
        pytest.skip(f"COCO's evaluation fixtures are not at {folder}" if data else "ROIBENCH_DATA is not set")
    return folder
