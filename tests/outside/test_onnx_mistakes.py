"""What is wrong with a file or its sidecar is said in a line, before anything runs."""

import numpy as np
import pytest
import torch
import yaml
from onnx_graphs import constant_graph

from roibench import sources
from roibench.assemble import ready_model
from roibench.dataset import DatasetInfo
from roibench.registry import installed
from roibench.structures import Input

THREE = ["cat", "dog", "cow"]
YOLO = np.zeros((1, 7, 1200), np.float32)  # of three classes
INFO = DatasetInfo("farm", "val", ("cow", "cat", "dog"))


def said(tmp_path, outputs, sidecar, scheme="onnx", **more) -> str:
    file = constant_graph(tmp_path / "net.onnx", outputs, **more)
    if sidecar is not None:
        (tmp_path / "net.onnx.yaml").write_text(sidecar if isinstance(sidecar, str) else yaml.safe_dump(sidecar))
    with pytest.raises(ValueError) as caught:
        installed().model(f"{scheme}:{file}")
    text = str(caught.value)
    assert text.startswith(f"model {scheme}:{file}: ") and "\n" not in text
    return text


@pytest.mark.parametrize(
    ("sidecar", "words"),
    [
        ({"classes": [*THREE, "ox"]}, "the output [1, 7, 1200] is of 3 classes; {file} or the exporter names 4"),
        (
            {"classes": THREE, "layout": "yolo-objectness"},
            "is of 2 classes; {file} or the exporter names 3, which takes 8",
        ),
        (None, "the names of its 3 classes aren't known: want `classes` in {file}"),
        ({"classes": THREE, "layout": "detr"}, "layout detr: want outputs for scores, boxes; the graph has output0"),
        ({"classes": THREE, "layout": "yolov5"}, "layout: Input should be 'yolo', 'yolo-objectness'"),
        ({"classes": THREE, "size": 32}, "size: the graph's input is [1, 3, 64, 96], want [64, 96], got [32, 32]"),
        (
            {"classes": THREE, "colour": "bgr"},
            "colour: Extra inputs are not permitted, got 'bgr'; known: name, file, size",
        ),
        ({"classes": THREE, "outputs": {"output": "x"}}, "outputs: the graph has no 'x'; it has output0"),
        (
            {"classes": THREE, "outputs": {"logits": "output0"}},
            "outputs: 'logits' is no part of layout yolo; want output",
        ),
        ({"classes": THREE, "std": [1, 0, 1]}, "std: want no zero, got [1.0, 0.0, 1.0]"),
        ({"classes": "names.txt"}, "classes: want a list, one of coco, coco91, voc, imagenet, or a text file:"),
        ({"classes": THREE, "decode": "mine.py:f"}, "'mine.py:f': can't be imported: FileNotFoundError: no file"),
        ({"decode": "mine.py:f"}, "decode: want `classes`, too"),
        ("classes: [cat\n", "net.onnx.yaml: can't be read: while parsing a flow sequence"),
    ],
)
def test_a_wrong_sidecar(tmp_path, sidecar, words):
    text = said(tmp_path, {"output0": YOLO}, sidecar)
    assert words.format(file=tmp_path / "net.onnx.yaml") in text


def test_outputs_that_are_no_layout_are_listed(tmp_path):
    text = said(tmp_path, {"a": np.zeros((1, 2, 3, 4, 5), np.float32)}, {"classes": THREE})
    assert "can't tell what the outputs are (a [1, 2, 3, 4, 5]): want `layout: yolo | yolo-objectness" in text


def test_a_graph_that_takes_no_photographs(tmp_path):
    assert "want 3 channels, got 1" in said(tmp_path, {"output0": YOLO}, {"classes": THREE}, channels=1)


def test_files_that_are_none(tmp_path):
    torn = tmp_path / "torn.onnx"
    torn.write_bytes(b"no graph")
    for name, words in {
        "torn.onnx": "torn.onnx: onnxruntime can't load it: ",
        "none.onnx": f"no file {tmp_path / 'none.onnx'}: want a model's file",
        "net.pt": "want a file .onnx or .ort, or a sidecar .yaml, got 'net.pt'",
    }.items():
        with pytest.raises(ValueError) as caught:
            installed().model(f"onnx:{tmp_path / name}")
        assert words in str(caught.value) and "\n" not in str(caught.value)


@pytest.mark.parametrize(("scheme", "extra"), [("onnx", "onnx"), ("openvino", "openvino")])
def test_a_runtime_that_is_missing_names_its_extra(tmp_path, monkeypatch, scheme, extra):
    monkeypatch.setattr(sources.importlib.util, "find_spec", lambda package: None)
    text = said(tmp_path, {"output0": YOLO}, {"classes": THREE}, scheme)
    assert f"which isn't installed: pip install 'roibench[{extra}]'" in text


def test_a_label_beyond_the_classes_names_both(tmp_path):
    rows = np.array([[[0, 0, 9, 9, 0.9, 7]]], np.float32)
    file = constant_graph(tmp_path / "net.onnx", {"output0": rows})
    (tmp_path / "net.onnx.yaml").write_text(yaml.safe_dump({"classes": THREE, "layout": "yolo-nms"}))
    model = ready_model(installed().model(f"onnx:{file}"), INFO, None, torch.device("cpu"))
    with pytest.raises(ValueError, match="the model gave label 7; it has 3 classes, 0 to 2"):
        model.predict([Input("one", torch.zeros(3, 9, 9, dtype=torch.uint8))])


def test_autocast_is_not_the_files(tmp_path):
    file = constant_graph(tmp_path / "net.onnx", {"output0": YOLO})
    (tmp_path / "net.onnx.yaml").write_text(yaml.safe_dump({"classes": THREE}))
    model = ready_model(installed().model(f"onnx:{file}"), INFO, None, torch.device("cpu"))
    with torch.autocast("cpu", torch.bfloat16), pytest.raises(ValueError, match="want --precision float32"):
        model.predict([Input("one", torch.zeros(3, 9, 9, dtype=torch.uint8))])
