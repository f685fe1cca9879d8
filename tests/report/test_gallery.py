"""Relevance drawn, and a run's predictions side by side."""

from dataclasses import replace
from functools import partial

import numpy as np
import pytest
import torch
from PIL import Image
from typer.testing import CliRunner

from roibench import cli
from roibench.draw.prediction import draw as draw_fields
from roibench.files import file_hash
from roibench.measure.journal import Journal
from roibench.measure.predictions import save_predictions
from roibench.measure.rank import rank_runs
from roibench.measure.record import Score
from roibench.measure.recorded import recorded_cells
from roibench.registry import installed
from roibench.report.gallery import WIDTH, left_out, side_by_side, write_gallery
from roibench.structures import Prediction, Target
from roibench.task import ground_truth

draw = partial(draw_fields, fields=installed().fields.values())
GREY = torch.full((3, 64, 64), 120, dtype=torch.uint8)


def drawn(relevance, image=GREY):
    return np.asarray(draw(image, Prediction(extra={"attribution": relevance}), ("circle",))).astype(int)


def test_relevance_is_warm_where_it_is_high_and_marked_and_boxed():
    relevance = torch.zeros(64, 64)
    relevance[20:40, 10:30] = 1
    relevance[30, 25] = 1.2
    picture = drawn(relevance)
    assert picture.shape == (640, 640, 3)
    red, _, blue = picture[220, 120]
    assert red > blue + 40
    assert (picture[600, 600] == 120).all()
    assert (picture[305, 255] == 255).all()  # the cross lies on the maximum
    white = (picture == 255).all(2)
    assert white[250, 98:106].any() and white[250, 294:302].any() and not white[250, 320:].any()  # the box's sides


def test_a_map_that_is_the_same_everywhere_leaves_the_image():
    assert (drawn(torch.full((64, 64), 3.0)) == 120).all()


def test_a_map_of_one_pixel_and_one_at_the_border_are_drawn():
    draw(GREY[:, :1, :1], Prediction(extra={"attribution": torch.ones(1, 1)}), ("circle",))
    corner = torch.zeros(64, 64)
    corner[63, 63] = 1
    assert (drawn(corner)[639, 639] != 120).any()


def test_ground_truth_is_what_the_query_names():
    target = Target(boxes=torch.rand(3, 4), labels=torch.tensor([4, 2, 4]), main=0, semantic_map=torch.zeros(2, 2))
    assert installed().tasks["attribution"].ground_truth(target).labels.tolist() == [4, 4]
    assert installed().tasks["detection"].ground_truth(target).labels.tolist() == [4, 2, 4]
    assert installed().tasks["detection"].ground_truth(target).semantic_map is None
    assert installed().tasks["semantic_segmentation"].ground_truth(target).boxes is None
    assert installed().tasks["attribution"].ground_truth(Target()) == Prediction()


def test_ground_truth_of_several_tasks_has_the_fields_of_all():
    target = Target(boxes=torch.zeros(2, 4), labels=torch.tensor([4, 2]), masks=torch.ones(2, 5, 5, dtype=torch.bool))
    both = ground_truth([installed().tasks[name] for name in ("detection", "instance_segmentation")], target)
    assert set(both.known) == {"boxes", "labels", "scores", "masks"}


def test_pictures_of_all_sizes_stand_in_rows_and_columns():
    tall, wide = Image.new("RGB", (100, 300), "red"), Image.new("RGB", (400, 100), "blue")
    sheet = np.asarray(side_by_side({"one": [tall, wide], "a model of quite a name" * 9: [wide, wide]}))
    red, blue = ((sheet == colour).all(2) for colour in ((255, 0, 0), (0, 0, 255)))
    assert red.sum() == WIDTH * 3 * WIDTH and blue.sum() == 3 * WIDTH * WIDTH // 4
    assert np.nonzero(blue.any(0))[0][0] == np.nonzero(red.any(0))[0][0]


