"""Records made by hand, and files of them."""

from collections.abc import Callable
from pathlib import Path

import pytest
from made_records import failed, record, score, scored  # noqa: F401 - fixtures

from roibench.measure.record import Record
from roibench.measure.record_files import written_records


@pytest.fixture
def kept(tmp_path: Path) -> Callable[..., Path]:
    """kept(name, record, ...): a folder, as of a run, that holds these records."""

    def keep(name: str, *records: Record) -> Path:
        folder = tmp_path / name
        folder.mkdir(parents=True)
        (folder / "records.jsonl").write_bytes(written_records(records))
        return folder

    return keep
