"""Copies of datasets in each format, read back: the same ground truth, and the same scores."""

import re
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
import yaml
from coco_files import one_image, real
from few_samples import CAT, NOTHING, Few
from PIL import Image
from typer.testing import CliRunner

from roibench import cli
from roibench.datasets import convert as module
from roibench.datasets.boxes_csv import open_csv
from roibench.datasets.coco import open_coco
from roibench.datasets.convert import WRITERS, convert
from roibench.datasets.folders import open_folders
from roibench.datasets.reference import open_dataset
from roibench.datasets.scenes import Scenes, open_icons
from roibench.datasets.voc import open_voc
from roibench.datasets.yolo import open_yolo
from roibench.metrics.detection import coco_ap
from roibench.registry import installed
from roibench.structures import Prediction, Target

FIELDS = ("boxes", "labels", "crowd", "ignored", "areas")


def assert_same(ours: Target, theirs: Target, names=FIELDS) -> None:
    """But for the order of objects, and for flags that are all off."""

    def rows(target: Target) -> np.ndarray:
        off = torch.zeros(len(target.labels))
        columns = [getattr(target, name) if getattr(target, name) is not None else off for name in names[1:]]
        table = torch.cat([target.boxes.double(), *(column.double()[:, None] for column in columns)], 1).numpy()
        return table[np.lexsort(table.T[::-1])]

    assert np.allclose(rows(ours), rows(theirs), rtol=1e-6, atol=0)


def jittered(target: Target, classes: int, seed: int) -> Prediction:
    """Detections that stray from the ground truth, and a few that are wrong."""
    generator = np.random.default_rng(seed)
    boxes = target.boxes.repeat(2, 1)
    sides = boxes[:, 2:] - boxes[:, :2]
    moved = boxes + torch.tensor(generator.normal(0, 0.08, boxes.shape), dtype=torch.float32) * sides.repeat(1, 2)
    boxes = torch.cat([torch.minimum(moved[:, :2], moved[:, 2:] - 1), moved[:, 2:]], 1)
    flipped = torch.tensor(generator.random(len(boxes)) < 0.1)
    labels = torch.where(flipped, torch.tensor(generator.integers(classes, size=len(boxes))), target.labels.repeat(2))
    scores = torch.tensor(generator.integers(1, 64, len(boxes)) / 64, dtype=torch.float32)  # many are equal
    order = torch.argsort(scores, descending=True, stable=True)
    return Prediction(boxes=boxes[order], labels=labels[order], scores=scores[order])


@pytest.mark.filterwarnings("ignore:left out because of bad data")
@pytest.mark.parametrize(
    ("part", "form"),
    [("coco128@train", "yolo"), ("coco_mini@val", "yolo"), ("coco_tiny@val", "yolo"), ("coco_mini@val", "csv")],
)
def test_a_copy_of_coco_has_the_same_ground_truth_and_score(tmp_path, part, form):
    name, split = part.split("@")
    data = open_coco(str(real("coco_free", name)), split, "skip")
    report = convert(data, form, tmp_path)
    copy = open_dataset(report.reference, installed())
    assert copy.info.classes == data.info.classes and report.images == len(copy) == len(data)
    ours, theirs = ([one.target(picture) for picture in one.pictures] for one in (data, copy))
    assert report.objects.total() == sum(len(target.labels) for target in ours)
    assert any(target.crowd.any() for target in ours)
    for one, other in zip(ours, theirs, strict=True):
        assert_same(one, other)
    predictions = [jittered(target, len(data.info.classes), seed) for seed, target in enumerate(ours)]
    scores, copied = (coco_ap(predictions, targets).values for targets in (ours, theirs))
    assert {key: value.value for key, value in scores.items()} == {key: value.value for key, value in copied.items()}
    assert 0.2 < scores["AP"].value < 0.9
    for original, copied in zip(data.pictures, copy.pictures, strict=True):
        assert original.image.sha256 == copied.image.sha256, "the image files are copied as they are"
        assert original.image.file.name == copied.image.file.name


@pytest.mark.filterwarnings("ignore:left out because of bad data")
def test_voc_goes_round_through_every_format(tmp_path):
    """VOC -> YOLO -> CSV -> COCO -> VOC."""
    first = data = open_voc(str(real("bccd", "BCCD")), "test", "skip")
    for form in ("yolo", "csv", "coco", "voc"):
        data = open_dataset(convert(data, form, tmp_path / form, 9).reference, installed())
    assert data.info.classes == first.info.classes
    for original, copied in zip(first.pictures, data.pictures, strict=False):
        assert (original.id, original.image.sha256) == (copied.id, copied.image.sha256)
        assert_same(first.target(original), data.target(copied))