def headings(*names):
    """The sheet above its pictures, by column: where there is ink."""
    white = Image.new("RGB", (100, 100), "white")
    sheet = np.asarray(side_by_side({name: [white] for name in names}).convert("L")) < 128
    return [sheet[:, 6 + i * (WIDTH + 6) :][:, :WIDTH] for i in range(len(names))]


def test_a_heading_that_is_too_long_goes_on_in_another_line_and_none_reaches_into_the_next_column():
    long = "an_outer_model_of_quite_a_name@an_inner_model_that_has_a_longer_one knob=12"
    short, several = headings("short", long)
    assert several.any(1).sum() > 2 * short.any(1).sum(), "three lines"
    assert not several[:, -3:].any() and np.nonzero(short)[0].max() == pytest.approx(
        np.nonzero(several)[0].max(), abs=5
    )
    [endless] = headings("a" * 400)
    assert endless.any() and not endless[:, -2:].any()


def test_what_is_written_on_a_picture_can_be_read_once_it_is_in_the_sheet():
    found = Prediction(torch.tensor([[10.0, 30, 50, 60]]), torch.ones(1), torch.zeros(1, dtype=torch.int64))
    heights = []
    for shown_at in (None, WIDTH):
        picture = np.asarray(draw(GREY, found, ("circle",), shown_at=shown_at)).astype(int)
        coloured = (np.ptp(picture, axis=2) > 60).any(1)
        heights.append(300 - int(np.nonzero(coloured)[0][0]))  # of the tag above the box, which begins at 300
    assert heights[1] == pytest.approx(2 * heights[0], abs=4)


@pytest.fixture
def run(tmp_path, record, score, third_party):
    """The folder of a run of two explainers on `squares`."""
    scores = {"attribution": Score(primary="pointing_game/pointing", values={"pointing_game/pointing": score(0.4)})}
    journal = Journal.open(tmp_path / "runs", "key")
    for index, name in enumerate(("points", "elsewhere")):
        maps = torch.zeros(4, 40, 48)
        maps[:, 16, 4 + 20 * index] = 1
        predictions = [Prediction(extra={"attribution": one}) for one in maps]
        path = journal.folder / "predictions" / f"{name}.npz"
        save_predictions(path, [f"square-{i}" for i in range(4)], predictions)
        kept = {"predictions": str(path.relative_to(journal.folder)), "predictions_sha256": file_hash(path)}
        made = record(name, scores=scores, dataset="squares", dataset_hash="0" * 64, images=4)
        journal.start(made.cell_id)
        journal.add(made.model_copy(update=kept))
    journal.close()
    return journal.folder


def test_a_gallery_has_a_row_per_image_and_a_column_per_model(run, third_party, tmp_path):
    [out] = write_gallery(run, [0, 3], tmp_path / "new" / "gallery.png", third_party)
    sheet = Image.open(out)
    row = round(WIDTH * 40 / 48)
    assert sheet.width > 3 * WIDTH and 2 * row < sheet.height < 2 * row + 80
    [out] = write_gallery(run, [0], tmp_path / "one.png", third_party)
    one = Image.open(out)
    assert one.width == sheet.width and one.height < sheet.height


def test_models_that_do_not_fit_beside_each_other_go_on_on_the_next_page(run, third_party, tmp_path):
    paths = write_gallery(run, [0], tmp_path / "gallery.png", third_party, columns=1)
    assert [path.name for path in paths] == ["gallery.png", "gallery-2.png"]
    first, second = (np.asarray(Image.open(path)) for path in paths)
    column = 6 + WIDTH
    assert first.shape == second.shape and first.shape[1] == 2 * column + 6
    assert (first[:, :column] == second[:, :column]).all(), "the ground truth stands on both"
    assert (first[:, column:] != second[:, column:]).any()
    with pytest.raises(ValueError, match="--columns 0: want 1 or more"):
        write_gallery(run, [0], tmp_path / "gallery.png", third_party, columns=0)


