"""A cell goes through measure_in_turns, in a process of its own, as in a real run."""

import io
import json
import subprocess
import sys
from csv import DictReader
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from planned_cells import measured, planned_cell, recorded
from typer.testing import CliRunner

import roibench.suites
from roibench import cli
from roibench.files import file_hash
from roibench.measure.cell import PlannedCell
from roibench.measure.journal import Journal, read_lines, read_records
from roibench.measure.plan import Options, PlanError, make_plan
from roibench.measure.predictions import load_predictions
from roibench.measure.prefixes import prefix
from roibench.measure.record import RECORD
from roibench.measure.run import Run
from roibench.registry import installed


def cell(model: str, **changes) -> PlannedCell:
    return planned_cell(model, **{"rounds": 2} | changes)


@pytest.mark.usefixtures("third_party")
def test_a_cell_is_timed_and_scored_on_the_same_outputs(tmp_path):
    record = measured(cell("works", batch_size=5), tmp_path)
    assert record.status == "ok", record.error
    assert (record.images, record.rounds) == (12, 4)  # three batches: four rounds make the ten turns that are needed
    assert record.scores["detection"].values["coco_ap/AP"].value == pytest.approx(1.0)
    assert len(record.latency.samples) == 4 * 3  # batches of 5, 5 and 2
    turns = record.latency.turns
    assert len(turns.medians) == len(turns.reference) == 12 and turns.reference_cell == record.cell_id
    assert turns.noise_floor > 0 and record.latency.cpu > 0
    assert 0 < record.latency.p50.low <= record.latency.p50.value <= record.latency.p50.high
    assert record.latency.p50.value <= record.latency.p90 <= record.latency.p99
    assert record.stages[0].name == "find"
    assert sum(stage.share for stage in record.stages) == pytest.approx(1.0)
    assert 0 < record.memory.before <= record.memory.peak
    score = record.scores["detection"]
    assert (score.score_threshold, score.max_detections, score.warnings) == (0.05, 100, ())
    assert (
        record.cost.flops is None and record.cost.parameters is None
    )  # nothing that torch could count, or that it shows
    ids, predictions = load_predictions(tmp_path / record.predictions)
    assert file_hash(tmp_path / record.predictions) == record.predictions_sha256
    assert ids == [f"square-{i}" for i in range(12)]
    assert torch.equal(predictions[3].boxes, torch.tensor([[3.0, 8.0, 19.0, 24.0]]))
    assert file_hash(tmp_path / record.per_image) == record.per_image_sha256
    lines = list(DictReader(io.StringIO((tmp_path / record.per_image).read_text())))
    assert [(line["id"], float(line["coco_ap/AP"])) for line in lines] == [(id, pytest.approx(1)) for id in ids]
    assert all(float(line["coco_ap/AP cost"]) == pytest.approx(0) for line in lines)
    files = {one.name: tmp_path / one.file for one in record.artefacts}
    of_metrics = {name for name in files if name.startswith("detection: ")}
    assert {"detection: coco_ap: AP per class", "detection: operating_point: F1"} <= of_metrics
    assert files.keys() - of_metrics == {"first/image", "sums"}
    assert Image.open(files["first/image"]).size == (48, 40)
    assert np.load(files["sums"]).shape == (8,)
    assert all(file_hash(files[one.name]) == one.sha256 for one in record.artefacts)
    assert RECORD.validate_json(record.model_dump_json()) == record


@pytest.mark.usefixtures("third_party")
def test_a_model_that_is_too_slow_for_its_budget_is_measured_on_the_first_images(tmp_path):
    record = measured(cell("works", batch_size=5, budget_s=1e-6), tmp_path)
    assert (record.images, record.rounds) == (5, 10)
    ids, _ = load_predictions(tmp_path / record.predictions)
    assert ids == [f"square-{i}" for i in range(5)]


@pytest.mark.parametrize(
    ("affordable", "images"), [(0.001, 1), (1.9, 1), (4.99, 2), (5, 5), (19.6, 10), (99, 50), (100, 100), (499.9, 200)]
)
def test_a_slow_model_sees_a_round_number_of_images(affordable, images):
    assert prefix(affordable) == images


@pytest.mark.usefixtures("third_party")
def test_what_explains_a_model_is_asked_about_each_images_class_and_asks_it_again(tmp_path):
    record = measured(cell("points@works"), tmp_path)
    assert record.status == "ok", record.error
    values = {key.partition("/")[2]: value for key, value in record.scores["attribution"].values.items()}
    # Without its query the map would be empty, and without its images and its model nothing could be taken away.
    assert values["pointing"].value == values["energy"].value == values["MaxBoxAccV2"].value == 1
    # A square has 13.3 % of the pixels: while 0, 5 and 10 % are taken away, some of it is left to be found.
    assert values["insertion"].value > 0.8 and values["deletion"].value == pytest.approx(0.9 * 2.5 / 20)
    _, predictions = load_predictions(tmp_path / record.predictions)
    assert predictions[3].get("attribution").sum() == 16 * 16


