"""A task that somebody else adds goes through every door that the built-in ones go through."""

import csv
import io
import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from planned_cells import recorded
from rich.console import Console
from typer.testing import CliRunner

from roibench import cli
from roibench.datasets.reference import open_dataset
from roibench.draw.prediction import draw
from roibench.measure.checks import TargetError
from roibench.measure.plan import make_plan
from roibench.measure.predictions import load_predictions, same_predictions
from roibench.measure.rank import rank_runs
from roibench.measure.record import Interval, Ok
from roibench.measure.rescore import rescore
from roibench.measure.run import Run
from roibench.measure.score import score
from roibench.nn.augment import AUGMENTATIONS, GEOMETRIC, augment
from roibench.options import Options
from roibench.predict import PredictError, predict_files
from roibench.registry import Registry, resolve
from roibench.report import csv as csv_report
from roibench.report import markdown, terminal
from roibench.report.gallery import WIDTH, write_gallery
from roibench.report.inspect import inspect_run, write_inspection
from roibench.report.plot import speed_accuracy
from roibench.report.rows import Standing, tables
from roibench.specs import Recipe
from roibench.structures import Prediction, Target
from roibench.task import Frame
from roibench.train import train_model

with pytest.MonkeyPatch.context() as patch:  # its contract has subclasses below, before a fixture could install it
    patch.syspath_prepend(Path(__file__).parents[1] / "third_party")
    from depth_plugin.planes import Plane
    from depth_plugin.ramps import Ramps
    from depth_plugin.task import DepthContract

NAN = torch.nan


@pytest.fixture(scope="module")
def registry(third_party_throughout) -> Registry:
    return third_party_throughout


@pytest.fixture(scope="module")
def run(registry, tmp_path_factory) -> Run:
    """A run of both models, finished."""
    plan = make_plan(Options(models=("ramp", "upright"), datasets=("ramps",), rounds=1, threads=(1,)), registry)
    run = Run(plan, tmp_path_factory.mktemp("runs"), registry)
    for cell in plan.cells:
        record = recorded(run, cell)
        assert record.status == "ok", record.error
    run.finish()
    return run


@pytest.fixture
def records(run) -> dict[str, Ok]:
    """By model, as if the ramp had taken 2 ms and the upright 3."""
    times = {"ramp": 2.0, "upright": 3.0}
    slowed = {}
    for record in run.records:
        p50 = times[record.cell.model]
        latency = record.latency.model_copy(update={"p50": Interval(value=p50, low=p50, high=p50), "p90": p50})
        slowed[record.cell.model] = record.model_copy(update={"latency": latency})
    return slowed


@pytest.mark.usefixtures("registry")
class TestRamp(DepthContract):
    model = "ramp"


@pytest.mark.usefixtures("registry")
class TestUpright(DepthContract):
    model = "upright"


def test_it_is_registered_through_the_hook_of_the_built_in_ones(registry):
    assert not [failure for failure in registry.failures if failure.plugin == "depth_plugin"]
    assert registry.origin["Task", "depth"] == "depth_plugin" and registry.origin["Task", "detection"] == "tasks"
    assert registry.tasks["depth"].contract is DepthContract
    metric, value = registry.ranking("depth")
    assert (metric.name, value.name) == ("depth_error", "abs_rel")


def test_the_lower_error_ranks_first_and_a_faster_model_is_on_the_pareto_front_beside_it(records):
    [table] = tables([records["upright"], records["ramp"]])
    assert (table.title, table.primary, table.unit) == ("depth on ramps", "depth_error/abs_rel", "")
    assert [row.model for row in table.rows] == ["ramp", "upright"]
    first, last = (row.scores["depth_error/abs_rel"] for row in table.rows)
    assert first.low < first.value < first.high < 0.1 < last.low
    slower = records["ramp"].latency.model_copy(update={"p50": Interval(value=1e3, low=1e3, high=1e3), "turns": None})
    [table] = tables([records["upright"], records["ramp"].model_copy(update={"latency": slower})])
    assert [(row.model, row.standing) for row in table.rows] == [("ramp", Standing.FRONT), ("upright", Standing.FRONT)]


