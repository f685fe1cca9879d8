"""SCHEME:REST: opened, named, mapped to the dataset's classes, hashed, and refused in a line."""

from dataclasses import replace

import pytest
import torch
from planned_cells import recorded

from roibench import sources
from roibench.measure.cell import CellError, prepare
from roibench.measure.plan import Options, PlanError, make_plan
from roibench.measure.record import CellSpec, FromOutside, Score
from roibench.measure.run import Run
from roibench.measure.score import with_missing
from roibench.registry import RegistrationError, Registry, UnknownNameError, installed
from roibench.report.markdown import render
from roibench.sources import Source
from roibench.specs import ModelSpec, Outside, SourceSpec
from roibench.structures import Target

SQUARE = """
import numpy as np

def detect(images):
    answers = []
    for image in images:
        ys, xs = np.nonzero(image[..., 0] > 250)
        answers.append(([[xs.min(), ys.min(), xs.max() + 1, ys.max() + 1]], [0.9], [{label!r}]))
    return answers

detect.classes = {classes}
"""


@pytest.fixture
def detector(tmp_path, monkeypatch):
    """A file that finds the third-party plugin's white squares, and calls them so."""
    monkeypatch.chdir(tmp_path)

    def write(classes=("square",), label="square", name="finder.py"):
        (tmp_path / name).write_text(SQUARE.format(classes=classes, label=label))
        return f"python:{name}:detect"

    return write


def test_a_source_is_what_has_a_scheme():
    assert Source.parse("onnx:a/b c.onnx") == Source("onnx", "a/b c.onnx")
    assert Source.parse("hf:org/model@main") == Source("hf", "org/model@main") == Source.inside("hf:org/model@main")
    assert Source.parse("faster_rcnn") is Source.parse("grad_cam@fcn") is Source.parse("faster*") is None
    assert Source.inside("grad_cam@onnx:a@b.onnx") == Source("onnx", "a@b.onnx")


def test_an_unknown_scheme_says_which_there_are():
    with pytest.raises(UnknownNameError, match="no source of models matches 'onx'; did you mean 'onnx'"):
        installed().model("onx:a.onnx")


def test_a_plan_maps_classes_pins_files_and_tells(third_party, detector, tmp_path):
    plan = make_plan(Options(models=(detector(("Squares", "circle"), "circle"),), datasets=("squares",)), third_party)
    [cell] = plan.cells
    assert (cell.spec.model, cell.spec.label) == ("python:finder.py:detect", "python:finder.py:detect")
    outside = cell.spec.outside
    assert outside.source == "python:finder.py:detect" and list(outside.files) == ["finder.py"]
    assert outside.classes == {"Squares": "square", "circle": None} and outside.missing == ()
    assert cell.id.startswith("python-finder.py-detect-squares-cpu-float32-")
    assert plan.remarks == [
        "python:finder.py:detect: 1 of the 1 classes of squares matched (1 by plural): Squares = square",
        "python:finder.py:detect: WARNING: 1 classes of the model are none of squares's: circle",
    ]


def test_another_file_or_class_map_is_another_cell(third_party, detector, tmp_path):
    typed = detector(("Squares", "circle"), "circle")
    (tmp_path / "map.yaml").write_text("circle: square\nSquares: null\n")
    options = Options(models=(typed,), datasets=("squares",))
    first = make_plan(options, third_party).cells[0]
    mapped = make_plan(options.model_copy(update={"class_map": tmp_path / "map.yaml"}), third_party)
    assert mapped.cells[0].spec.outside.classes == {"Squares": None, "circle": "square"}
    assert mapped.remarks == [
        "python:finder.py:detect: 1 of the 1 classes of squares matched (1 by --class-map): circle = square"
    ]
    (tmp_path / "finder.py").write_text((tmp_path / "finder.py").read_text() + "\n")
    changed = make_plan(options, third_party).cells[0]
    assert len({first.id, mapped.cells[0].id, changed.id}) == 3
    assert first.spec.weights_hash != changed.spec.weights_hash
    with pytest.raises(CellError, match=r"model python:finder.py:detect has changed since this run was planned"):
        prepare(first, third_party, lambda _: None)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("cirkle: square\n", "'cirkle': no class of the models matches 'cirkle'; did you mean 'circle'"),
        ("circle: squale\n", "'squale': no class of the dataset matches 'squale'; did you mean 'square'"),
    ],
)
def test_a_class_map_about_nobody_is_refused(third_party, detector, tmp_path, text, words):
    (tmp_path / "map.yaml").write_text(text)
    options = {"datasets": ("squares",), "class_map": tmp_path / "map.yaml"}
    with pytest.raises(ValueError, match=words):
        make_plan(Options(models=(detector(("square", "circle")),), **options), third_party)
    with pytest.raises(ValueError, match="no model of this run brings classes of its own"):
        make_plan(Options(models=("works",), **options), third_party)