@pytest.mark.usefixtures("third_party")
@pytest.mark.parametrize(
    ("model", "changes", "words"),
    [
        ("raises", {}, "ArithmeticError: no squares today"),
        ("hangs", {"timeout_s": 8.0}, "gave no answer within 8 s"),
        ("dies", {}, "died of SIGSEGV while warming up"),
        ("too_few", {}, "predict returned 0 predictions for 1 images; want one Prediction per Input"),
        ("undeclared_stage", {}, r"marks \['lose'\]"),
        ("works", {"dataset_hash": "1" * 64}, "has changed"),
        ("works", {"plugins_hash": "1" * 64}, "a plugin, or one of its files, has changed since this run was planned"),
    ],
)
def test_a_cell_that_fails_is_one_failed_record(tmp_path, capfd, model, changes, words):
    debug = model == "raises"
    record = measured(cell(model, **changes), tmp_path, debug=debug)
    assert ("Traceback" in capfd.readouterr().err) == debug
    assert record.status == "failed"
    with pytest.raises(RuntimeError, match=words):
        raise RuntimeError(record.error)


def test_the_other_cells_stand_and_a_second_run_begins_anew(tmp_path, third_party):
    plan = make_plan(Options(models=("works", "raises"), datasets=("squares",), rounds=1), third_party)
    run = Run(plan, tmp_path, installed())
    for _ in run.measure(plan.cells, print):
        pass
    run.finish()
    assert [record.status for record in run.records] == ["ok", "failed"]
    assert {record.status for record in read_records(run.folder / "records.jsonl")} == {"ok", "failed"}
    assert Run(plan, tmp_path, installed()).folder != run.folder


def test_a_model_that_is_too_slow_is_left_out_and_listed(tmp_path, third_party):
    plan = make_plan(Options(models=("works", "raises"), datasets=("squares",), rounds=1, max_ms=1e-9), third_party)
    run = Run(plan, tmp_path, installed())
    told = []
    assert [record.status for record in run.measure(plan.cells, told.append)] == ["failed"]
    [line] = run.notes["Not run"]
    assert line.startswith(f"{plan.cells[0].id}: takes ") and line.endswith(" ms per image, above 1e-09")
    assert any("left out" in line for line in told)
    run.finish()
    assert Run(plan, tmp_path, installed()).folder != run.folder, "the run is over"


def test_an_interrupted_run_goes_on_and_measures_nothing_twice(tmp_path, third_party):
    plan = make_plan(Options(models=("works", "too_few"), datasets=("squares",), rounds=1), third_party)
    first = Run(plan, tmp_path, installed())
    done = recorded(first, plan.cells[0])
    with (first.folder / "records.jsonl").open("a") as file:
        file.write('{"event": "record", "rec')  # torn by a crash
    first.journal.close()  # as the process's end does
    second = Run(plan, tmp_path, installed())
    assert second.folder == first.folder
    assert recorded(second, plan.cells[0]) == done
    recorded(second, plan.cells[1])
    second.finish()
    lines = read_lines(second.folder / "records.jsonl")
    events = [line["event"] for line in lines if line["event"] not in ("started", "paused")]
    assert events == ["run", "record", "resumed", "record", "finished"]
    resumed = next(i for i, line in enumerate(lines) if line["event"] == "resumed")
    assert {line["cell_id"] for line in lines[resumed:] if line["event"] == "started"} == {plan.cells[1].id}


def test_explanations_are_measured_where_they_are_named(third_party):
    def planned(*models: str) -> set[str]:
        return {cell.model.name for cell in make_plan(Options(models=models, datasets=("squares",)), third_party).cells}

    assert "works" in planned("*") and "points@works" not in planned("*")
    assert planned("points@works") == {"points@works"} and {"points@works", "works"} <= planned("p*@w*", "w*")


def test_a_cell_that_was_started_twice_and_never_finished_has_failed(tmp_path, third_party):
    plan = make_plan(Options(models=("works",), datasets=("squares",)), third_party)
    journal = Journal.open(tmp_path, plan.key)
    for _ in range(2):
        journal.start(plan.cells[0].id)
        journal.close()
        journal = Journal.open(tmp_path, plan.key)
    journal.close()
    record = recorded(Run(plan, tmp_path, installed()), plan.cells[0])
    assert record.status == "failed" and "was active 2 times when the run died" in record.error