def test_patterns_choose_the_models(run, third_party, tmp_path):
    [out] = write_gallery(run, [0], tmp_path / "gallery.png", third_party, ["else*"])
    assert Image.open(out).width == 6 + 2 * (WIDTH + 6)
    both = write_gallery(run, [0], tmp_path / "both.png", third_party, ["else*", "points"], columns=1)
    assert len(both) == 2
    with pytest.raises(ValueError, match="--model: no cell matches 'pionts'; did you mean 'points'"):
        write_gallery(run, [0], tmp_path / "gallery.png", third_party, ["pionts"])


def test_the_command_takes_patterns_and_tells_every_page(run):
    typed = ["gallery", str(run), "--images", "0", "--columns", "1"]
    found = CliRunner().invoke(cli.app, typed, catch_exceptions=False)
    assert found.output.splitlines() == [f"wrote {run / name}" for name in ("gallery.png", "gallery-2.png")]
    found = CliRunner().invoke(cli.app, [*typed, "--model", "points, nothing*"])
    assert "no cell matches 'nothing*'" in str(found.exception)


@pytest.mark.parametrize("image", [4, -1])
def test_an_image_that_was_not_predicted_is_refused(run, third_party, tmp_path, image):
    with pytest.raises(ValueError, match=f"image {image}: want 0 to 3"):
        write_gallery(run, [image], tmp_path / "gallery.png", third_party)


def test_predictions_that_have_changed_are_refused(run, third_party, tmp_path):
    (run / "predictions" / "points.npz").write_bytes(b"other")
    with pytest.raises(ValueError, match="others than its record says"):
        write_gallery(run, [0], tmp_path / "gallery.png", third_party)


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"labels": torch.tensor([3])}, r"image square-2: labels\[0\] is 3; want 0 to 0"),
        ({"scores": torch.tensor([torch.nan])}, r"image square-2: scores\[0\] is nan"),
        ({"boxes": torch.zeros(2, 4)}, "image square-2: 2 boxes, 1 scores, 1 labels"),
    ],
)
def test_what_an_earlier_version_recorded_unseen_is_named(tmp_path, record, third_party, changes, words):
    """For compare, too."""
    sound = Prediction(torch.tensor([[1.0, 8, 17, 24]]), torch.ones(1), torch.zeros(1, dtype=torch.int64))
    predictions = [sound, sound, replace(sound, **changes), sound]
    journal = Journal.open(tmp_path / "runs", "key")
    path = journal.folder / "predictions" / "odd.npz"
    save_predictions(path, [f"square-{i}" for i in range(4)], predictions)
    kept = {"predictions": str(path.relative_to(journal.folder)), "predictions_sha256": file_hash(path)}
    made = record("odd", dataset="squares", dataset_hash="0" * 64, images=4)
    journal.add(made.model_copy(update=kept))
    journal.close()
    with pytest.raises(ValueError, match=f"^{made.cell_id}: {words}"):
        write_gallery(journal.folder, [0, 2], tmp_path / "gallery.png", third_party)
    with pytest.raises(ValueError, match=f"^{made.cell_id}: {words}"):
        rank_runs([journal.folder], third_party)
    write_gallery(journal.folder, [0, 3], tmp_path / "gallery.png", third_party)


def test_cells_that_are_not_shown_are_named(run, record):
    assert left_out(run) == []
    journal = Journal(run)
    other = record("elsewhere", dataset="photos", dataset_hash="1" * 64)
    journal.add(other)
    assert left_out(run) == [other.cell_id]


def test_models_that_are_named_are_shown_whatever_their_tasks(run, record, third_party):
    journal = Journal(run)
    scored = record("other_task", dataset_hash=recorded_cells(run)[0].cell.dataset_hash)
    [score] = scored.scores.values()
    journal.add(scored.model_copy(update={"scores": {"keypoints": score}}))
    assert left_out(run) == [scored.cell_id]
    assert left_out(run, ["*_task"]) == left_out(run, ["*", "other_task"]) == []


def test_a_folder_without_records_is_named(third_party, tmp_path):
    with pytest.raises(ValueError, match="no run's folder"):
        write_gallery(tmp_path, [0], tmp_path / "gallery.png", third_party)
