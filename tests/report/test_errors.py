"""What goes wrong in a run, as a page of tables and plots: by the run's kept predictions, through the command."""

import json
from dataclasses import replace

import numpy as np
import pytest
import torch
from PIL import Image
from typer.testing import CliRunner

from roibench import cli
from roibench.chart import Bin, Curves, Heatmap, Listing, Reliability
from roibench.files import file_hash
from roibench.measure.artefacts import save_artefacts
from roibench.measure.journal import Journal
from roibench.measure.predictions import save_predictions
from roibench.metric import Estimate
from roibench.report.charts import drawn, listed
from roibench.report.errors import analyse_run, values_grid, write_analysis
from roibench.structures import Prediction

CLASSES = ("circle", "square")
NOTHING = Prediction(torch.zeros(0, 4), torch.zeros(0), torch.zeros(0, dtype=torch.int64))


def found(index):
    """Of an image of `squares`, its one object, a little too far to the right."""
    box = torch.tensor([[float(index), 8, index + 16, 24]])
    return Prediction(box, torch.tensor([0.9]), torch.zeros(1, dtype=torch.int64))


@pytest.fixture
def write_run(tmp_path, record, third_party):
    """(model -> predictions of the first images of `squares`) -> the run's folder."""

    def write(**models):
        journal = Journal.open(tmp_path / "-".join(models), "key")
        for model, predictions in models.items():
            path = journal.folder / "predictions" / f"{model}.npz"
            save_predictions(path, [f"square-{i}" for i in range(len(predictions))], predictions)
            kept = {"predictions": f"predictions/{model}.npz", "predictions_sha256": file_hash(path)}
            cell = record(model, dataset="squares", dataset_hash="0" * 64, images=len(predictions))
            journal.add(cell.model_copy(update=kept))
        journal.close()
        return journal.folder

    return write


@pytest.fixture
def blind(write_run):
    """Of a model that finds everything, and one that finds nothing."""
    return write_run(right=[found(index) for index in range(12)], blind=[NOTHING] * 12)


@pytest.fixture
def run(write_run):
    """Of a model that finds everything, and one that misses the fourth image and has the eighth twice."""
    right = [found(index) for index in range(12)]
    wrong = [*right]
    wrong[3] = replace(wrong[3], boxes=wrong[3].boxes + 15)
    wrong[7] = Prediction(*(torch.cat([getattr(wrong[7], name)] * 2) for name in ("boxes", "scores", "labels")))
    return write_run(right=right, wrong=wrong)


def test_differences_are_from_the_first_model_and_what_is_beyond_chance_is_marked(run, blind, third_party):
    analysis = analyse_run(run, third_party, ["wrong", "right"])
    assert [cell.name for cell in analysis.cells] == ["wrong", "right"] and analysis.images == 12
    titles, rows = values_grid(analysis)
    assert titles == ["value", "wrong", "right", "right \N{MINUS SIGN} wrong"]
    by_name = {name: cells for name, *cells in rows}
    assert by_name["dAP_missed %"][1].startswith("0.0 ") and by_name["F1 %"][2].startswith("12.0 [")
    assert by_name["AP50 %"][1] == "100.0 [100.0, 100.0]"
    compared = analysis.compared["right \N{MINUS SIGN} wrong"]
    marked = [row[-1].endswith(" *") for row in rows]
    assert marked == [compared[key].low > 0 or compared[key].high < 0 for key in analysis.keys]
    assert compared["tide/dAP_duplicate"].value <= 0 < compared["coco_ap/AP50"].value
    assert values_grid(analyse_run(blind, third_party))[1][0][-1].endswith("] *"), "beyond doubt"
    same = analyse_run(run, third_party, ["right"])
    assert same.compared == {} and values_grid(same)[0] == ["value", "right"]


def test_models_of_fewer_images_are_compared_over_those(write_run, third_party):
    folder = write_run(long=[found(index) for index in range(12)], short=[found(index) for index in range(5)])
    analysis = analyse_run(folder, third_party)
    assert analysis.images == 5
    assert all(one.value == 0 for one in analysis.compared["short \N{MINUS SIGN} long"].values())


