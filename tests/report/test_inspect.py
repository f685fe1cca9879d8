"""The images that cost most, as a list and a picture."""

from dataclasses import replace

import pytest
import torch
from PIL import Image
from typer.testing import CliRunner

from roibench import cli
from roibench.files import file_hash
from roibench.measure.journal import Journal
from roibench.measure.predictions import save_predictions
from roibench.report.gallery import WIDTH
from roibench.report.inspect import inspect_run, write_inspection
from roibench.structures import Prediction


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
    one = Image.open(write_inspection(inspect_run(run, 1, third_party), run, tmp_path / "one.png", third_party))
    two = Image.open(write_inspection(inspect_run(run, 2, third_party), run, tmp_path / "two.png", third_party))
    assert one.width == two.width > 3 * WIDTH
    assert two.height - one.height == pytest.approx(WIDTH * 40 / 48, abs=20)
    note = one.crop((0, 40, WIDTH, one.height)).convert("L")
    assert note.getextrema()[0] < 128, "there is text"


def test_what_can_not_be_inspected_is_refused_in_words(run, third_party):
    with pytest.raises(ValueError, match="--cell: no cell matches 'frist'; did you mean 'first'"):
        inspect_run(run, 10, third_party, "frist")
    with pytest.raises(ValueError, match="--worst 0: want 1 or more"):
        inspect_run(run, 0, third_party)


def test_the_command_lists_and_draws(run):
    result = CliRunner().invoke(cli.app, ["inspect", str(run), "--worst", "2"], catch_exceptions=False)
    lines = result.output.splitlines()
    assert lines[1].startswith("square-3: AP ") and lines[2].startswith("square-7: AP ")
    [picture] = run.glob("worst-first-*.png")
    assert lines[3] == f"wrote {picture}"
