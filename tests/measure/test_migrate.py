"""Records of earlier versions are still read, and say what they said."""

import json
from pathlib import Path

import pytest

from roibench.measure.journal import FILE, read_lines, read_records
from roibench.measure.migrate import migrated
from roibench.measure.record import RECORD, Failed, read_record
from roibench.registry import installed
from roibench.report import csv, markdown
from roibench.report.rows import tables

SCHEMA_4 = Path(__file__).with_name("record_of_schema_4.json")  # of which nothing is published any more
PUBLISHED = sorted((Path(__file__).parents[2] / "results").glob(f"**/{FILE}"))


def lines_of(path: Path) -> list[dict]:
    return [line["record"] for line in read_lines(path) if line["event"] == "record"]


def published(folder: str) -> list[dict]:
    return lines_of(next(path for path in PUBLISHED if path.parent.name == folder))


def test_what_was_measured_before_there_were_backends_ran_in_torch():
    old = json.loads(SCHEMA_4.read_text())
    for line in (old, published("bccd")[0]):
        assert "backend" not in line and "backend" not in line["cell"] and line["schema_version"] < 11
        record = read_record(line)
        assert record.cell.backend == "torch" and record.backend is None and "backend" not in record.cell.label


@pytest.mark.parametrize("path", PUBLISHED, ids=lambda path: path.parent.name)
def test_published_records_are_read_and_rendered(path):
    records = read_records(path.parent)
    written = lines_of(path)
    assert len(records) == len(written) > 0
    for record, line in zip(records, written, strict=True):
        assert RECORD.validate_json(record.model_dump_json()) == record
        for task, score in record.scores.items():
            short = {key.partition("/")[2]: value.value for key, value in score.values.items()}
            values = line["scores"][task]["values"].items()
            assert short == {name.rpartition("/")[2]: value["value"] for name, value in values}
    rows = sum(len(table.rows) for table in tables(records))
    assert markdown.render(records).count("\n| ") >= rows and csv.render(records).count("\n") == rows + 1


def test_values_have_the_keys_and_declarations_of_the_metrics_that_gave_them():
    """Of the values that there were before schema 6; what has come since gets a key that says that it isn't known."""
    declared = {
        f"{metric.name}/{value.name}": (metric.task, value)
        for metric in installed().metrics.values()
        for value in metric.values
    }
    interval = {"value": 0.5, "low": 0.4, "high": 0.6}
    ran, known = published("bccd")[0], 0
    for task in {task for task, _ in declared.values()}:
        mine = {key: value for key, (of, value) in declared.items() if of == task}
        [primary] = [key for key, value in mine.items() if value.ranks]
        old = {"primary": primary.partition("/")[2], "values": {value.name: interval for value in mine.values()}}
        score = read_record(ran | {"scores": {task: old}}).scores[task]
        found = {key: value for key, value in score.values.items() if not key.startswith("other/")}
        assert list(found) == [key for key in mine if key in found] and (not found or score.primary == primary)
        known += len(found)
        for key, value in found.items():
            said = (value.unit, value.higher_is_better, value.shown, value.plotted)
            wanted = mine[key]
            assert said == (wanted.unit, wanted.higher_is_better, wanted.shown, wanted.plotted), key
    assert known == 56, "all of them, whose names are written down where records are migrated"


def test_what_no_built_in_metric_gave_is_kept():
    ran = published("camvid")[0]
    values = ran["scores"]["semantic_segmentation"]["values"] | {"mine": {"value": 0.1, "low": 0.0, "high": 0.2}}
    score = read_record(ran | {"scores": {"semantic_segmentation": {"primary": "mine", "values": values}}}).scores
    assert score["semantic_segmentation"].primary == "other/mine"
    assert list(score["semantic_segmentation"].values) == ["mean_iou/mIoU", "mean_iou/pixel_accuracy", "other/mine"]


def test_a_failed_record_loses_its_nulls():
    ran = published("bccd")[0]
    nothing = {"latency": None, "scores": {}, "stages": [], "artefacts": [], "images": None, "disturbance": None}
    record = read_record(ran | nothing | {"status": "failed", "error": "it broke"})
    assert isinstance(record, Failed) and record.error == "it broke"


def test_until_schema_4_one_cut_stood_for_the_record_and_0_for_what_is_not_known():
    center = json.loads(SCHEMA_4.read_text())
    assert center["cost"]["flops"] == 0
    record = read_record(center)
    assert record.cost.flops is None and record.cost.passes == 0 and record.cost.parameters == 3538984
    [row] = tables([record])[0].rows
    assert row.gflops is None
    detector = published("bccd")[0]
    assert (detector["score_threshold"], detector["max_detections"]) == (0.05, 100)
    score = read_record(detector).scores["detection"]
    assert (score.score_threshold, score.max_detections, score.warnings) == (0.05, 100, ())
    assert read_record(detector).interference.steal == detector["disturbance"]["steal"]
    assert "score_threshold" not in migrated(detector)


def test_a_record_of_today_stays_as_it_is():
    today = read_record(published("bccd")[0]).model_dump(mode="json")
    assert migrated(today) == today