def test_every_report_names_its_values_with_their_units(records):
    found = [records["upright"], records["ramp"]]
    text = markdown.render(found)
    assert "| abs_rel [95 % CI] | rmse m | delta1 % |" in text and "Better the lower: abs_rel, rmse." in text
    ramp, upright = (records[model].scores["depth"].values for model in ("ramp", "upright"))
    assert f"| ramp | planes | {ramp['depth_error/abs_rel'].value:.4f} [" in text
    assert f"] | {ramp['depth_error/rmse'].value:.3f} | {100 * ramp['depth_error/delta1'].value:.1f} |" in text
    assert "all 12 depth maps are the same everywhere" in text

    first, last = csv.DictReader(io.StringIO(csv_report.render(found)))
    assert (first["task"], first["model"], first["primary"]) == ("depth", "ramp", "abs_rel")
    assert float(first["abs_rel"]) == ramp["depth_error/abs_rel"].value
    assert float(last["rmse_low"]) == upright["depth_error/rmse"].low

    console = Console(width=100, file=io.StringIO())
    console.print(terminal.render(found))
    [heading] = [line for line in console.file.getvalue().splitlines() if "abs_rel" in line]
    assert "rmse m" in heading and "%" not in heading
    value = ramp["depth_error/abs_rel"]
    assert terminal.ranked(records["ramp"].scores["depth"]) == (
        f"abs_rel {value.value:.4f} [{value.low:.4f}, {value.high:.4f}]"
    )

    [axes] = speed_accuracy(tables(found)[0]).axes
    assert axes.get_ylabel() == "abs_rel, better the lower; bar: 95 % confidence interval"
    assert axes.get_ylim()[1] < 1


def test_predictions_are_kept_bit_for_bit_and_scored_again_alike(run, registry):
    for record in run.records:
        ids, kept = load_predictions(run.folder / record.predictions)
        spec = registry.models[record.cell.model]
        data = Ramps(None, "val")
        model = resolve(spec.build)(data.info, spec.config)
        inputs = [data[index].input for index in range(len(data))]
        assert ids == [one.id for one in inputs] and same_predictions(kept, model.predict(inputs))
        assert all(one.get("depth").dtype == torch.float32 for one in kept)
    again = {one.what: one.score for one in rescore(run.folder, registry)}
    assert again == {record.cell_id: record.scores["depth"] for record in run.records}


def test_the_images_that_cost_most_are_those_that_raise_the_error(run, registry, tmp_path):
    found = inspect_run(run.folder, 12, registry, "ramp")
    [record] = [record for record in run.records if record.cell.model == "ramp"]
    rows = list(csv.DictReader(io.StringIO((run.folder / record.per_image).read_text())))
    errors = {row["id"]: float(row["depth_error/abs_rel"]) for row in rows}
    mean = record.scores["depth"].values["depth_error/abs_rel"].value
    assert np.mean(list(errors.values())) == pytest.approx(mean)
    worst = sorted((id for id in errors if errors[id] > mean), key=errors.get, reverse=True)
    assert [one.id for one in found.worst] == worst
    cost = mean - (12 * mean - errors[worst[0]]) / 11
    assert found.worst[0].cost == pytest.approx(cost) and found.line(found.worst[0]).startswith("abs_rel 0.00")
    assert not found.line(found.worst[0]).endswith("%")
    with Image.open(write_inspection(found, tmp_path / "worst.png", registry)) as sheet:
        assert sheet.width > 3 * WIDTH


def test_a_gallery_shows_the_truth_beside_the_predictions(run, registry, tmp_path):
    [path] = write_gallery(run.folder, [0], tmp_path / "gallery.png", registry)
    sheet = np.asarray(Image.open(path)).astype(int)
    top = sheet.shape[0] - round(WIDTH * 40 / 48) - 6
    truth, ramp, upright = (sheet[top:, 6 + (WIDTH + 6) * column :][:200, :WIDTH] for column in range(3))
    grey = np.ptp(truth[:, :20], axis=2).max(), np.ptp(upright[:, :20], axis=2).min()
    assert grey[0] == 0 and grey[1] > 20, "what isn't known stays as it is"
    assert np.abs(truth - ramp)[:, 30:].mean() < np.abs(truth - upright)[:, 30:].mean() / 2