def test_a_run_of_another_plan_does_not_go_on_with_this_one(tmp_path, third_party):
    one = make_plan(Options(models=("works",), datasets=("squares",)), third_party)
    other = make_plan(Options(models=("works",), datasets=("squares",), rounds=4), third_party)
    assert Run(one, tmp_path, installed()).folder != Run(other, tmp_path, installed()).folder


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"models": ("wroks",)}, "did you mean 'works'"),
        ({"datasets": ("square",)}, "did you mean 'squares'"),
        ({"datasets": ("squares:somewhere",)}, "want squares"),
        ({"devices": ("tpu",)}, "want cpu, cuda"),
        ({"precisions": ("int8",)}, "want one of float32"),
        ({"batch_sizes": (0,)}, "--batch-size 0"),
        ({"images": 0}, "--images 0"),
        ({"models": ("faster_rcnn",)}, "no weights for dataset 'squares'"),
    ],
)
def test_a_wrong_wish_is_one_line_that_says_what_would_be_right(third_party, changes, words):
    wish = {"models": ("works",), "datasets": ("squares",)} | changes
    with (
        pytest.raises(ValueError, match=words)
        if "faster_rcnn" not in wish["models"]
        else pytest.raises(PlanError, match=words)
    ):
        make_plan(Options(**wish), third_party)


@pytest.mark.parametrize("models", [("faster_rcnn", "works"), ("*", "faster_rcnn"), ("works", "fcn")])
def test_what_is_named_and_can_not_run_is_an_error_before_anything_runs(third_party, models):
    with pytest.raises(PlanError, match=r"model '(faster_rcnn|fcn)' (has no weights|is scored on semantic_map)"):
        make_plan(Options(models=models, datasets=("squares",)), third_party)


def test_a_model_that_is_named_must_run_on_one_of_the_datasets(third_party):
    reason = "model 'works' is scored on boxes, labels; dataset 'photos' has image_label"
    plan = make_plan(Options(models=("works",), datasets=("squares", "photos")), third_party)
    assert [cell.spec.dataset for cell in plan.cells] == ["squares"] and plan.skipped == [reason]
    with pytest.raises(PlanError, match=reason):
        make_plan(Options(models=("works",), datasets=("photos",)), third_party)
    with pytest.raises(PlanError, match=r"model 'fcn' is scored on .*; model 'fcn' has no weights for dataset 'icons'"):
        make_plan(Options(models=("works", "fcn"), datasets=("photos", "icons")), third_party)


def test_all_models_are_those_that_have_weights_and_the_others_are_no_news(third_party):
    plan = make_plan(Options(datasets=("scenes",)), third_party)
    assert "faster_rcnn" in {cell.model.name for cell in plan.cells}
    assert not any("has no weights" in line for line in plan.skipped)


def test_what_a_wildcard_matches_and_can_not_run_is_listed_with_its_reason(third_party):
    plan = make_plan(
        Options(models=("w*", "fi*", "fl*", "fcn*", "faster_rcnn_mob*"), datasets=("squares",)), third_party
    )
    assert {cell.model.name for cell in plan.cells} == {"works", "finds_nothing", "float_labels"}
    assert [line.split("'")[1] for line in plan.skipped] == [
        "fcn",
        "fcn_mobilenet",
        "fcn_full_resolution",
        "fcn_full_resolution_wide",
        "faster_rcnn_mobilenet",
    ]
    assert any("train some with" in line for line in plan.skipped)
    with pytest.raises(PlanError, match=r"model 'fcn' .*; model 'fcn_mobilenet'"):
        make_plan(Options(models=("fcn*",), datasets=("squares",)), third_party)


def test_a_model_that_can_not_be_built_is_listed_or_an_error(third_party):
    third_party.models["crooked"] = replace(third_party.models["works"], name="crooked", config={})
    assert any(
        line == "model 'crooked' can't be built for dataset 'squares': KeyError: 'behaviour'"
        for line in make_plan(Options(models=("*",), datasets=("squares",)), third_party).skipped
    )
    with pytest.raises(PlanError, match="KeyError: 'behaviour'"):
        make_plan(Options(models=("crooked",), datasets=("squares",)), third_party)


def test_a_task_that_is_not_scored_is_listed(third_party):
    both = ("detection", "classification")
    third_party.models["both"] = replace(third_party.models["works"], name="both", tasks=both)
    plan = make_plan(Options(models=("both",), datasets=("squares",)), third_party)
    assert len(plan.cells) == 1
    assert plan.skipped == ["task classification of model 'both': dataset 'squares' has no image_label"]


def test_plugins_that_failed_are_part_of_the_plan(third_party):
    failures = make_plan(Options(models=("works",), datasets=("squares",)), third_party).failures
    assert "plugin 'broken_import': RuntimeError: this plugin is broken" in failures and len(failures) == 5


