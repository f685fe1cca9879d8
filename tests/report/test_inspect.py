"""The images that cost most, as a list and a picture."""

import re
from dataclasses import replace

import numpy as np
import pytest
import torch
from PIL import Image
from typer.testing import CliRunner

from roibench import cli
from roibench.datasets.reference import open_dataset
from roibench.files import file_hash
from roibench.measure.journal import Journal
from roibench.measure.predictions import save_predictions
from roibench.report.beside import asked_beside, worst_mistake
from roibench.report.gallery import WIDTH
from roibench.report.inspect import inspect_run, write_inspection
from roibench.structures import Prediction
from roibench.task import Mistakes


@pytest.fixture
def run(tmp_path, record, third_party):
    """The folder of a run on `squares` whose fourth image is missed, and the eighth found too far to the right."""
    found = []
    for index in range(12):
        box = torch.tensor([[float(index), 8, index + 16, 24]])
        found.append(Prediction(box, torch.tensor([0.9]), torch.zeros(1, dtype=torch.int64)))
    found[3] = replace(found[3], boxes=found[3].boxes + 15)
    found[7] = replace(found[7], boxes=found[7].boxes + torch.tensor([3.0, 0, 3, 0]))
    journal = Journal.open(tmp_path / "runs", "key")
    path = journal.folder / "predictions" / "all.npz"
    save_predictions(path, [f"square-{i}" for i in range(12)], found)
    kept = {"predictions": "predictions/all.npz", "predictions_sha256": file_hash(path)}
    for model in ("first", "second"):
        journal.add(record(model, dataset="squares", dataset_hash="0" * 64, images=12).model_copy(update=kept))
    journal.close()
    return journal.folder


def test_the_worst_image_stands_first_and_those_that_are_right_not_at_all(run, third_party):
    found = inspect_run(run, 10, third_party)
    assert [(one.index, one.id) for one in found.worst] == [(3, "square-3"), (7, "square-7")]
    assert found.worst[0].cost > found.worst[1].cost > 0
    assert found.record.cell.model == "first" and found.line(found.worst[0]).startswith("AP ")
    assert len(inspect_run(run, 1, third_party).worst) == 1
    assert inspect_run(run, 1, third_party, "second").record.cell.model == "second"


def test_a_row_per_image_has_its_name_the_ground_truth_and_the_prediction(run, third_party, tmp_path):
    one = Image.open(write_inspection(inspect_run(run, 1, third_party), tmp_path / "one.png", third_party))
    two = Image.open(write_inspection(inspect_run(run, 2, third_party), tmp_path / "two.png", third_party))
    assert one.width == two.width > 3 * WIDTH
    assert two.height - one.height == pytest.approx(WIDTH * 40 / 48, abs=20)
    note = one.crop((0, 40, WIDTH, one.height)).convert("L")
    assert note.getextrema()[0] < 128, "there is text"


def test_what_is_wrong_is_counted_and_named_on_the_picture(run, third_party, tmp_path):
    far, near = inspect_run(run, 2, third_party).worst
    assert far.mistakes == (("background",), (True,)) and far.counts == ["1 background", "1 missed"]
    assert near.mistakes == ((None,), (False,)) and near.counts == []
    unsure = replace(far, found=replace(far.found, scores=torch.tensor([0.1])))
    assert unsure.counts == ["1 missed"], "what isn't drawn isn't counted"
    found = inspect_run(run, 1, third_party)
    right = replace(found, worst=(replace(far, mistakes=Mistakes((None,), (False,))),))
    marked, plain = (Image.open(write_inspection(one, tmp_path / "x.png", third_party)) for one in (found, right))
    pixels = np.asarray(marked)[40:] != np.asarray(plain)[40:]
    columns = [pixels[:, 6 + i * (WIDTH + 6) :][:, :WIDTH].any() for i in range(3)]
    assert columns == [True, True, True], "in the note, beside what was missed, behind the score"


def at(index, label, *, score):
    box = torch.tensor([[10.0 * index, 0, 10 * index + 8, 8]])
    return Prediction(box, torch.tensor([score]), torch.tensor([label]))


def together(*found):
    return Prediction(*(torch.cat([getattr(one, name) for one in found]) for name in ("boxes", "scores", "labels")))


def test_a_model_beside_is_asked_about_a_false_positive_that_a_question_about_its_class_is_about():
    found = together(at(0, 1, score=0.9), at(1, 1, score=0.8), at(2, 2, score=0.7), at(3, 2, score=0.6))
    true = together(at(0, 1, score=1.0), at(5, 3, score=1.0))
    second = worst_mistake(found, Mistakes((None, "class", "background", "both"), (False, True)), true)
    assert second.scores.tolist() == pytest.approx([0.7]) and second.get("mistakes") == ("background",)
    first = worst_mistake(found, Mistakes((None, "class", None, "both"), (False, True)), true)
    assert first.scores.tolist() == pytest.approx([0.8]), "none is the best of its class"
    missed = worst_mistake(found, Mistakes((None,) * 4, (False, True)), true)
    assert missed.labels.tolist() == [3] and missed.get("mistakes") == ("missed",)
    assert worst_mistake(found, Mistakes((None,) * 4, (False, False)), true) is None
    assert worst_mistake(found, None, true) is None