def test_near_is_warm_and_far_is_cold(registry):
    depth = torch.tensor([[1.0, 25.0], [NAN, 25.0]])
    black = torch.zeros(3, 2, 2, dtype=torch.uint8)
    picture = np.asarray(draw(black, Prediction(extra={"depth": depth}), (), registry.fields.values())).astype(int)
    (near, far), (unknown, _) = picture[160::320, 160::320]
    assert near[0] > near[2] + 100 and far[2] > far[0] + 50 and not unknown.any()


def test_differences_are_taken_where_lower_is_better(run, registry):
    [found] = rank_runs([run.folder], registry)
    assert (found.task, found.primary, found.unit) == ("depth", "depth_error/abs_rel", "")
    best, other = found.entries
    assert (best.record.cell.model, best.behind, other.record.cell.model) == ("ramp", None, "upright")
    assert 0 < other.behind.low < other.behind.value == pytest.approx(other.value.value - best.value.value)
    result = CliRunner().invoke(cli.app, ["rank", str(run.folder)], catch_exceptions=False)
    assert "depth on ramps, 12 images" in result.output and "abs_rel [95 % CI]" in result.output


@pytest.fixture
def photograph(tmp_path) -> Path:
    file = tmp_path / "photograph.png"
    Image.new("RGB", (60, 40), (90, 90, 90)).save(file)
    return file


@pytest.mark.usefixtures("registry")
def test_predict_draws_and_describes(photograph, tmp_path):
    arguments = ["predict", "ramp", str(photograph), "--dataset", "ramps", "--out", str(tmp_path / "out")]
    result = CliRunner().invoke(cli.app, arguments, catch_exceptions=False)
    assert result.exit_code == 0 and "2.02 to 7.71 m" in result.output
    [line] = map(json.loads, (tmp_path / "out" / "predictions.jsonl").read_text().splitlines())
    assert line["depth"] == {"nearest": 2.02, "farthest": 7.71}
    picture = np.asarray(Image.open(tmp_path / "out" / "photograph.png")).astype(int)
    redness = picture[..., 0] - picture[..., 2]
    assert redness[-1].min() > redness[0].max()


MAP = torch.full((40, 60), 3.0)


@pytest.mark.parametrize(
    ("depth", "words"),
    [
        (MAP.half(), "depth is torch.float16; want torch.float32"),
        (MAP.numpy(), "depth is a ndarray; want a torch.Tensor"),
        (MAP[None], r"depth has the shape \[1, 40, 60\]; want \[40, 60\]"),
        (MAP.T, r"depth has the shape \[60, 40\]; want \[40, 60\]"),
        (MAP.index_fill(0, torch.tensor(7), NAN), r"depth\[7, 0\] is nan; want metres above 0 \(and 59 more\)"),
        (MAP * torch.inf, r"depth\[0, 0\] is inf; want metres above 0"),
        (MAP - 3, r"depth\[0, 0\] is 0.0; want metres above 0"),
    ],
)
def test_an_impossible_prediction_is_refused_by_model_image_and_field(
    registry, photograph, tmp_path, monkeypatch, depth, words
):
    monkeypatch.setattr(Plane, "predict", lambda self, inputs: [Prediction(extra={"depth": depth})])
    drawn = predict_files("ramp", [photograph], tmp_path / "out", "ramps", None, 0.3, "cpu", registry)
    with pytest.raises(PredictError, match=f"model 'ramp': image {photograph}: {words}"):
        list(drawn)


def test_a_prediction_without_depth_is_refused_too(registry, photograph, tmp_path, monkeypatch):
    monkeypatch.setattr(Plane, "predict", lambda self, inputs: [Prediction()])
    drawn = predict_files("ramp", [photograph], tmp_path / "out", "ramps", None, 0.3, "cpu", registry)
    with pytest.raises(PredictError, match=f"image {photograph}: no depth, which the model's task needs"):
        list(drawn)


