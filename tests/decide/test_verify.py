"""A record, measured again."""

import json
from pathlib import Path

import pytest
from planned_cells import recorded
from typer.testing import CliRunner

from roibench import cli
from roibench.datasets.reference import found_from
from roibench.decide.record_sets import RecordSet, read_record_set
from roibench.decide.verify import Outcome, selected, verify
from roibench.measure.plan import make_plan
from roibench.measure.run import Run
from roibench.options import Options


@pytest.fixture(scope="module")
def published(tmp_path_factory, third_party_throughout):
    """The record of a model that is right, and the registry that knows it."""
    options = Options(models=("works",), datasets=("squares",), knobs={"white": (200,)}, threads=(1,), images=12)
    run = Run(make_plan(options, third_party_throughout), tmp_path_factory.mktemp("published"), third_party_throughout)
    record = recorded(run, run.plan.cells[0])
    run.finish()
    return record


def again(record, tmp_path, registry):
    return verify(record, RecordSet("theirs", {"": (record,)}, None), tmp_path, registry, lambda _: None)


def test_what_is_as_published_is_reproduced(published, tmp_path, third_party_throughout):
    found = again(published, tmp_path, third_party_throughout)
    assert {one.outcome for one in found.values} == {Outcome.REPRODUCED} and len(found.values) == 3
    assert found.model == "works white=200" and found.same_predictions
    assert found.differing == {}  # the same checkout, machine and plugins
    [here] = read_record_set(found.run).ran
    assert (here.images, here.rounds, here.cell.knobs) == (12, published.rounds, {"white": 200})
    assert found.time.new == here.latency.p50.value and found.time.change is not None


def test_what_was_published_otherwise_differs_and_the_reasons_are_listed(published, tmp_path, third_party_throughout):
    score = published.scores["detection"]
    value = score.values[score.primary].model_copy(update={"value": 0.5, "low": 0.45, "high": 0.55})
    scores = {"detection": score.model_copy(update={"values": score.values | {score.primary: value}})}
    made = published.provenance.model_copy(update={"cpu": "Theirs", "torch": "2.0", "simd_level": "v9"})
    cell = published.cell.model_copy(update={"weights_hash": "ab" * 32})
    theirs = published.model_copy(update={"scores": scores, "provenance": made, "cell": cell})
    found = again(theirs, tmp_path, third_party_throughout)
    assert found.outcome is Outcome.DIFFERS
    assert [one.outcome for one in found.values].count(Outcome.DIFFERS) == 1
    assert {"machine", "torch", "SIMD level", "weights"} <= found.differing.keys()
    assert found.differing["torch"][0] == "2.0" and found.differing["weights"][0] == "ab" * 6
    assert found.time_outcome is Outcome.NOT_COMPARED and "other machine" in found.time.note


def test_of_other_data_nothing_is_measured(published, tmp_path, third_party_throughout):
    theirs = published.model_copy(update={"cell": published.cell.model_copy(update={"dataset_hash": "ab" * 32})})
    found = again(theirs, tmp_path, third_party_throughout)
    assert found.outcome is Outcome.DIFFERS and found.differing["data"][0] == "ab" * 6
    assert found.run is None and not list(tmp_path.iterdir())


def test_what_cannot_be_run_here_is_told_in_a_line(published, tmp_path, third_party_throughout):
    for change, words in (
        ({"model": "gone"}, "gone"),
        ({"weights": "no/such.safetensors"}, "no/such.safetensors"),
        ({"device": "cuda:77"}, "usable GPU"),
    ):
        theirs = published.model_copy(update={"cell": published.cell.model_copy(update=change)})
        with pytest.raises((ValueError, LookupError, OSError), match=words):
            again(theirs, tmp_path, third_party_throughout)


def test_a_cell_is_named_by_its_id_or_its_model(record):
    records = (record("a"), record("a", knobs={"n": 5}), record("b"), record("b", device="cuda"))
    source = RecordSet("x", {"": records}, None)
    assert selected(source, "a") is records[0] and selected(source, "a n=5") is records[1]
    assert selected(source, records[3].cell_id) is records[3]
    for cell, words in ((None, "name one of its cells by --cell"), ("b", records[2].cell_id), ("c", "no cell 'c'")):
        with pytest.raises(ValueError, match=words):
            selected(source, cell)


def test_a_relative_path_of_data_is_found_from_the_record(tmp_path, monkeypatch):
    (tmp_path / "checkout/data/images").mkdir(parents=True)
    (tmp_path / "checkout/data/x.json").touch()
    run = tmp_path / "checkout/results/mine"
    run.mkdir(parents=True)
    monkeypatch.chdir(tmp_path)
    data = tmp_path / "checkout/data"
    assert found_from("coco:data/x.json:data/images@val", run) == f"coco:{data}/x.json:{data}/images@val"
    assert found_from("coco:data/none", run) == "coco:data/none" and found_from("scenes", run) == "scenes"
    monkeypatch.chdir(tmp_path / "checkout")
    assert found_from("masks:data", Path("results/mine")) == "masks:data"


def test_the_command_ends_with_1_where_a_record_differs(kept, published, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    theirs = published.model_copy(update={"cell": published.cell.model_copy(update={"dataset_hash": "ab" * 32})})
    result = CliRunner().invoke(cli.app, ["verify", str(kept("theirs", theirs))], catch_exceptions=False)
    assert (
        result.exit_code == 1 and f"{published.cell_id}: differs" in result.output and "data: abababab" in result.output
    )
    result = CliRunner().invoke(cli.app, ["verify", str(kept("ours", published)), "--json"], catch_exceptions=False)
    found = json.loads(result.stdout)
    assert {one["outcome"] for one in found["values"]} == {"reproduced"}
    shown = CliRunner().invoke(cli.app, ["verify", "ours", "--cell", "works"], catch_exceptions=False).stdout
    assert "detection, AP %" in shown and "to the last bit" in shown
