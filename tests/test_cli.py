"""The command line, as typed."""

import json

import numpy as np
import pytest
import torch
from PIL import Image
from typer.testing import CliRunner

from roibench import cli
from roibench.assemble import build_model
from roibench.datasets.scenes import Scenes
from roibench.datasets.scenes.shapes import CLASSES
from roibench.predict import describe, read_image
from roibench.registry import installed
from roibench.structures import Prediction
from roibench.weights import WeightsHeader, save_weights

FIELDS = list(installed().fields.values())
runner = CliRunner()


def test_list_names_what_is_registered_and_what_failed(third_party):
    output = runner.invoke(cli.app, ["list"]).output
    for word in (
        "faster_rcnn",
        "scenes",
        "coco_ap",
        "VOC07_AP50",
        "focal_loss",
        "squares",
        "onnx:best.onnx",
        "plugin 'broken_import' failed",
    ):
        assert word in output


def test_doctor_says_what_was_built_and_found():
    result = runner.invoke(cli.app, ["doctor"])
    assert result.exit_code == 0
    for word in ("extension", "SIMD level", "CUDA", "plugin two_stage", "weights", "extra onnx", "ROIBENCH_DATA"):
        assert word in result.output


def test_schema_describes_a_record():
    schema = json.loads(runner.invoke(cli.app, ["schema"]).output)
    assert schema["discriminator"]["propertyName"] == "status"
    ran, failed = (schema["$defs"][name] for name in ("Ok", "Failed"))
    assert {"cell", "scores", "latency", "stages", "memory", "cost", "interference", "provenance"} <= set(
        ran["properties"]
    )
    assert "error" in failed["required"] and "scores" not in failed["properties"]
    assert "milliseconds per image" in schema["$defs"]["Latency"]["description"].lower()


def test_predict_draws_and_writes_every_image(tmp_path):
    rng = np.random.default_rng(0)
    names = ["one.png", "two.png"]
    for name in names:
        Image.fromarray(rng.integers(0, 256, (90, 120, 3), dtype=np.uint8)).save(tmp_path / name)
    arguments = ["predict", "faster_rcnn", *(str(tmp_path / name) for name in names), "--out", str(tmp_path / "out")]
    result = runner.invoke(cli.app, arguments, catch_exceptions=False)
    assert result.exit_code == 0
    lines = [json.loads(line) for line in (tmp_path / "out" / "predictions.jsonl").read_text().splitlines()]
    assert [line["image"] for line in lines] == [str(tmp_path / name) for name in names]
    assert all((tmp_path / "out" / name).exists() for name in names)


def test_predict_writes_a_semantic_map_as_labels_beside_its_drawing(tmp_path):
    Image.new("RGB", (40, 30)).save(tmp_path / "one.png")
    spec, data = installed().models["fcn"], Scenes("val")
    untrained = build_model(spec, data.info)
    header = WeightsHeader(
        model="fcn",
        dataset="scenes",
        data_hash=data.hash,
        classes=data.info.classes,
        config=dict(spec.config),
        recipe={},
        seed=0,
        precision="float32",
        threads=1,
        roibench="0",
        torch="0",
        final_losses={},
    )
    save_weights(tmp_path / "weights.safetensors", untrained.state_dict(), header)
    arguments = ["predict", "fcn", str(tmp_path / "one.png"), "--out", str(tmp_path / "out")]
    arguments += ["--weights", str(tmp_path / "weights.safetensors")]
    result = runner.invoke(cli.app, arguments, catch_exceptions=False)
    assert result.exit_code == 0
    labels = np.array(Image.open(tmp_path / "out" / "maps" / "one.png"))
    assert labels.dtype == np.uint8 and labels.shape == (30, 40)
    [line] = map(json.loads, (tmp_path / "out" / "predictions.jsonl").read_text().splitlines())
    names = ("background", *CLASSES)
    assert {one["label"] for one in line["pixels"]} == {names[value] for value in np.unique(labels)}
    assert sum(one["share"] for one in line["pixels"]) == pytest.approx(1, abs=1e-3)
    assert Image.open(tmp_path / "out" / "one.png").height > 30 * 16


def test_the_best_classes_of_an_image_are_described():
    scores = torch.tensor([0.04, 0.5, 0.03, 0.3, 0.01, 0.12])
    found, words = describe(Prediction(class_scores=scores), FIELDS, tuple("abcdef"), 0.9)
    assert [entry["label"] for entry in found["classes"]] == ["b", "d", "f", "a", "c"]
    assert found["classes"][0]["score"] == 0.5 and list(found) == ["classes"]
    assert words == "b 0.50"


def test_boxes_are_described_without_what_a_task_does_not_ask_for():
    box = torch.tensor([[1.0, 2, 3, 4]])
    assert describe(Prediction(boxes=box), FIELDS, ("a",), 0.5) == ({"objects": [{"box": [1, 2, 3, 4]}]}, "1 objects")
    found, _ = describe(Prediction(boxes=box.repeat(2, 1), scores=torch.tensor([0.9, 0.2])), FIELDS, ("a",), 0.5)
    assert found == {"objects": [{"score": 0.9, "box": [1, 2, 3, 4]}]}


def test_convert_writes_a_split_that_coco_tools_read(tmp_path):
    result = runner.invoke(cli.app, ["convert", "scenes@train", "coco", str(tmp_path), "--images", "2"])
    assert result.exit_code == 0
    file = tmp_path / "annotations" / "instances_train.json"
    assert f"wrote {file}: 2 images" in result.output.replace("\n", "")
    assert len(json.loads(file.read_text())["images"]) == len(list((tmp_path / "train").glob("*.png"))) == 2


def test_images_are_read_as_rgb_and_turned_as_their_exif_says(tmp_path):
    image = Image.new("L", (4, 2), 7)
    exif = image.getexif()
    exif[0x0112] = 6
    image.save(tmp_path / "turned.jpg", exif=exif)
    pixels = read_image(tmp_path / "turned.jpg")
    assert pixels.shape == (3, 4, 2) and pixels.dtype == torch.uint8


def test_predict_draws_where_the_relevance_is(tmp_path, third_party):
    picture = np.full((40, 48, 3), 90, np.uint8)
    picture[20, 30] = 255
    Image.fromarray(picture).save(tmp_path / "dot.png")
    arguments = [
        "predict",
        "points@works",
        str(tmp_path / "dot.png"),
        "--dataset",
        "squares",
        "--out",
        str(tmp_path / "out"),
    ]
    result = runner.invoke(cli.app, arguments)
    assert result.exit_code == 0, result.output
    assert "maximum at x 30.5, y 20.5" in result.output
    [line] = map(json.loads, (tmp_path / "out" / "predictions.jsonl").read_text().splitlines())
    assert line["attribution"] == {"maximum": [30.5, 20.5]}
    assert Image.open(tmp_path / "out" / "dot.png").width >= 600


def test_a_gallery_of_no_run_and_of_no_images_is_refused(tmp_path):
    for images, words in (("1,x", "want whole numbers"), ("0", "no run's folder")):
        result = runner.invoke(cli.app, ["gallery", str(tmp_path), "--images", images])
        assert result.exit_code == 1 and words in str(result.exception)