def test_what_a_format_has_no_place_for_is_told(tmp_path):
    data = open_coco(str(one_image(tmp_path)), "val")
    notes = {form: convert(data, form, tmp_path / form).notes for form in ("coco", "yolo", "csv", "voc")}
    assert notes["coco"] == ()
    beside = "other tools know nothing of the folders beside labels: areas, crowds"
    assert notes["yolo"] == (beside, "yolo has no place for masks")
    assert notes["csv"] == ("csv has no place for masks",)
    assert notes["voc"] == (
        "1 crowds are difficult objects: VOC knows no crowds",
        "voc has no place for masks, areas of objects",
        "classes without an object are left out: 1",
    )
    assert open_voc(str(tmp_path / "voc"), "val")[0].target.ignored.tolist() == [False, True]


def test_outlines_are_nearly_the_masks(tmp_path):
    data = Scenes("val")
    report = convert(data, "yolo-segments", tmp_path, 12)
    copy = open_dataset(report.reference, installed())
    assert "masks" in copy.info.fields
    overlaps = []
    for index in range(12):
        ours, theirs = data[index].target, copy[index].target
        assert torch.equal(ours.labels, theirs.labels) and torch.allclose(ours.areas, theirs.areas)
        both, either = (ours.masks & theirs.masks).sum((1, 2)), (ours.masks | theirs.masks).sum((1, 2))
        overlaps += (both / either)[ours.areas > 50].tolist()
        assert (ours.boxes - theirs.boxes).abs().max() <= 1.5
    assert np.mean(overlaps) > 0.95 and min(overlaps) > 0.7


def test_parts_and_holes_of_a_mask_become_one_outline(tmp_path):
    mask = torch.zeros(1, 40, 60, dtype=torch.bool)
    mask[0, 2:20, 2:20] = True
    mask[0, 25:38, 40:58] = True
    mask[0, 8:14, 8:14] = False
    box = torch.tensor([[2.0, 2, 58, 38]])
    convert(Wide(Target(boxes=box, labels=torch.tensor([1]), masks=mask)), "yolo-segments", tmp_path)
    found = open_yolo(str(tmp_path), "val")[0].target.masks
    assert (found ^ mask).sum() <= 0.1 * mask.sum()


class Wide(Few):
    """Of a larger image."""

    def __getitem__(self, index):
        sample = super().__getitem__(index)
        return sample._replace(input=replace(sample.input, image=torch.zeros(3, 40, 60, dtype=torch.uint8)))


def test_poses_are_the_same(tmp_path):
    data = Scenes("val")
    copy = open_dataset(convert(data, "yolo-pose", tmp_path, 6).reference, installed())
    assert copy.info.joints == data.info.joints
    for index in range(6):
        ours, theirs = data[index].target, copy[index].target
        assert torch.allclose(ours.keypoints, theirs.keypoints, atol=1e-4)
        assert_same(ours, theirs)


def test_images_by_class_become_folders(tmp_path):
    data = open_icons(None, "val")
    report = convert(data, "folders", tmp_path, 8)
    copy = open_folders(str(tmp_path), "val")
    assert sorted(copy.info.classes) == sorted(data.info.classes), "a class without an image has its folder"
    names = sorted(data.info.classes[data[index].target.image_label] for index in range(8))
    assert sorted(copy.info.classes[one.label] for one in copy.pictures) == names == sorted(report.objects.elements())
    with pytest.raises(FileExistsError, match="val is there already"):
        convert(data, "folders", tmp_path, 8)


def test_another_split_goes_into_the_same_folder(tmp_path):
    train, val = (Few(CAT, NOTHING) for _ in range(2))
    train.info = replace(train.info, split="train")
    for form, opens in (("yolo", open_yolo), ("csv", open_csv), ("voc", open_voc), ("coco", open_coco)):
        out = tmp_path / form
        for data in (train, val):
            assert convert(data, form, out).images == 2
        for split in ("train", "val"):
            assert [len(sample.target.boxes) for sample in opens(str(out), split)] == [1, 0]
        with pytest.raises(FileExistsError, match="is there already, with val"):
            convert(val, form, out)
    val.info = replace(val.info, split="test", classes=("person", "cat"))
    for form in ("yolo", "csv"):
        with pytest.raises(ValueError, match="has other classes than the dataset: name another folder"):
            convert(val, form, tmp_path / form)


