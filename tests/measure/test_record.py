"""Records of earlier versions are still read, and say what they said."""

import json
from pathlib import Path

import pytest

from roibench.measure.journal import FILE, read_lines, read_records
from roibench.measure.record import Record
from roibench.report import csv, markdown
from roibench.report.rows import tables

PUBLISHED = sorted((Path(__file__).parents[2] / "results").glob(f"**/{FILE}"))


def lines_of(path: Path) -> list[dict]:
    return [line["record"] for line in read_lines(path) if line["event"] == "record"]


@pytest.mark.parametrize("path", PUBLISHED, ids=lambda path: path.parent.name)
def test_published_records_are_read_and_rendered(path):
    records = read_records(path.parent)
    written = lines_of(path)
    assert len(records) == len(written) > 0
    for record, line in zip(records, written, strict=True):
        assert Record.model_validate_json(record.model_dump_json()) == record
        for task, score in record.scores.items():
            assert {n: v.value for n, v in score.values.items()} == {
                name: value["value"] for name, value in line["scores"][task]["values"].items()
            }
    rows = sum(len(table.rows) for table in tables(records))
    assert rows == sum(len(record.scores) for record in records)
    assert len(csv.render(records).splitlines()) == rows + 1
    assert markdown.render(records).count("\n| ") >= rows


def test_until_schema_4_one_cut_stood_for_the_record_and_0_for_what_is_not_known():
    path = next(path for path in PUBLISHED if path.parent.name == "explanations")
    center = next(line for line in lines_of(path) if line["cell"]["model"] == "center")
    assert center["cost"]["flops"] == 0
    record = Record.model_validate(center)
    assert record.cost.flops is None and record.cost.passes == 0 and record.cost.parameters == 1083936
    [row] = tables([record])[0].rows
    assert row.gflops is None
    detector = lines_of(next(path for path in PUBLISHED if path.parent.name == "bccd"))[0]
    assert (detector["score_threshold"], detector["max_detections"]) == (0.05, 100)
    score = Record.model_validate(detector).scores["detection"]
    assert (score.score_threshold, score.max_detections, score.warnings) == (0.05, 100, ())
    assert Record.model_validate(detector).interference.steal == detector["disturbance"]["steal"]
    detector["interference"] = detector.pop("disturbance")
    del detector["schema_version"], detector["score_threshold"], detector["max_detections"]
    assert Record.model_validate(detector).scores["detection"].score_threshold is None
    assert "score_threshold" not in json.loads(Record.model_validate(detector).model_dump_json())
