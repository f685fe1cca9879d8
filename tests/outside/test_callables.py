"""Any callable: images in, boxes, scores and labels out."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from planned_cells import measured
from torch import nn

import roibench
from roibench.assemble import ready_model
from roibench.dataset import DatasetInfo
from roibench.measure.plan import Options, make_plan
from roibench.outside.callables import build
from roibench.registry import installed
from roibench.structures import Input

INFO = DatasetInfo("farm", "val", ("cow", "cat", "dog"))
CPU = torch.device("cpu")
IMAGES = [
    Input("a", torch.zeros(3, 20, 30, dtype=torch.uint8)),
    Input("b", torch.full((3, 9, 8), 7, dtype=torch.uint8)),
]


@pytest.fixture
def opened(tmp_path, monkeypatch):
    """The model of a file's text, in the folder where the command runs."""
    monkeypatch.chdir(tmp_path)
    count = iter(range(99))

    def write(text, name="detect", info=INFO):
        file = tmp_path / f"mine{next(count)}.py"
        file.write_text("import numpy as np\nimport roibench\n" + text)
        return ready_model(installed().model(f"python:{file.name}:{name}"), info, None, CPU)

    return write


def test_a_function_sees_rgb_arrays_and_its_labels_are_the_datasets(opened):
    model = opened(
        "def detect(images):\n"
        "    assert [i.shape for i in images] == [(20, 30, 3), (9, 8, 3)] and images[1].dtype == np.uint8\n"
        "    return [([[1, 2, 3, 4], [5, 6, 7, 8]], [0.2, 0.9], [0, 'dog']) for _ in images]\n"
    )
    for found in model.predict(IMAGES):
        assert found.boxes.tolist() == [[5, 6, 7, 8], [1, 2, 3, 4]] and found.labels.tolist() == [2, 0]
        assert found.boxes.dtype == found.scores.dtype == torch.float32 and found.labels.dtype == torch.int64


def test_wrap_names_classes_prepares_and_decodes(opened):
    model = opened(
        "detect = roibench.wrap(\n"
        "    lambda batch: batch.mean((1, 2, 3)), classes=['dogs', 'wolf', 'cow'],\n"
        "    prepare=lambda images: np.stack([np.resize(i, (4, 4, 3)) for i in images]),\n"
        "    decode=lambda means: [dict(boxes=[[0, 0, 1, 1]] * 3, scores=[1, 2, 3], labels=range(3)) for _ in means],\n"
        ")\n"
    )
    first, _ = model.predict(IMAGES)
    assert first.labels.tolist() == [0, 2]  # cow and dog; the wolf is nobody's
    assert model.stages == ("prepare", "function", "decode", "answer")


def test_classifiers_and_maps(opened):
    model = opened(
        "classify = roibench.wrap(lambda images: [[0.5, 0.2, 0.3]] * 2, classes=['cats', 'Cat', 'ox'],\n"
        "                         task='classification')\n"
        "paint = roibench.wrap(lambda images: [np.full(i.shape[:2], 1) for i in images], classes=['ox', 'dog'],\n"
        "                      task='semantic_segmentation')\n",
        "classify",
    )
    first, _ = model.predict(IMAGES)
    assert first.class_scores.tolist() == pytest.approx([0, 0.7, 0])
    spec = installed().model("python:mine0.py:paint")
    assert spec.tasks == ("semantic_segmentation",)
    first, second = ready_model(spec, INFO, None, CPU).predict(IMAGES)
    assert (first.semantic_map == 3).all() and second.semantic_map.shape == (9, 8)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("    return []", "gave 0 answers for 2 images"),
        ("    return [None, None]", r"want \(boxes, scores, labels\) of each image, got a NoneType"),
        ("    return [([[0, 0, 1, 1]], [0.5, 0.4], [1])] * 2", "got 1 boxes, 2 scores, 1 labels; want equally many"),
        ("    return [([[0, 0, 1, 1]], [0.5], [3])] * 2", "the model gave label 3; it has 3 classes"),
        (
            "    return [([[0, 0, 1, 1]], [0.5], ['ox'])] * 2",
            "gave label 'ox', which is none of its classes: cow, cat, dog",
        ),
    ],
)
def test_answers_that_are_none(opened, text, words):
    model = opened(f"def detect(images):\n{text}\n")
    with pytest.raises(ValueError, match=words):
        model.predict(IMAGES)


