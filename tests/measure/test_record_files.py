"""Files of records that others made."""

import json
from pathlib import Path

import pytest

from roibench.measure.journal import FILE
from roibench.measure.record_files import parse_records, written_records

PUBLISHED = Path(__file__).parents[2] / "results" / "lsp" / FILE
LINES = PUBLISHED.read_text().splitlines()


def changed(**changes) -> str:
    line = json.loads(LINES[0])
    return json.dumps(line | {"record": line["record"] | changes})


def test_a_file_is_read_as_a_journal_or_as_a_record_per_line_and_written_again():
    records = parse_records("\n".join(LINES), "f")
    assert parse_records("\n".join(json.dumps(json.loads(line)["record"]) for line in LINES), "f") == records
    assert parse_records(written_records(records).decode(), "f") == records
    assert parse_records("\n".join([*LINES, *LINES]), "f") == records


def test_the_same_cell_of_another_time_is_another_record():
    assert len(parse_records("\n".join([*LINES, changed(started="2020-01-01T00:00:00Z")]), "f")) == len(LINES) + 1


@pytest.mark.parametrize(
    ("line", "words"),
    [
        (LINES[1][: len(LINES[1]) // 2], "f:2: a truncated or broken line"),
        (changed(schema_version=99), "f:2: a record of schema 99; this version of RoIBench knows 1 to"),
        (changed(schema_version="x"), "f:2: a record of schema 'x'"),
        (changed(images="many"), r"f:2: a record whose ok\.images is wrong"),
        ("[1]", "f:2: no record and no line of a run's journal"),
        ('{"event": "record"}', "f:2: a record whose"),
    ],
)
def test_a_line_that_is_not_right_is_named(line, words):
    with pytest.raises(ValueError, match=words) as error:
        parse_records("\n".join([LINES[0], line]), "f")
    assert "\n" not in str(error.value)


def test_a_torn_line_after_which_the_run_went_on_is_left_out():
    text = "\n".join([LINES[0], LINES[1][:50], '{"event": "resumed"}', LINES[1]])
    assert len(parse_records(text, "f")) == 2
