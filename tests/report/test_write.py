import json

import pytest
from PIL import Image

from roibench.measure.record import Score
from roibench.report import write
from roibench.report.training_curve import training_curve
from roibench.report.write import write_report, write_training_curve


def test_the_report_is_tables_and_plots(record, failed, tmp_path):
    paths = write_report([record("a"), record("b", 0.5, 90), failed("c")], tmp_path / "new" / "folder")
    plots = [f"{what}-detection-scenes.{kind}" for what in ("speed_accuracy", "stages") for kind in ("png", "svg")]
    assert [path.name for path in paths] == ["table.md", "table.csv", *plots]
    assert sorted(paths) == sorted((tmp_path / "new" / "folder").iterdir())
    with Image.open(paths[2]) as picture:
        assert min(picture.size) >= 800
    assert "<svg" in paths[3].read_text()


def test_a_task_may_have_more_than_one_plot(record, score, tmp_path):
    values = {"game/pointing": score(0.4), "curves/faithfulness": score(0.4, plotted=True)}
    scores = {"attribution": Score(primary="game/pointing", values=values)}
    plots = [path.name for path in write_report([record("a", scores=scores)], tmp_path) if path.suffix == ".png"]
    assert plots == ["speed_accuracy-attribution-scenes.png", "faithfulness-attribution-scenes.png"]


def test_the_same_records_give_the_same_bytes(record, tmp_path):
    first = [path.read_bytes() for path in write_report([record("a")], tmp_path)]
    assert [path.read_bytes() for path in write_report([record("a")], tmp_path)] == first


def test_file_names_hold_no_path_and_tell_datasets_apart(record, tmp_path):
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


def test_the_training_curve_is_drawn_from_the_log_even_if_it_is_torn(tmp_path):
    log = tmp_path / "training.jsonl"
    lines = [
        {"epoch": epoch, "learning_rate": 0.1 / epoch, "box": 1 / epoch, "class": 2 / epoch} for epoch in (1, 2, 2)
    ]
    log.write_text("\n".join(map(json.dumps, lines)) + '\n{"epoch": 3, "lea')
    picture = write_training_curve(log, "a model")
    assert picture == tmp_path / "training.png"
    assert Image.open(picture).size == (1200, 675)


def test_the_training_curve_shows_each_loss_and_their_sum():
    epochs = [{"epoch": epoch, "seconds": 7.5, "learning_rate": 0.1, "box": 1.0, "class": 2.0} for epoch in (1, 2)]
    axes = training_curve(epochs, "a model").axes[0]
    shown = {line.get_label(): line.get_ydata() for line in axes.get_lines()}
    assert {name: list(values) for name, values in shown.items()} == {"sum": [3, 3], "box": [1, 1], "class": [2, 2]}
