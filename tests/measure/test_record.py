"""A record is of a cell that ran or of one that failed."""

import pytest
from pydantic import ValidationError

from roibench.measure.isolate import failed
from roibench.measure.record import RECORD, CellSpec, Failed, read_record
from roibench.registry import installed

SPEC = CellSpec(model="m", dataset="squares", dataset_hash="0" * 64, threads=1)


def test_a_failed_cell_has_its_error_and_nothing_that_was_measured():
    record = failed(SPEC, "it broke", installed())
    assert (
        set(Failed.model_fields)
        == set(record.model_dump())
        == {*("schema_version", "cell", "cell_id", "status", "error", "started", "finished", "provenance")}
    )
    assert RECORD.validate_json(record.model_dump_json()) == record
    with pytest.raises(ValidationError, match="scores"):
        read_record(record.model_dump() | {"scores": {}})
    with pytest.raises(ValidationError, match="error"):
        failed(SPEC, "", installed())


def test_a_cell_that_ran_has_all_of_it():
    with pytest.raises(ValidationError) as lacking:
        read_record(failed(SPEC, "it broke", installed()).model_dump(exclude={"error"}) | {"status": "ok"})
    missing = {str(error["loc"][-1]) for error in lacking.value.errors() if error["type"] == "missing"}
    assert missing >= {"images", "rounds", "scores", "latency", "memory", "cost", "predictions", "family", "stages"}
    assert "error" not in missing
