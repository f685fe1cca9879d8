"""Each layout of exported detectors: the same boxes come back, guessed from the graph or named by the sidecar."""

import numpy as np
import pytest
import torch
import yaml
from onnx_graphs import constant_graph, mean_graph

from roibench.assemble import ready_model
from roibench.dataset import DatasetInfo
from roibench.registry import installed
from roibench.structures import Input

CLASSES = ("cat", "dog", "cow")
INFO = DatasetInfo("farm", "val", ("cow", "cat", "dog"))
CPU = torch.device("cpu")
H, W = 64, 96
# In pixels of the input, which is the image's own size; the second is a worse copy of the first.
BOXES = np.array([[10, 20, 40, 60], [11, 20, 40, 60], [50, 5, 90, 30]], np.float32)
CENTRES = np.concatenate([(BOXES[:, :2] + BOXES[:, 2:]) / 2, BOXES[:, 2:] - BOXES[:, :2]], 1)
SIDES = np.array([W, H, W, H], np.float32)
SCORES = np.array([[0.9, 0.0, 0.1], [0.7, 0.0, 0.0], [0.1, 0.0, 0.8]], np.float32)  # cat, cat again, cow
MANY = 1200


def padded(rows: np.ndarray) -> np.ndarray:
    """As many rows as a network gives before suppression."""
    return np.concatenate([rows, np.zeros((MANY - len(rows), rows.shape[1]), np.float32)])


def logits(scores: np.ndarray) -> np.ndarray:
    return np.log(np.clip(scores, 1e-4, 1) / np.clip(1 - scores, 1e-4, 1)).astype(np.float32)


def softmax_logits(scores: np.ndarray) -> np.ndarray:
    nothing = 1 - scores.sum(1, keepdims=True)
    return np.log(np.clip(np.concatenate([scores, nothing], 1), 1e-6, 1)).astype(np.float32)


YOLO = padded(np.concatenate([CENTRES, SCORES], 1))
OLD_YOLO = padded(np.concatenate([CENTRES, np.full((3, 1), 1, np.float32), SCORES], 1))
AFTER_NMS = np.array([[*BOXES[0], 0.9, 0], [*BOXES[2], 0.8, 2], [0, 0, 0, 0, 0, 0]], np.float32)
END_TO_END = np.array([[0, *BOXES[0], 0, 0.9], [0, *BOXES[2], 2, 0.8]], np.float32)
WITH_BACKGROUND = np.concatenate([1 - SCORES.sum(1, keepdims=True), SCORES], 1).astype(np.float32)
LABELS = np.array([0, 2])
TWO = BOXES[[0, 2]]

LAYOUTS = {
    "yolo": ({"output0": YOLO.T[None]}, {}),
    "yolo, a box per row": ({"output0": YOLO[None]}, {}),
    "yolo-objectness": ({"output": OLD_YOLO[None]}, {}),
    "yolo-nms": ({"output0": AFTER_NMS[None]}, {}),
    "yolo-nms, end to end": ({"output": END_TO_END}, {}),
    "detr, softmax": ({"logits": softmax_logits(SCORES)[None], "pred_boxes": (CENTRES / SIDES)[None]}, {"nms": True}),
    "detr, sigmoid": ({"pred_boxes": (CENTRES / SIDES)[None], "logits": logits(SCORES)[None]}, {"nms": True}),
    "ssd": ({"scores": padded(WITH_BACKGROUND)[None], "boxes": padded(BOXES / SIDES)[None]}, {}),
    "ssd, no background": ({"scores": padded(SCORES)[None], "boxes": padded(BOXES / SIDES)[None]}, {}),
    "torchvision": ({"boxes": TWO, "labels": LABELS, "scores": np.array([0.9, 0.8], np.float32)}, {}),
    "torchvision, as RT-DETR": (
        {"labels": LABELS[None], "boxes": TWO[None], "scores": np.array([[0.9, 0.8]], np.float32)},
        {},
    ),
}


def predicted(file, size=(H, W)):
    spec = installed().model(f"onnx:{file}")
    model = ready_model(spec, INFO, None, CPU)
    [found] = model.predict([Input("one", torch.zeros(3, *size, dtype=torch.uint8))])
    return found, spec


def check(found, scale=1.0):
    """A cat, 1 of the dataset's classes, and a cow, its first."""
    order = found.scores.argsort(descending=True)[:2]
    np.testing.assert_allclose(found.boxes[order] / scale, BOXES[[0, 2]], atol=0.1)
    assert found.labels[order].tolist() == [1, 0]
    np.testing.assert_allclose(found.scores[order], [0.9, 0.8], atol=0.01)


@pytest.mark.parametrize("name", LAYOUTS)
def test_boxes_come_back_from_each_layout(name, tmp_path):
    outputs, more = LAYOUTS[name]
    file = constant_graph(tmp_path / "net.onnx", outputs)
    sidecar = tmp_path / "net.onnx.yaml"
    sidecar.write_text(yaml.safe_dump({"classes": list(CLASSES), "iou_threshold": 0.5, "score_threshold": 0.5} | more))
    found, spec = predicted(file)
    check(found)
    assert len(found.boxes) == 2  # the copy is suppressed, or was never there
    layout = name.partition(",")[0]
    [remark] = spec.outside.remarks
    assert f"layout {layout} (outputs " in remark and spec.outside.settings["layout"] == layout
    sidecar.write_text(yaml.safe_dump({"classes": list(CLASSES), "layout": layout, "size": [H, W]} | more))
    found, spec = predicted(file)
    check(found)
    assert "layout" not in " ".join(spec.outside.remarks)