@pytest.mark.parametrize(
    ("typed", "words"),
    [
        ("mine.py", "'mine.py': want MODULE:NAME or FILE.py:NAME"),
        ("none.py:detect", "can't be imported: FileNotFoundError: no file"),
        ("no_such_module_here:detect", "can't be imported: ModuleNotFoundError: No module named 'no_such_module_here'"),
        ("mine.py:other", "there is no other in mine.py; callables there: detect"),
        ("mine.py:NUMBER", "want a callable, got a int"),
        ("torn.py:detect", "can't be imported: ZeroDivisionError"),
    ],
)
def test_what_is_no_callable_is_refused_in_a_line(tmp_path, monkeypatch, typed, words):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "mine.py").write_text("NUMBER = 3\n\ndef detect(images): ...\n")
    (tmp_path / "torn.py").write_text("1 / 0\n")
    with pytest.raises(ValueError) as caught:
        installed().model(f"python:{typed}")
    assert words in str(caught.value) and "\n" not in str(caught.value)


def test_a_module_of_where_the_command_runs_is_found(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "my_own_detector.py").write_text("def detect(images): ...\n")
    spec = installed().model("python:my_own_detector:detect")
    assert spec.name == "python:my_own_detector:detect" and spec.outside.files == (tmp_path / "my_own_detector.py",)


def test_wrap_refuses_what_it_cannot_wrap():
    with pytest.raises(TypeError, match="want a callable, got a int"):
        roibench.wrap(3)
    with pytest.raises(ValueError, match="want names, or one of coco, coco91, voc, imagenet, got 'cocoa'"):
        roibench.wrap(len, classes="cocoa")
    assert len(roibench.wrap(len, classes="coco").classes) == 80


def test_a_network_is_placed_and_evaluated_and_another_callable_stays_on_the_cpu(opened):
    class Net(nn.Module):
        def forward(self, images):
            return [(np.zeros((0, 4)), [], []) for _ in images]

    model = opened("def detect(images): ...\n")
    with pytest.raises(ValueError, match="can't be placed on cuda: want --device cpu"):
        model.place(torch.device("cuda"))
    network = Net().train()
    model.wrapped = replace(model.wrapped, function=network)
    model.place(CPU)
    assert not network.training and len(model.predict(IMAGES)[0].boxes) == 0


def test_a_run_scores_it_as_any_other(third_party, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "finder.py").write_text(
        "import numpy as np\n"
        "import roibench\n\n"
        "def find(images):\n"
        "    for image in images:\n"
        "        ys, xs = np.nonzero(image[..., 0] > 250)\n"
        "        yield [[xs.min(), ys.min(), xs.max() + 1, ys.max() + 1]], [0.9], ['Squares']\n\n"
        "finder = roibench.wrap(find, classes=('Squares', 'circle'))\n"
    )
    plan = make_plan(Options(models=("python:finder.py:finder",), datasets=("squares",), threads=(1,)), third_party)
    record = measured(plan.cells[0], tmp_path, third_party)
    assert record.status == "ok", record.error
    assert record.scores["detection"].values["coco_ap/AP"].value == pytest.approx(1)
    assert record.cell.outside.classes == {"Squares": "square", "circle": None} and record.is_scored
    assert {stage.name for stage in record.stages} >= {"prepare", "function", "decode", "answer"}


def test_the_same_file_builds_in_another_process(tmp_path):
    (tmp_path / "mine.py").write_text("def detect(images):\n    return [([], [], [])] * len(images)\n")
    model = build(INFO, {"code": "mine.py:detect", "folder": str(tmp_path), "classes": None})
    assert [len(one.boxes) for one in model.predict(IMAGES)] == [0, 0]
