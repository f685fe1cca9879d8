"""`roibench data`: counts that can be done by hand, every format seen by its files, and what is broken is listed."""

import json

import pytest
from coco_files import document, obj, one_image, real, write
from few_samples import CAT, NOTHING, Few
from typer.testing import CliRunner

from roibench import cli
from roibench.datasets.convert import convert
from roibench.datasets.reference import open_dataset
from roibench.datasets.summary import size_of, summarize
from roibench.registry import installed


def told(*arguments: object) -> str:
    ran = CliRunner().invoke(cli.app, ["data", *map(str, arguments)])
    assert ran.exit_code == 0, ran.output
    return ran.output


def test_a_photograph_collection_is_counted_as_its_json_has_it():
    folder = real("coco_free", "coco128")
    found = json.loads((folder / "annotations" / "instances_train2017.json").read_text())
    summary = summarize(open_dataset(f"coco:{folder}@train2017", installed(), on_bad_data="skip"))
    there = {one["id"] for one in found["images"] if (folder / "train2017" / one["file_name"]).is_file()}
    annotations = [one for one in found["annotations"] if one["image_id"] in there]
    assert summary.images == len(there)
    assert sum(one.objects + one.uncounted for one in summary.classes.values()) == len(annotations)
    for category in found["categories"]:
        own = [a for a in annotations if a["category_id"] == category["id"]]
        one = summary.classes[category["name"]]
        assert one.images == len({a["image_id"] for a in own})
        counted = [size_of(a["area"]) for a in own if not a.get("iscrowd")]
        assert {size: counted.count(size) for size in one.sizes if one.sizes[size]} == +one.sizes


@pytest.mark.parametrize(("area", "size"), [(0, "small"), (32**2 - 1, "small"), (32**2, "medium"), (96**2, "large")])
def test_sizes_are_cocos(area, size):
    assert size_of(area) == size


@pytest.mark.parametrize("form", ["coco", "csv", "voc", "yolo"])
def test_the_format_of_a_copy_is_seen(form, tmp_path):
    convert(Few(CAT, NOTHING), form, tmp_path)
    output = told(f"{tmp_path}@val")
    assert "2 images, 9x6" in output and "images without an object: 1" in output and "no problem" in output


def test_what_is_broken_and_what_is_doubtful_is_listed(tmp_path):
    write(one_image(tmp_path), document(obj(1), obj(2), obj(3, bbox=(3, 4, -1, 5))))
    output = told(f"coco:{tmp_path}@val")
    assert "doubtful: images with the same box and class twice" in output
    assert "problem: " in output and "1 problems" in output


def test_a_folder_of_nothing_is_one_line(tmp_path):
    ran = CliRunner().invoke(cli.app, ["data", str(tmp_path)])
    assert ran.exit_code != 0 and "no format is seen there" in f"{ran.output}{ran.exception}"