@pytest.mark.parametrize("images", [1, 12])
def test_a_page_has_tables_and_plots_of_what_there_is(write_run, third_party, tmp_path, images):
    folder = write_run(right=[found(index) for index in range(images)], blind=[NOTHING] * images)
    page, *pictures = write_analysis(analyse_run(folder, third_party), tmp_path / "out")
    text = page.read_text()
    for path in pictures:
        assert f"({path.name})" in text and Image.open(path).width > 500
    names = [path.stem for path in pictures]
    assert sum("reliability" in name for name in names) == 1, "without detections there is none"
    assert sum("confusion" in name for name in names) == sum("precision-and-recall" in name for name in names) == 2
    assert "tide" in names and "### blind: classes" in text and "### right: errors" in text
    assert f"| square | {images} | {images} | " in text and f"| square | {images} | 0 | 0.0" in text


def test_the_command_prints_values_and_writes_the_page(run):
    result = CliRunner().invoke(cli.app, ["errors", str(run), "--model", "right, wrong"], catch_exceptions=False)
    assert result.exit_code == 0 and "wrong \N{MINUS SIGN} right" in result.output
    assert "dAP_missed" in result.output and "resample by resample" in result.output
    page = run / "errors" / "errors.md"
    assert f"wrote {page}" in result.output and page.is_file()


def test_what_can_not_be_analysed_is_refused_in_words(run, third_party, tmp_path):
    with pytest.raises(ValueError, match="--model: no cell matches 'rihgt'; did you mean 'right'"):
        analyse_run(run, third_party, ["rihgt"])
    with pytest.raises(ValueError, match="no run's folder"):
        analyse_run(tmp_path, third_party)
    (run / "predictions" / "right.npz").unlink()
    with pytest.raises(ValueError, match="were not kept"):
        analyse_run(run, third_party)


CHARTS = [
    Curves("A line.", "x", "y", {0: [(0, 0.1), (1, 0.9)], "all": [(0, 0.5), (1, 0.5)]}, {0: (1, 0.9)}),
    Curves("Many.", "x", "y", {f"line {i}": [(0, i / 40), (1, 1)] for i in range(40)}),
    Curves("None.", "x", "y", {}),
    Heatmap("Counts.", "true", "predicted", (0, 1, "background"), (0, 1, "background"), [[3, 0, 1]] * 3),
    Heatmap("Big.", "true", "predicted", ["x"] * 40, ["x"] * 40, np.eye(40, dtype=int).tolist()),
    Reliability("One bin.", "confidence", "accuracy", (Bin(0.2, 0.4, 7, 0.3, 0.5),)),
]


@pytest.mark.parametrize("chart", CHARTS, ids=lambda chart: chart.about)
def test_a_chart_is_drawn_and_kept_as_json(chart, tmp_path):
    figure = drawn(chart, "title", CLASSES)
    figure.savefig(tmp_path / "x.png")
    pixels = np.asarray(Image.open(tmp_path / "x.png").convert("L"))
    assert (pixels < 128).sum() > 500 and "title" in figure.get_suptitle() and chart.about in figure.get_suptitle()
    [kept] = save_artefacts({"chart": chart}, tmp_path / "artefacts", tmp_path)
    assert json.loads((tmp_path / kept.file).read_text())["about"] == chart.about


def test_lines_have_the_names_of_classes_and_many_are_not_all_named():
    names = [text.get_text() for text in drawn(CHARTS[0], "", CLASSES).legends[0].get_texts()]
    assert names == ["circle", "all"]
    names = [text.get_text() for text in drawn(CHARTS[1], "", CLASSES).legends[0].get_texts()]
    assert names == [*(f"line {i}" for i in range(10)), "30 others"]


def test_a_listing_has_units_intervals_and_gaps():
    chart = Listing("About.", {"number": "", "AP": "%"}, {1: (1200, Estimate(0.5, 0.25, 0.75)), "all": (3, None)})
    assert listed(chart, CLASSES) == (
        ["", "number", "AP %"],
        [["square", "1,200", "50.0 [25.0, 75.0]"], ["all", "3", "-"]],
    )