@pytest.fixture
def asked(run, record):
    """The run, and a cell of a model that is registered."""
    journal = Journal(run)
    kept = {"predictions": "predictions/all.npz", "predictions_sha256": file_hash(run / "predictions/all.npz")}
    journal.add(record("works", dataset="squares", dataset_hash="0" * 64, images=12).model_copy(update=kept))
    journal.close()
    return run


def test_a_model_around_the_inspected_one_is_drawn_beside_it(asked, third_party, tmp_path):
    found = inspect_run(asked, 2, third_party, "works")
    alone = Image.open(write_inspection(found, tmp_path / "alone.png", third_party))
    beside = Image.open(write_inspection(found, tmp_path / "beside.png", third_party, ["points"]))
    assert beside.width == alone.width + WIDTH + 6
    column = np.asarray(beside)[alone.height // 2 :, -WIDTH:-6].astype(int)
    assert (np.ptp(column, axis=2) > 40).any(), "there is relevance"


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("pionts", "no wrapper matches 'pionts'; did you mean 'points'"),
        ("works", "model 'works' goes around no other"),
        ("pixels", "model 'pixels@works' gives features, which isn't drawn"),
        ("grad_cam", "model 'grad_cam@works': GradCAM goes around a model that is Explainable; FindsWhite lacks"),
    ],
)
def test_a_model_that_can_not_stand_beside_is_refused(asked, third_party, tmp_path, name, words):
    found = inspect_run(asked, 1, third_party, "works")
    with pytest.raises(ValueError, match=re.escape(words)):
        write_inspection(found, tmp_path / "x.png", third_party, [name])


def test_a_query_is_the_class_of_the_mistake_or_what_is_predicted(asked, third_party, monkeypatch):
    seen = []

    class Asked:
        def predict(self, inputs):
            seen.extend(one.query for one in inputs)
            return [Prediction(extra={"attribution": torch.zeros(40, 48)}) for _ in inputs]

    monkeypatch.setattr("roibench.report.beside.recorded_model", lambda *_, around: Asked())
    found = inspect_run(asked, 2, third_party, "works")
    data = open_dataset("squares", third_party)
    samples = [data[one.index] for one in found.worst]
    arguments = ("points", found.record, data, samples, [one.found for one in found.worst])
    mistake = at(0, 0, score=0.5)
    first, second = asked_beside(*arguments, [mistake, None], third_party)
    assert seen == [0, 0] and torch.equal(first.boxes, mistake.boxes) and second.boxes is None
    nothing = together(at(0, 0, score=0.5))
    nothing = replace(nothing, boxes=nothing.boxes[:0], scores=nothing.scores[:0], labels=nothing.labels[:0])
    asked_beside(*arguments[:4], [nothing] * 2, [None, None], third_party)
    assert seen[2:] == [None, None]


def test_weights_that_have_changed_are_not_asked(asked, third_party, tmp_path):
    found = inspect_run(asked, 1, third_party, "works")
    file = tmp_path / "other.safetensors"
    file.write_bytes(b"other")
    cell = found.record.cell.model_copy(update={"weights": str(file), "weights_hash": "0" * 64})
    changed = replace(found, record=found.record.model_copy(update={"cell": cell}))
    with pytest.raises(ValueError, match="have changed since works-squares"):
        write_inspection(changed, tmp_path / "x.png", third_party, ["points"])


def test_what_can_not_be_inspected_is_refused_in_words(run, third_party):
    with pytest.raises(ValueError, match="--cell: no cell matches 'frist'; did you mean 'first'"):
        inspect_run(run, 10, third_party, "frist")
    with pytest.raises(ValueError, match="--worst 0: want 1 or more"):
        inspect_run(run, 0, third_party)


def test_the_command_lists_and_draws(run):
    result = CliRunner().invoke(cli.app, ["inspect", str(run), "--worst", "2"], catch_exceptions=False)
    lines = result.output.splitlines()
    assert lines[1].startswith("square-3: AP ") and lines[1].endswith("%; 1 background, 1 missed")
    assert lines[2].startswith("square-7: AP ") and lines[2].endswith("%")
    [picture] = run.glob("worst-first-*.png")
    assert lines[3] == f"wrote {picture}"


def test_the_command_draws_a_model_beside(asked):
    typed = ["inspect", str(asked), "--worst", "1", "--cell", "works", "--beside", "points, points"]
    assert CliRunner().invoke(cli.app, typed, catch_exceptions=False).exit_code == 0
    [picture] = asked.glob("worst-works-*.png")
    assert Image.open(picture).width == 6 + 4 * (WIDTH + 6)
