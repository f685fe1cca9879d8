"""Scored again from what a run kept, and scored from COCO result files that were made elsewhere."""

import contextlib
import io
import json
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest
import torch
from planned_cells import recorded
from pycocotools import mask as rle
from pycocotools.coco import COCO
from pycocotools.cocoeval import COCOeval
from typer.testing import CliRunner

from roibench import cli
from roibench.assemble import find_weights, ready_model
from roibench.datasets.convert import convert
from roibench.datasets.reference import open_dataset
from roibench.datasets.scenes import Scenes
from roibench.datasets.scenes.shapes import JOINTS
from roibench.measure.plan import Options, make_plan
from roibench.measure.record import Score
from roibench.measure.rescore import rescore
from roibench.measure.run import Run
from roibench.metrics.keypoints import OTHER_SIGMA
from roibench.registry import installed
from roibench.structures import Prediction

IMAGES = 20


@pytest.fixture(scope="module")
def exported(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("scenes")
    convert(Scenes("val"), "coco", folder, images=IMAGES)
    return folder


@pytest.fixture(scope="module")
def found() -> list[Prediction]:
    registry, data = installed(), Scenes("val")
    spec = registry.models["retinanet"]
    model = ready_model(spec, data.info, find_weights(spec, "scenes", None, registry), torch.device("cpu"))
    return model.predict([data[index].input for index in range(IMAGES)])


def results(found: Sequence[Prediction], ids: Sequence[object]) -> list[dict]:
    """As COCO has them: labels counted from 1."""
    return [
        {"image_id": id, "category_id": label + 1, "score": score, "bbox": [x1, y1, x2 - x1, y2 - y1]}
        for id, one in zip(ids, found, strict=True)
        for (x1, y1, x2, y2), label, score in zip(
            one.boxes.double().tolist(), one.labels.tolist(), one.scores.tolist(), strict=True
        )
    ]


def write(folder: Path, entries: object) -> Path:
    file = folder / "results.json"
    file.write_text(json.dumps(entries))
    return file


def pycocotools_ap(exported: Path, file: str, kind: str, entries: list[dict]) -> list[float]:
    """AP, AP50 and AP75."""
    with contextlib.redirect_stdout(io.StringIO()):
        truth = COCO(exported / "annotations" / f"{file}_val.json")
        evaluation = COCOeval(truth, truth.loadRes(entries), kind)
        if kind == "keypoints":
            evaluation.params.kpt_oks_sigmas = np.full(len(JOINTS), OTHER_SIGMA)
        evaluation.evaluate()
        evaluation.accumulate()
        evaluation.summarize()
    return list(evaluation.stats[:3])


def ours(score: Score) -> list[float]:
    metric = score.primary.partition("/")[0]
    return [score.values[f"{metric}/{name}"].value for name in ("AP", "AP50", "AP75")]


def test_a_result_file_has_pycocotools_ap(exported, found, tmp_path):
    entries = results(found, range(1, IMAGES + 1))
    [one] = rescore(write(tmp_path, entries), installed(), f"coco:{exported}")
    expected = pycocotools_ap(exported, "instances", "bbox", entries)
    assert 0.2 < expected[0] < 0.9
    assert ours(one.score) == pytest.approx(expected, abs=1e-6)
    interval = one.score.values["coco_ap/AP"]
    assert interval.low < interval.value <= interval.high and one.images == IMAGES and not one.notes


def test_masks_have_pycocotools_ap(exported, tmp_path):
    """Every object's own mask, moved; one is missed."""
    entries = []
    for index in range(IMAGES):
        target = Scenes("val")[index].target
        for k, label in enumerate(target.labels.tolist()):
            moved = target.masks[k].roll(1 + k, 1)
            runs = rle.encode(np.asfortranarray(moved.numpy(), np.uint8))
            outline = {"size": runs["size"], "counts": runs["counts"].decode()}
            thing = {"image_id": index + 1, "category_id": label + 1, "segmentation": outline}
            entries.append(thing | {"score": 1 - len(entries) / 200})
    del entries[3]
    [one] = rescore(write(tmp_path, entries), installed(), f"coco:{exported}")
    assert one.task == "instance_segmentation" and 0.1 < ours(one.score)[0] < 0.9
    assert ours(one.score) == pytest.approx(pycocotools_ap(exported, "instances", "segm", entries), abs=1e-6)


def test_keypoints_have_pycocotools_ap(exported, tmp_path):
    truth = json.loads((exported / "annotations" / "person_keypoints_val.json").read_text())
    rng = np.random.default_rng(0)
    entries = []
    for thing in truth["annotations"]:
        pose = np.array(thing["keypoints"], np.float64).reshape(-1, 3)
        pose[:, :2] += rng.normal(0, 1, (len(pose), 2))
        named = {name: thing[name] for name in ("image_id", "category_id")}
        entries.append(named | {"keypoints": pose.ravel().tolist(), "score": rng.random()})
    [one] = rescore(write(tmp_path, entries), installed(), f"coco:{exported}")
    assert one.task == "keypoints" and 0.1 < ours(one.score)[0] < 0.99
    assert ours(one.score) == pytest.approx(
        pycocotools_ap(exported, "person_keypoints", "keypoints", entries), abs=1e-6
    )


@pytest.mark.parametrize("ids", ["exported", "own"])
def test_a_dataset_without_coco_ids_is_counted_as_it_is_exported_or_named_as_it_names_itself(
    tmp_path, third_party, ids
):
    squares = open_dataset("squares", third_party)
    targets = [squares[index].target for index in range(12)]
    truth = [Prediction(boxes=one.boxes, labels=one.labels, scores=torch.ones(1)) for one in targets]
    names = range(1, 13) if ids == "exported" else [f"square-{index}" for index in range(12)]
    [one] = rescore(write(tmp_path, results(truth, names)), third_party, "squares")
    assert ours(one.score) == pytest.approx([1, 1, 1])


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"image_id": 99}, "image ids that the dataset doesn't have: 99; it has 1, 2, 3"),
        ({"category_id": 77}, "category ids that the dataset doesn't have: 77; it has 1, 2"),
        ({"image_id": None}, "image ids that the dataset doesn't have: None"),
        ({"bbox": [1, 2, 3]}, r"results\[1\]: bbox \[1, 2, 3\]: want 4 numbers"),
        ({"score": "high"}, r"results\[1\]: score 'high': want a number"),
    ],
)
def test_what_a_result_file_has_wrong_is_named(exported, tmp_path, changes, words):
    entry = {"image_id": 1, "category_id": 1, "bbox": [1, 2, 3, 4], "score": 0.5}
    with pytest.raises(ValueError, match=words):
        rescore(write(tmp_path, [entry, entry | changes]), installed(), f"coco:{exported}")