def test_classes_that_images_show_and_the_model_lacks_are_a_doubt_about_its_score():
    score = Score(primary="coco_ap/AP", values={}, warnings=("something",))
    targets = [Target(labels=torch.tensor([0, 2])), Target(image_label=2), Target()]
    found = with_missing(score, ("dog", "cow"), ("cat", "dog", "cow"), targets)
    assert found.warnings[0] == "something" and found.warnings[1].endswith("count as missed: cow")
    assert with_missing(score, ("dog",), ("cat", "dog", "cow"), targets) == score


def test_nothing_in_common_is_refused_before_anything_runs(third_party, detector):
    typed = detector(("cat", "dog"))
    with pytest.raises(
        PlanError,
        match=r"model 'python:finder.py:detect', dataset 'squares': none of the model's 2 .*"
        r"\(cat, dog\) is one of the dataset's 1 \(square\)",
    ):
        make_plan(Options(models=(typed,), datasets=("squares",)), third_party)


def test_what_the_dataset_has_nothing_of_is_timed_alone(third_party, detector, tmp_path):
    (tmp_path / "map.yaml").write_text("cat: null\n")
    options = Options(
        models=(detector(("cat",), "cat"),),
        datasets=("squares",),
        class_map=tmp_path / "map.yaml",
        threads=(1,),
        budget_s=1,
    )
    run = Run(make_plan(options, third_party), tmp_path, third_party)
    record = recorded(run, run.plan.cells[0])
    assert record.status == "ok", record.error
    assert record.unscored == "other classes" and not record.is_scored
    assert "accuracy: other classes: by --class-map" in render([record])
    run.finish()


def test_two_models_of_one_name_are_refused(third_party, detector, tmp_path):
    (tmp_path / "other").mkdir()
    first, second = detector(), detector(name="other/finder.py")
    with pytest.raises(ValueError, match=f"{first} and {second} would both be called {first}: rename a file"):
        make_plan(Options(models=(first, second), datasets=("squares",)), third_party)
    assert len(make_plan(Options(models=(first, first), datasets=("squares",)), third_party).cells) == 1


def test_weights_are_not_chosen_beside(third_party, detector, tmp_path):
    options = Options(models=(detector(),), datasets=("squares",), weights=tmp_path / "other.safetensors")
    with pytest.raises(
        PlanError, match=r"--weights .*other.safetensors: model python:finder.py:detect is from outside"
    ):
        make_plan(options, third_party)


def test_a_source_that_gives_no_model_from_outside_is_its_plugins_fault(monkeypatch):
    registry = Registry()
    registry.add("mine", SourceSpec, SourceSpec("mine", "test_sources_mine:open", "mine", "mine:x"))
    given = {}
    monkeypatch.setattr("roibench.registry.resolve", lambda path: lambda rest: given[rest])
    spec = ModelSpec("mine:x", "outside", (), "a:b", None, outside=Outside("mine:x"))
    given |= {"none": None, "registered": replace(spec, outside=None), "idle": spec}
    for rest, words in {"none": "got NoneType", "registered": "want a ModelSpec with its", "idle": "tasks"}.items():
        with pytest.raises(RegistrationError, match=f"plugin 'mine', model mine:{rest}: .*{words}"):
            registry.model(f"mine:{rest}")


def test_a_scheme_is_checked_as_other_specs():
    with pytest.raises(RegistrationError, match="SourceSpec 'Mine': scheme: want lower-case letters and digits"):
        Registry().add("mine", SourceSpec, SourceSpec("Mine", "a:b", "", ""))


@pytest.mark.parametrize(
    ("typed", "words"),
    [
        ("hf:facebook/detr-resnet-50", r"needs the package transformers, .*: pip install 'roibench\[hf\]'"),
        ("timm:resnet18", r"needs the package timm, .*: pip install 'roibench\[timm\]'"),
        ("ultralytics:best.pt", r"needs the package ultralytics, .*: pip install ultralytics"),
    ],
)
def test_a_missing_extra_is_named(monkeypatch, typed, words):
    monkeypatch.setattr(sources.importlib.util, "find_spec", lambda package: None)
    with pytest.raises(sources.MissingExtraError, match=f"model {typed} {words}"):
        installed().model(typed)


def test_cells_of_before_there_were_models_from_outside_keep_their_names():
    spec = CellSpec(model="fcn", dataset="scenes", dataset_hash="0" * 64, threads=1)
    assert spec.id == "fcn-scenes-cpu-float32-1e21f695"
    other = spec.model_copy(update={"outside": FromOutside(source="onnx:a.onnx")})
    assert other.id != spec.id and other.typed_model == "onnx:a.onnx" and spec.typed_model == "fcn"


def test_nothing_of_torch_is_drawn_at_random_by_planning(third_party, detector):
    torch.manual_seed(3)
    before = torch.random.get_rng_state()
    make_plan(Options(models=(detector(),), datasets=("squares",)), third_party)
    assert torch.equal(torch.random.get_rng_state(), before)
