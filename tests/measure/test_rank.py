"""Models ranked by the predictions that they kept."""

import dataclasses

import pytest
from planned_cells import recorded
from typer.testing import CliRunner

from roibench import cli
from roibench.files import file_hash
from roibench.measure.journal import Journal
from roibench.measure.plan import Options, make_plan
from roibench.measure.predictions import load_predictions, save_predictions
from roibench.measure.rank import rank_runs
from roibench.measure.recorded import recorded_cells
from roibench.measure.run import Run


@pytest.fixture
def runs(tmp_path, third_party):
    """A run of a model that is right, and one like it whose boxes of the last images are off by a little."""
    plan = make_plan(Options(models=("works",), datasets=("squares",), rounds=1), third_party)
    right = Run(plan, tmp_path / "right", third_party)
    record = recorded(right, plan.cells[0])
    ids, predictions = load_predictions(right.folder / record.predictions)
    shifted = [
        dataclasses.replace(one, boxes=one.boxes + (2.0 if index >= 6 else 0.0))
        for index, one in enumerate(predictions)
    ]
    wrong = Journal.open(tmp_path / "wrong", "by hand")
    path = wrong.folder / "predictions" / "shifted.npz"
    save_predictions(path, ids, shifted)
    kept = {"predictions": "predictions/shifted.npz", "predictions_sha256": file_hash(path)}
    wrong.add(record.model_copy(update=kept))
    return right.folder, wrong.folder


def test_the_best_leads_and_the_rest_says_how_far_it_is_behind(runs, third_party):
    [found] = rank_runs([runs[1], runs[0]], third_party)
    assert (found.dataset, found.task, found.primary, found.images) == ("squares", "detection", "coco_ap/AP", 12)
    best, other = found.entries
    assert best.value.value == pytest.approx(1.0) and best.behind is None
    assert other.behind.value == pytest.approx(other.value.value - 1.0)
    assert other.behind.low <= other.behind.value <= other.behind.high < 0


def test_what_was_measured_on_fewer_images_is_compared_over_these(runs, tmp_path, third_party):
    [wrong] = recorded_cells(runs[1])
    few = Journal.open(tmp_path / "few", "by hand")
    ids, predictions = load_predictions(runs[1] / wrong.predictions)
    path = few.folder / "predictions" / "few.npz"
    save_predictions(path, ids[:6], predictions[:6])
    kept = {"predictions": "predictions/few.npz", "predictions_sha256": file_hash(path)}
    few.add(wrong.model_copy(update={"images": 6} | kept))
    everything, first = rank_runs([*runs, few.folder], third_party)
    assert (everything.images, len(everything.entries)) == (12, 2)
    assert (first.images, [entry.value.value for entry in first.entries]) == (6, [pytest.approx(1.0)] * 3)


def test_predictions_that_are_not_the_records_are_refused(runs, third_party):
    path = runs[1] / "predictions" / "shifted.npz"
    path.write_bytes(path.read_bytes() + b"x")
    with pytest.raises(ValueError, match="are others than its record says"):
        rank_runs(runs, third_party)
    path.unlink()
    with pytest.raises(ValueError, match="were not kept"):
        rank_runs(runs, third_party)


def test_a_folder_without_a_run_is_refused(tmp_path, third_party):
    with pytest.raises(ValueError, match="no run's folder"):
        rank_runs([tmp_path], third_party)


def test_the_command_prints_differences(runs):
    output = CliRunner().invoke(cli.app, ["rank", *map(str, runs)], catch_exceptions=False).output
    assert "detection on squares, 12 images" in output
    assert "100.0" in output and "works" in output