def test_shipped_weights_are_found_whatever_the_split(third_party):
    plan = make_plan(Options(models=("faster_rcnn",), datasets=("scenes", "scenes@train")), third_party)
    assert [cell.spec.weights for cell in plan.cells] == [None, None]
    assert len({cell.spec.weights_hash for cell in plan.cells}) == 1


@pytest.mark.usefixtures("third_party")
def test_what_was_found_is_shown_everywhere(tmp_path):
    """Latencies exactly as the child took them, failures, doubts, and what wasn't run, in the terminal and in files.

    Both doors end in measure_in_turns: here `roibench run`, which starts pytest with the plugin.
    """
    command = [sys.executable, "-m", "roibench", "run", "--model", "works,raises,nan_scores,centre_*,fcn*"]
    command += ["--dataset", "squares", "--rounds", "2", "--out", "runs", f"--benchmark-json={tmp_path}/benchmark.json"]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, timeout=300)
    assert done.returncode == 1, done.stdout + done.stderr
    assert ": failed: ArithmeticError: no squares today (while warming up)" in done.stdout
    assert "Traceback" not in done.stdout + done.stderr
    [folder] = (tmp_path / "runs").iterdir()
    records = {record.cell.model: record for record in read_records(folder / "records.jsonl")}
    states = {name: record.status for name, record in records.items()}
    assert states == {"works": "ok", "raises": "failed", "nan_scores": "failed", "centre_and_size": "ok"}
    shown = json.loads((tmp_path / "benchmark.json").read_text())["benchmarks"]
    latencies = {one["extra_info"]["cell"]: one["stats"]["data"] for one in shown}
    ok = records["works"]
    assert [second * 1000 for second in latencies[ok.cell_id]] == pytest.approx(ok.latency.samples, abs=1e-6)
    assert shown[0]["extra_info"]["detection: coco_ap/AP"] == ok.scores["detection"].values["coco_ap/AP"].value
    [doubt, _] = records["centre_and_size"].scores["detection"].warnings
    assert doubt.startswith("3 of 12 (25 %) boxes are inverted")
    markdown, csv = ((folder / f"table.{kind}").read_text() for kind in ("md", "csv"))
    for text in (done.stdout, markdown):
        assert "centre_and_size (!)" in text and "works (!)" not in text and doubt in text
        assert "image square-0: scores[0] is nan; want a finite number" in text
        assert "plugin 'broken_import': RuntimeError: this plugin is broken" in text
        assert "model 'fcn' is scored on semantic_map; dataset 'squares' has boxes, labels" in text
    assert {line["model"]: line["warnings"][:24] for line in DictReader(io.StringIO(csv))} == {
        "works": "",
        "centre_and_size": doubt[:24],
    }
    compared = CliRunner().invoke(cli.app, ["rank", str(folder)], catch_exceptions=False).output
    assert "centre_and_size (!)" in compared and doubt in compared


@pytest.mark.usefixtures("third_party")
def test_pytest_heads_its_report_with_what_is_not_run_and_tells_what_was_taken_over(tmp_path, monkeypatch):
    plan = make_plan(Options(models=("works", "fcn*"), datasets=("squares",), rounds=1), installed())
    first = Run(plan, tmp_path / "runs", installed())
    recorded(first, plan.cells[0])
    first.journal.close()
    suite = Path(roibench.suites.__file__).parent / "bench_models.py"
    command = [
        sys.executable,
        "-m",
        "pytest",
        "-p",
        "roibench.pytest_plugin",
        "-o",
        "addopts=",
        "-p",
        "no:cacheprovider",
    ]
    command += [str(suite), "--benchmark-only", "--model", "works,fcn*", "--dataset", "squares", "--rounds", "1"]
    for quiet in ((), ("-q",)):
        done = subprocess.run(
            [*command, "--out", "runs", *quiet], cwd=tmp_path, capture_output=True, text=True, timeout=300
        )
        assert done.returncode == 0, done.stdout + done.stderr
        head, _, report = done.stdout.partition("= RoIBench =")
        reason = "model 'fcn' is scored on semantic_map"
        assert (f"roibench: not run: {reason}" in head) == (not quiet) and reason in report
        if not quiet:
            taken_over = f"1 of 1 cells, measured before this run was interrupted: {plan.cells[0].id}"
            assert taken_over in head and taken_over in report
            assert taken_over in (first.folder / "table.md").read_text()
            assert f"cell 1 of 1, {plan.cells[0].id}: taken over, AP 100.0" in head
            assert "in turns" not in head


@pytest.mark.usefixtures("third_party")
def test_wrong_options_end_in_one_line(tmp_path):
    command = [sys.executable, "-m", "roibench", "run", "--model", "wroks", "--dataset", "squares"]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, timeout=120)
    assert done.returncode == 4
    assert "did you mean 'works'" in done.stderr and "Traceback" not in done.stderr
