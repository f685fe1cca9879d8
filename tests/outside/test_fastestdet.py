"""A real detector in a file, on real photographs, by one command and no Python."""

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from coco_files import real
from pycocotools.coco import COCO
from pycocotools.cocoeval import COCOeval

from roibench.datasets.reference import open_dataset
from roibench.measure.journal import read_records
from roibench.measure.predictions import load_predictions
from roibench.measure.record import Ok
from roibench.registry import installed

pytest.importorskip("onnxruntime", reason="the extra [onnx] isn't installed")

SIDECAR = "layout: grid\nchannels: bgr\nresize: stretch\nclasses: coco\n"


@pytest.fixture(scope="module")
def command_and_run(tmp_path_factory) -> tuple[subprocess.CompletedProcess, Path]:
    folder = tmp_path_factory.mktemp("fastestdet")
    original = real("onnx", "FastestDet.onnx")
    sidecar = folder / "fastestdet.yaml"
    sidecar.write_text(f"file: {original}\nname: FastestDet\n{SIDECAR}")
    command = [sys.executable, "-m", "roibench", "run", "--model", f"onnx:{sidecar}", "--threads", "1"]
    command += ["--dataset", f"coco:{real('coco_free', 'coco128')}@train2017", "--on-bad-data", "skip"]
    done = subprocess.run([*command, "--out", str(folder / "runs")], capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr
    return done, next((folder / "runs").iterdir())


@pytest.fixture(scope="module")
def run(command_and_run) -> Path:
    return command_and_run[1]


@pytest.fixture(scope="module")
def record(run) -> Ok:
    [record] = read_records(run)
    return record


def test_its_accuracy_is_pycocotools_on_the_same_predictions(run, record, capsys):
    ids, predictions = load_predictions(run / record.predictions)
    truth = COCO(str(real("coco_free", "coco128") / "annotations" / "instances_train2017.json"))
    images = [int(name) for name in ids]
    of_name = {category["name"]: key for key, category in truth.cats.items()}
    with pytest.warns(UserWarning, match="left out"):
        data = open_dataset(record.cell.dataset, installed(), on_bad_data="skip")
    categories = [of_name[name] for name in data.info.classes]
    task = installed().tasks["detection"]
    results = []
    for image, prediction in zip(images, map(task.filter, predictions), strict=True):
        sides = torch.cat([prediction.boxes[:, :2], prediction.boxes[:, 2:] - prediction.boxes[:, :2]], 1).double()
        for box, score, label in zip(sides.tolist(), prediction.scores.tolist(), prediction.labels, strict=True):
            results.append({"image_id": image, "category_id": categories[label], "bbox": box, "score": score})
    judged = COCOeval(truth, truth.loadRes(results), "bbox")
    judged.params.imgIds = images
    judged.evaluate()
    judged.accumulate()
    judged.summarize()
    values = record.scores["detection"].values
    found = [values[f"coco_ap/{name}"].value for name in ("AP", "AP50", "AP75")]
    np.testing.assert_allclose(found, judged.stats[:3], atol=1e-6)
    assert judged.stats[0] > 0.2  # of a detector that is fed and decoded as its authors do it


def test_its_record_pins_file_sidecar_and_decoding(record):
    outside = record.cell.outside
    assert set(outside.files) == {"FastestDet.onnx", "fastestdet.yaml"}
    assert outside.settings["layout"] == "grid" and outside.settings["channels"] == "bgr"
    assert outside.settings["runtime"].startswith("onnxruntime ") and outside.settings["size"] == [352, 352]
    assert len(outside.classes) == 80 and not outside.missing and not outside.random_weights
    assert record.cell.weights_hash is not None and record.family == "outside"


def test_its_time_is_told_by_stage_and_with_intervals(record):
    ap = record.scores["detection"].values["coco_ap/AP"]
    assert ap.low < ap.value < ap.high and record.latency.p50.low <= record.latency.p50.value
    assert [stage.name for stage in record.stages] == ["preprocess", "network", "postprocess", "(unmarked)"]


def test_what_was_guessed_and_matched_is_printed(command_and_run):
    done, run = command_and_run
    for text in (done.stdout, (run / "table.md").read_text()):
        assert "onnx:FastestDet: guessed, where the sidecar says nothing: size 352 x 352" in text
        assert "80 of the 80 classes of coco:coco128@train2017 matched (80 by their names)" in text
    assert "| onnx:FastestDet |" in (run / "table.md").read_text()


def test_predict_needs_no_dataset(tmp_path):
    photograph = next((real("coco_free", "coco128") / "train2017").glob("*.jpg"))
    sidecar = tmp_path / "net.yaml"
    sidecar.write_text(f"file: {real('onnx', 'FastestDet.onnx')}\n{SIDECAR}")
    command = [sys.executable, "-m", "roibench", "predict", f"onnx:{sidecar}", str(photograph), "--out", str(tmp_path)]
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    [line] = map(json.loads, (tmp_path / "predictions.jsonl").read_text().splitlines())
    assert all(0 <= one["score"] <= 1 for one in line["objects"]) and (tmp_path / f"{photograph.stem}.png").is_file()
