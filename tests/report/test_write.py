import pytest
from PIL import Image

from roibench.report import write
from roibench.report.write import write_report


def test_the_report_is_tables_and_plots(record, failed, tmp_path):
    paths = write_report([record("a"), record("b", 0.5, 90), failed("c")], tmp_path / "new" / "folder")
    plot = "speed_accuracy-detection-scenes"
    assert [path.name for path in paths] == ["table.md", "table.csv", f"{plot}.png", f"{plot}.svg"]
    assert sorted(paths) == sorted((tmp_path / "new" / "folder").iterdir())
    with Image.open(paths[2]) as picture:
        assert min(picture.size) >= 800
    assert "<svg" in paths[3].read_text()


def test_the_same_records_give_the_same_bytes(record, tmp_path):
    first = [path.read_bytes() for path in write_report([record("a")], tmp_path)]
    assert [path.read_bytes() for path in write_report([record("a")], tmp_path)] == first


def test_file_names_hold_no_path_and_tell_data_sets_apart(record, tmp_path):
    records = [
        record("a", dataset="voc:/x/VOC 2007@test"),
        record("a", dataset="voc:/y/VOC 2007@test", dataset_hash="ab" * 32),
    ]
    plots = [path.name for path in write_report(records, tmp_path) if path.suffix == ".png"]
    assert plots == [
        "speed_accuracy-detection-voc-VOC-2007-test.png",
        "speed_accuracy-detection-voc-VOC-2007-test-abababab.png",
    ]


def test_without_a_cell_that_ran_there_are_tables_alone(failed, tmp_path):
    assert [path.name for path in write_report([failed("a")], tmp_path)] == ["table.md", "table.csv"]


def test_a_write_that_fails_leaves_the_old_file_and_nothing_else(record, tmp_path, monkeypatch):
    write_report([], tmp_path)
    old = (tmp_path / "table.md").read_text()

    def full(self, target):
        raise OSError("disk full")

    monkeypatch.setattr(write.Path, "replace", full)
    with pytest.raises(OSError, match="disk full"):
        write_report([record("a")], tmp_path)
    assert (tmp_path / "table.md").read_text() == old
    assert {path.name for path in tmp_path.iterdir()} == {"table.md", "table.csv"}
