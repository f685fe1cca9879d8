"""What a backend loses against torch stands in every table, with what of the model it ran."""

from io import StringIO

import pytest
from rich.console import Console

from roibench.measure.record import BackendRun, Calibration, Turns
from roibench.report import csv, markdown
from roibench.report.comparison import comparison_grid
from roibench.report.rows import tables
from roibench.report.terminal import render


@pytest.fixture
def rows(scored):
    """rows(ap by backend, ...) -> the rows of a model's cells by backend."""

    def make(found, **more):
        records = [in_backend(scored, name, ap, **more) for name, ap in found.items()]
        [table] = tables(records)
        return table, {row.record.cell.backend: row for row in table.rows}

    return make


def in_backend(scored, name, ap, **more):
    record = scored("net", ap, backend=name, own=0.0, **more)
    if name == "torch":
        return record
    calibration = Calibration(dataset="scenes", split="train", images=64) if name == "int8" else None
    run = BackendRun(
        version="onnxruntime 1.32.0",
        networks=("network", "classify"),
        seconds=4.0,
        difference=2e-6,
        tolerance=None if calibration else 1e-3,
        calibration=calibration,
    )
    return record.model_copy(update={"backend": run})


def test_it_is_the_paired_difference_and_of_torch_there_is_none(rows):
    table, found = rows({"torch": 0.40, "onnx": 0.40, "int8": 0.37})
    assert table.compares_backends and found["torch"].lost is None
    assert found["onnx"].lost.value == 0 and found["onnx"].lost.low == found["onnx"].lost.high == 0
    lost = found["int8"].lost
    assert lost.value == pytest.approx(0.03) and lost.low == pytest.approx(lost.high)  # images vary, but alike in both
    assert [row.model for row in table.rows] == ["net", "net backend=onnx", "net backend=int8"]


def test_where_less_is_better_more_is_lost(rows):
    _, found = rows({"torch": 0.10, "int8": 0.12}, higher=False)
    assert found["int8"].lost.value == pytest.approx(0.02)


@pytest.mark.parametrize(
    "other", [{"threads": 4}, {"training": 1}, {"knobs": {"proposals": 50}}, {"dataset_hash": "d" * 64}]
)
def test_it_is_compared_with_its_own_cell_alone(scored, other):
    pair = [in_backend(scored, "torch", 0.4, **other), in_backend(scored, "onnx", 0.3)]
    assert not any(row.lost for table in tables(pair) for row in table.rows)


def test_every_report_shows_it_and_what_ran(rows, scored):
    table, _ = rows({"torch": 0.40, "int8": 0.37})
    grid = comparison_grid(table)
    place = grid.titles.index("lost against torch % [95 % CI]")
    assert [row[place] for row in grid.rows] == ["-", "3.0 [3.0, 3.0]"]
    records = [row.record for row in table.rows]
    lines = csv.render(records).splitlines()
    assert "lost_against_torch_low" in lines[0] and ",int8," in lines[2]
    for text in (markdown.render(records), _printed(records)):
        words = "net backend=int8: onnxruntime 1.32.0 runs network, classify; the rest is torch's and Python's."
        assert words in text and "Calibrated on the first 64 images of scenes@train, which aren't scored." in text
    checked = markdown.render([in_backend(scored, "onnx", 0.4)])
    assert "differ from torch's by 2e-06 of the largest magnitude (at most 0.001)" in checked
    alone = comparison_grid(tables([in_backend(scored, "torch", 0.4)])[0])
    assert not any("lost" in title for title in alone.titles)


def test_memory_that_exporting_took_is_not_the_models(rows):
    turns = Turns(run="r", group=0, medians=(1.0,) * 10, reference_cell=None, reference=(), noise_floor=None)
    _, found = rows({"torch": 0.40, "onnx": 0.40}, turns=turns)
    assert found["torch"].memory and found["onnx"].memory is None


def _printed(records) -> str:
    console = Console(width=400, file=StringIO())
    console.print(render(records))
    return console.file.getvalue()