def test_other_tools_find_what_a_yolo_copy_has(tmp_path):
    """By the letter of its format: a plain .yaml, a label for each image, all numbers within 0 and 1."""
    convert(Few(CAT, NOTHING), "yolo", tmp_path)
    content = yaml.safe_load((tmp_path / "data.yaml").read_text())
    assert content == {"val": "images/val", "names": {0: "cat", 1: "person"}}
    label, nothing = (tmp_path / "labels/val" / f"{number:012d}.txt" for number in (1, 2))
    values = [float(word) for word in label.read_text().split()]
    assert values == pytest.approx([0, 4.375 / 9, 3.5 / 6, 8.25 / 9, 5 / 6]) and nothing.read_text() == ""
    assert sorted(path.name for path in tmp_path.iterdir()) == ["data.yaml", "images", "labels"]


def test_an_order_that_is_not_that_of_names_is_kept(tmp_path):
    lines = "image,xmin,ymin,xmax,ymax,label\n" + "".join(f"{name}.png,1,2,5,6,cat\n" for name in "bca")
    (tmp_path / "val.csv").write_text(lines)
    for name in "abc":
        Image.new("RGB", (9, 8)).save(tmp_path / f"{name}.png")
    data = open_csv(str(tmp_path), "val")
    convert(data, "yolo", tmp_path / "yolo")
    assert [sample.input.id for sample in open_yolo(str(tmp_path / "yolo"), "val")] == ["b.png", "c.png", "a.png"]


def test_a_turned_image_is_written_as_it_was_seen(tmp_path):
    image = Image.fromarray(np.random.default_rng(0).integers(0, 256, (6, 9, 3), np.uint8))
    exif = image.getexif()
    exif[0x0112] = 6
    image.save(tmp_path / "a.jpg", exif=exif)
    (tmp_path / "val.csv").write_text("image,xmin,ymin,xmax,ymax,label\na.jpg,1,2,5,8,cat\n")
    data = open_csv(str(tmp_path), "val")
    report = convert(data, "yolo", tmp_path / "yolo")
    assert report.notes == ("images that became PNGs, upright, as their EXIF orientation turns them: 1",)
    copy = open_yolo(str(tmp_path / "yolo"), "val")
    assert torch.equal(copy[0].input.image, data[0].input.image) and copy[0].input.image.shape == (3, 9, 6)


def test_two_images_of_one_name_keep_apart(tmp_path):
    for folder in "ab":
        (tmp_path / folder).mkdir()
        Image.new("RGB", (9, 8)).save(tmp_path / folder / "same.png")
    lines = "".join(f"{folder}/same.png,1,2,5,{6 + (folder == 'b')},cat\n" for folder in "ab")
    (tmp_path / "val.csv").write_text(f"image,xmin,ymin,xmax,ymax,label\n{lines}")
    convert(open_csv(str(tmp_path), "val"), "voc", tmp_path / "voc")
    assert [one.target.boxes[0, 3] for one in open_voc(str(tmp_path / "voc"), "val")] == [6, 7]


def test_a_copy_that_reads_otherwise_is_told(tmp_path, monkeypatch):
    monkeypatch.setattr(module.YoloWriter, "values", lambda self, target, index, size: [0.5, 0.5, 0.25, 0.25])
    with pytest.raises(RuntimeError, match="reads otherwise than what was written"):
        convert(Few(CAT, NOTHING), "yolo", tmp_path)


def test_convert_clips_and_reports_as_typed(tmp_path):
    Image.new("RGB", (9, 8)).save(tmp_path / "a.png")
    (tmp_path / "val.csv").write_text("image,xmin,ymin,xmax,ymax,label\na.png,1,2,50,6,cat\na.png,1,2,4,6,cat\n")
    command = ["convert", f"csv:{tmp_path}", "yolo", str(tmp_path / "yolo")]
    runner = CliRunner()
    assert runner.invoke(cli.app, command).exit_code != 0
    with pytest.warns(UserWarning, match="clipped to the image"):
        result = runner.invoke(cli.app, [*command, "--on-bad-data", "clip"], catch_exceptions=False)
    text = re.sub(r"\s+", " ", result.output)
    assert f"wrote {tmp_path}/yolo/data.yaml: 1 images, 2 objects of 1 classes; read back" in text
    assert f"use it: --dataset yolo:{tmp_path}/yolo@val" in text
    assert open_yolo(str(tmp_path / "yolo"), "val")[0].target.boxes.tolist() == [[1, 2, 9, 6], [1, 2, 4, 6]]


def test_every_format_is_tried_here():
    text = Path(__file__).read_text()
    assert all(f'"{form}"' in text for form in WRITERS)
