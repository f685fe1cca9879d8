"""Pictures of a run, where its predictions were kept: ground truth beside them, the worst images, kinds of mistakes."""

import base64
import io
import re
from dataclasses import replace

import pytest
import torch
from PIL import Image
from typer.testing import CliRunner

from roibench import cli
from roibench.files import file_hash
from roibench.measure.journal import Journal, read_records
from roibench.measure.per_image import save_per_image
from roibench.measure.predictions import save_predictions
from roibench.report.gallery import WIDTH
from roibench.report.page.gallery import Gallery, gallery
from roibench.report.rows import tables
from roibench.structures import Prediction


@pytest.fixture
def run(tmp_path, record, third_party):
    """The folder of a run on `squares`: both models are wrong in two images, and unsure in one of these; one model
    has no figures per image."""
    found = []
    for index in range(12):
        box = torch.tensor([[float(index), 8, index + 16, 24]])
        found.append(Prediction(box, torch.tensor([0.9]), torch.zeros(1, dtype=torch.int64)))
    found[7] = replace(found[7], boxes=found[7].boxes + 15)
    found[8] = replace(found[8], boxes=found[8].boxes + 15, scores=torch.tensor([0.1]))
    journal = Journal.open(tmp_path / "runs", "key")
    predictions, figures = journal.folder / "predictions" / "all.npz", journal.folder / "per_image" / "first.csv"
    save_predictions(predictions, [f"square-{i}" for i in range(12)], found)
    costs = torch.zeros(12).index_fill(0, torch.tensor([7]), 0.05)
    costs[3] = torch.nan
    save_per_image(figures, [f"square-{i}" for i in range(12)], {"coco_ap/AP cost": costs})
    kept = {"predictions": "predictions/all.npz", "predictions_sha256": file_hash(predictions)}
    scored = {"per_image": "per_image/first.csv", "per_image_sha256": file_hash(figures)}
    for model, more in (("first", scored), ("second", {})):
        one = record(model, dataset="squares", dataset_hash="0" * 64, images=12)
        journal.add(one.model_copy(update=kept | more))
    journal.close()
    return journal.folder


def made(run, registry, records=None):
    [table] = tables(records or read_records(run))
    return gallery(table, [run.parent, run], registry)


def test_the_worst_image_comes_first_then_the_first_ones(run, third_party):
    found = made(run, third_party)
    assert [strip.title.split(",")[0] for strip in found.strips] == ["Image 7", "Image 0", "Image 1", "Image 2"]
    assert "cost the models most AP" in found.strips[0].title and "most" not in found.strips[1].title
    assert [one.name for one in found.strips[0].pictures] == ["ground truth", "first", "second"]
    assert [one.note for one in found.strips[0].pictures] == ["", "costs 5.00 %", ""]
    assert found.notes == ()


def test_pictures_are_what_was_predicted(run, third_party):
    truth, first, second = (
        Image.open(io.BytesIO(base64.b64decode(one.source.partition(",")[2]))).convert("RGB")
        for one in made(run, third_party).strips[0].pictures
    )
    assert truth.width == WIDTH and first.tobytes() == second.tobytes() != truth.tobytes()


def test_kinds_of_mistakes_are_counted_over_all_images(run, third_party):
    found = made(run, third_party).mistakes
    assert found.titles == ("model", "images", "background", "missed")
    assert found.rows == (("first", "12", "1", "2"), ("second", "12", "1", "2")), (
        "only what is drawn, but all that is missed"
    )


def test_what_cant_be_shown_is_told(run, third_party):
    records = read_records(run)
    absent = records[1].model_copy(update={"predictions": "predictions/none.npz"})
    found = made(run, third_party, [records[0], absent])
    assert len(found.strips[0].pictures) == 2 and found.notes == ("not shown, as no predictions were kept: second.",)
    other = records[1].model_copy(update={"predictions_sha256": "1" * 64})
    found = made(run, third_party, [records[0], other])
    assert len(found.strips[0].pictures) == 2 and "are others than its record says" in found.notes[0]
    gone = [one.model_copy(update={"predictions": "none.npz"}) for one in records]
    assert made(run, third_party, gone) == Gallery()
    moved = [one.cell.model_copy(update={"dataset_hash": "1" * 64}) for one in records]
    changed = [one.model_copy(update={"cell": cell}) for one, cell in zip(records, moved, strict=True)]
    found = made(run, third_party, changed)
    assert found.strips == () and "has changed since" in found.notes[0]


def test_the_command_finds_pictures_in_runs_and_above_them(run, third_party):
    for folder in (run, run.parent, run / "records.jsonl"):
        text = CliRunner().invoke(cli.app, ["report", str(folder), "--format", "html"], catch_exceptions=False).output
        assert len(re.findall(r'<img src="data:image/webp;base64,[^"]+" alt="Image', text)) == 12
        assert "Kinds of mistakes" in text