@pytest.mark.parametrize(
    ("depth", "words"),
    [
        (MAP[:3], r"depth has the shape \[3, 60\]; want \[40, 60\]"),
        (MAP.double(), "depth is torch.float64; want torch.float32"),
        (-MAP, r"depth\[0, 0\] is -3.0; want metres above 0, or NaN where unknown"),
    ],
)
def test_impossible_ground_truth_is_refused_by_image_and_field(registry, depth, words):
    frames = [Frame("first.png", (40, 60), ()), Frame("second.png", (40, 60), ())]
    targets = [Target(extra={"depth": one}) for one in (MAP, depth)]
    with pytest.raises(TargetError, match=rf"image second\.png: ground truth: {words}"):
        score(registry.tasks["depth"], [Prediction(extra={"depth": MAP})] * 2, targets, frames, registry)


def test_the_errors_are_the_papers(registry):
    true = torch.tensor([[1.0, 2.0, 4.0, NAN]])
    predicted = torch.tensor([[1.2, 1.0, 4.0, 9.0]])
    unknown = torch.full((1, 4), NAN)
    predictions = [Prediction(extra={"depth": one}) for one in (predicted, predicted, true.nan_to_num(1.0))]
    targets = [Target(extra={"depth": one}) for one in (true, unknown, true)]
    frames = [Frame(name, (1, 4), ()) for name in "abc"]
    found = score(registry.tasks["depth"], predictions, targets, frames, registry)
    alone = {"abs_rel": (0.2 + 0.5) / 3, "rmse": ((0.04 + 1) / 3) ** 0.5, "delta1": 2 / 3}
    right = {"abs_rel": 0.0, "rmse": 0.0, "delta1": 1.0}
    for name in alone:
        key = f"depth_error/{name}"
        assert found.values[key].value == pytest.approx((alone[name] + right[name]) / 2)
        assert found.per_image[key].tolist() == pytest.approx([alone[name], NAN, right[name]], nan_ok=True)
        costs = found.per_image[f"{key} cost"]
        assert costs[0] > 0 == costs[1] > costs[2]


def test_another_unit_is_doubtful(registry):
    spec, data = registry.models["ramp"], Ramps(None, "val")
    samples = [data[index] for index in range(3)]
    found = resolve(spec.build)(data.info, spec.config).predict([one.input for one in samples])
    millimetres = [replace(one, extra={"depth": 1000 * one.get("depth")}) for one in found]
    frames = [Frame.of(one.input, data.info) for one in samples]
    targets = [one.target for one in samples]
    told = [score(registry.tasks["depth"], one, targets, frames, registry).warnings for one in (found, millimetres)]
    assert told == [(), ("the median depth is 1e+03 times the true one; want metres",)]


def test_a_dataset_without_a_known_pixel_is_refused_before_anything_runs(registry, monkeypatch):
    blank = Target(extra={"depth": torch.full((40, 48), NAN)})
    known = Ramps.__getitem__
    monkeypatch.setattr(Ramps, "__getitem__", lambda self, index: known(self, index)._replace(target=blank))
    with pytest.raises(ValueError, match="dataset 'ramps': split 'val' has nothing that counts in depth"):
        open_dataset("ramps", registry)


@pytest.mark.parametrize("name", AUGMENTATIONS)
def test_a_mirrored_image_has_no_depth_any_more(name):
    sample = Ramps(None, "train")[0]
    for seed in range(8):
        changed = augment(sample, (name,), torch.Generator().manual_seed(seed), ())
        stayed = changed is sample or name not in GEOMETRIC
        assert changed.target.extra == (sample.target.extra if stayed else {})


def test_a_recipe_that_would_mirror_the_image_alone_is_refused(registry, monkeypatch, tmp_path):
    learns = replace(registry.models["ramp"], required_targets=("depth",), recipe=Recipe(1, 4, 0.1, augment=GEOMETRIC))
    monkeypatch.setitem(registry.models, "ramp", learns)
    with pytest.raises(ValueError, match="learns from depth, which 'horizontal_flip' can't move with the image"):
        train_model("ramp", "ramps", tmp_path, registry)