@pytest.mark.parametrize(("resize", "size"), [("letterbox", (2 * H, 2 * W)), ("stretch", (2 * H, 2 * W))])
def test_boxes_are_in_pixels_of_the_image_as_given(resize, size, tmp_path):
    file = constant_graph(tmp_path / "net.onnx", {"output0": YOLO.T[None]})
    (tmp_path / "net.onnx.yaml").write_text(yaml.safe_dump({"classes": list(CLASSES), "resize": resize}))
    check(predicted(file, size)[0], scale=2)


def test_a_letterboxed_image_is_taken_out_of_its_padding(tmp_path):
    file = constant_graph(tmp_path / "net.onnx", {"output0": YOLO.T[None]}, size=(96, 96))
    (tmp_path / "net.onnx.yaml").write_text(yaml.safe_dump({"classes": list(CLASSES)}))
    found, _ = predicted(file, (64, 96))  # 16 rows of padding above it
    assert found.boxes[0].tolist() == pytest.approx([10, 4, 40, 44], abs=0.1)


def test_grid_formulas_are_fastestdets_unless_the_sidecar_names_others(tmp_path):
    maps = np.zeros((1, 8, 4, 6), np.float32)  # locations of 16 pixels
    maps[0, :, 1, 2] = [0.9, np.arctanh(0.5), 0, 0, 0, 0.1, 0.2, 0.8]
    file = constant_graph(tmp_path / "net.onnx", {"758": maps})
    sidecar = tmp_path / "net.onnx.yaml"
    sidecar.write_text(yaml.safe_dump({"classes": list(CLASSES)}))
    found, _ = predicted(file)
    x, y = (2 + 0.5) / 6 * W, 1 / 4 * H
    expected = [x - W / 4, y - H / 4, x + W / 4, y + H / 4]  # sigmoid(0) of each side
    assert found.boxes[0].tolist() == pytest.approx([max(0, expected[0]), *expected[1:]], abs=0.01)
    assert found.scores[0].item() == pytest.approx(0.9**0.6 * 0.8**0.4) and found.labels[0] == 0
    how = {"centre": "none", "extent": "exp", "unit": "location", "objectness_power": 1, "class_power": 1}
    sidecar.write_text(yaml.safe_dump({"classes": list(CLASSES), "grid": how}))
    found, _ = predicted(file)
    x = (2 + np.arctanh(0.5)) * 16
    assert found.boxes[0].tolist() == pytest.approx([x - 8, 8, x + 8, 24], abs=0.01)
    assert found.scores[0].item() == pytest.approx(0.72)


def test_names_and_size_of_an_exporter_are_read_from_its_metadata(tmp_path):
    meta = {"names": "{0: 'cat', 1: 'dog', 2: 'cow'}", "imgsz": "[64, 96]"}
    file = constant_graph(tmp_path / "net.onnx", {"output0": YOLO.T[None]}, size=("h", "w"), metadata=meta)
    found, spec = predicted(file)
    check(found)
    assert spec.outside.classes == CLASSES and "size 64 x 96" in spec.outside.remarks[0]


def test_a_classifier_is_one_and_takes_whole_batches(tmp_path):
    file = mean_graph(tmp_path / "net.onnx")
    (tmp_path / "net.onnx.yaml").write_text(yaml.safe_dump({"classes": list(CLASSES), "resize": "stretch"}))
    spec = installed().model(f"onnx:{file}")
    assert spec.tasks == ("classification",)
    model = ready_model(spec, INFO, None, CPU)
    colours = torch.tensor([[255, 0, 0], [0, 255, 0], [0, 0, 255]], dtype=torch.uint8)
    found = model.predict([Input(f"{i}", colour[:, None, None].expand(3, 9, 7)) for i, colour in enumerate(colours)])
    assert [one.class_scores.argmax().item() for one in found] == [1, 2, 0]  # red is a cat, the dataset's second


def test_ten_lines_of_python_decode_what_no_layout_fits(tmp_path):
    file = constant_graph(
        tmp_path / "net.onnx", {"a": BOXES[:, ::-1].copy(), "b": SCORES.max(1), "c": np.array([0, 0, 2])}
    )
    (tmp_path / "mine.py").write_text(
        "def decode(outputs, size):\n"
        "    assert size == (64, 96)\n"
        "    return outputs['a'][:, ::-1], outputs['b'], outputs['c']\n"
    )
    text = {"classes": list(CLASSES), "decode": "mine.py:decode", "nms": True, "iou_threshold": 0.5}
    (tmp_path / "net.onnx.yaml").write_text(yaml.safe_dump(text))
    found, spec = predicted(file)
    check(found)
    assert {file.name for file in spec.outside.files} == {"net.onnx", "net.onnx.yaml", "mine.py"}


def test_a_sidecar_may_be_opened_itself(tmp_path):
    (tmp_path / "models").mkdir()
    constant_graph(tmp_path / "models" / "net.onnx", {"output0": YOLO.T[None]})
    sidecar = tmp_path / "mine.yaml"
    sidecar.write_text(yaml.safe_dump({"file": "models/net.onnx", "classes": list(CLASSES), "name": "mine"}))
    found, spec = predicted(sidecar)
    check(found)
    assert spec.name == "onnx:mine"


def test_openvino_gives_the_same(tmp_path):
    pytest.importorskip("openvino", reason="the extra [openvino] isn't installed")
    meta = {"names": "{0: 'cat', 1: 'dog', 2: 'cow'}"}
    file = constant_graph(tmp_path / "net.onnx", {"output0": YOLO.T[None]}, metadata=meta)
    spec = installed().model(f"openvino:{file}")
    model = ready_model(spec, INFO, None, CPU)
    [found] = model.predict([Input("one", torch.zeros(3, H, W, dtype=torch.uint8))])
    check(found)
    assert spec.outside.settings["runtime"].startswith("openvino ")