def test_what_can_not_be_scored_is_refused_in_words(exported, tmp_path):
    entry = {"image_id": 1, "category_id": 1, "bbox": [1, 2, 3, 4], "score": 0.5}
    coco = f"coco:{exported}"
    for content, dataset, task, words in (
        ({"annotations": []}, coco, None, "is no COCO result file: want a list"),
        ([], coco, None, "can't be scored; want results with a bbox, a segmentation or keypoints"),
        ([entry], coco, "keypoints", "can't be scored under keypoints; want detection"),
        ([entry], coco, "detektion", "did you mean 'detection'"),
        ([entry], None, None, "--dataset: want the dataset that was predicted"),
    ):
        with pytest.raises(ValueError, match=words):
            rescore(write(tmp_path, content), installed(), dataset, task)
    with pytest.raises(ValueError, match="want a run's folder or a COCO result file"):
        rescore(tmp_path / "nowhere", installed())


def test_what_the_tasks_cut_leaves_out_is_told(exported, tmp_path):
    entry = {"image_id": 1, "category_id": 1, "bbox": [1, 2, 30, 40]}
    entries = [entry | {"score": score} for score in (0.01, 0.5, 0.04)]
    [one] = rescore(write(tmp_path, entries), installed(), f"coco:{exported}")
    assert one.notes[0].startswith("2 of 3 results were not scored") and "0.05" in one.notes[0]


def test_a_run_scored_again_says_what_it_said(tmp_path, third_party):
    plan = make_plan(Options(models=("works",), datasets=("squares",), rounds=1), third_party)
    run = Run(plan, tmp_path, installed())
    record = recorded(run, plan.cells[0])
    [one] = rescore(run.folder, third_party)
    assert (one.what, one.dataset, one.score) == (record.cell_id, "squares", record.scores["detection"])
    with pytest.raises(ValueError, match="--task keypoints: no cell was scored under it; want detection"):
        rescore(run.folder, third_party, task="keypoints")
    with pytest.raises(ValueError, match="dataset 'photos' has changed since"):
        rescore(run.folder, third_party, "photos")
    runner = CliRunner()
    text = runner.invoke(cli.app, ["score", str(run.folder)], catch_exceptions=False).output
    assert "detection on squares, 12 images" in text and "100.0 [100.0, 100.0]" in text and "VOC_AP50 %" in text
    [printed] = json.loads(runner.invoke(cli.app, ["score", str(run.folder), "--json"]).output)
    assert printed["score"]["values"]["coco_ap/AP"]["value"] == one.score.values["coco_ap/AP"].value
