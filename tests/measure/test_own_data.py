"""Data from somebody's folder, from what is typed to the record: the right figure, or one line before anything runs."""

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from roibench.datasets.bad_data import BadDataError
from roibench.measure.journal import read_records
from roibench.measure.plan import Options, make_plan

WHITE = [40, 16, 16, 24]  # where a photograph of 64x64 is white, as x, y, width and height


def photograph(file: Path, white: list[int] = WHITE) -> None:
    """Stored on its side, as EXIF's orientation 6 wants it."""
    x, y, width, height = white
    pixels = np.zeros((64, 64, 3), np.uint8)
    pixels[y : y + height, x : x + width] = 255
    exif = Image.Exif()
    exif[0x112] = 6
    Image.fromarray(np.rot90(pixels)).save(file, exif=exif, quality=95)


def annotate(folder: Path, boxes: list[list[float]], **more) -> Path:
    """A COCO file beside four photographs 0.jpg to 3.jpg."""
    images = [{"id": k, "file_name": f"{k}.jpg", "width": 64, "height": 64} for k in range(len(boxes))]
    things = [{"id": k, "image_id": k, "category_id": 1, "bbox": box} | more for k, box in enumerate(boxes) if box]
    content = {"images": images, "annotations": things, "categories": [{"id": 1, "name": "square"}]}
    file = folder / "truth.json"
    file.write_text(json.dumps(content))
    return file


@pytest.fixture
def folder(tmp_path):
    """Four square photographs, which lie on their sides."""
    folder = tmp_path / "cats, dogs"
    folder.mkdir()
    for k in range(4):
        photograph(folder / f"{k}.jpg")
    annotate(folder, [WHITE] * 4)
    return folder


def test_bad_photographs_and_boxes_are_listed_before_anything_runs(folder, third_party):
    torn = folder / "2.jpg"
    torn.write_bytes(torn.read_bytes()[:-40])
    file = annotate(folder, [WHITE, WHITE, WHITE, [40, 16, 100, 24]])
    with pytest.raises(BadDataError) as caught:
        make_plan(Options(models=("works",), datasets=(f"coco:{file}",)), third_party)
    said = [str(problem) for problem in caught.value.problems]
    assert said[0] == f"{file}: annotation 3: square: bbox [40, 16, 100, 24] is outside of the image of 64x64"
    assert said[1].startswith(f"{torn}: can't be read: image file is truncated") and len(said) == 2


@pytest.mark.usefixtures("third_party")
def test_a_run_scores_upright_photographs_clips_boxes_and_leaves_out_what_is_torn(folder, tmp_path):
    photograph(folder / "3.jpg", [40, 16, 24, 24])
    (folder / "2.jpg").write_bytes((folder / "2.jpg").read_bytes()[:-40])
    typed = f"coco:{annotate(folder, [WHITE, WHITE, WHITE, [40, 16, 100, 24]])}"
    command = [
        sys.executable,
        "-m",
        "roibench",
        "run",
        "--model",
        "works",
        "--rounds",
        "1",
        "--out",
        str(tmp_path / "runs"),
    ]
    command += ["--dataset", typed, "--on-bad-data", "clip"]
    done = subprocess.run(command, capture_output=True, text=True)
    printed = done.stdout + done.stderr
    assert done.returncode == 0, printed
    (record,) = read_records(next((tmp_path / "runs").glob("*/records.jsonl")))
    assert (record.cell.dataset, record.cell.on_bad_data, record.images) == (typed, "clip", 3)
    assert record.scores["detection"].values["coco_ap/AP"].value == pytest.approx(1)
    assert "left out because of bad data:" in printed and "2.jpg: can't be read: image file is truncated" in printed
    assert (
        "clipped to the image:" in printed and "bbox [40, 16, 100, 24] is outside of the image of 64x64 by" in printed
    )


NOTHING = {
    "no annotation": ([[]] * 4, {}, None, "split 'val' has nothing that counts in boxes, labels"),
    "crowds": ([WHITE] * 4, {"iscrowd": 1}, None, "split 'val' has nothing that counts in boxes, labels"),
    "all left out": (
        [[9, 9, -1, 5]] * 4,
        {},
        None,
        r"that counts .*\(left out because of bad data: 4",
    ),
    "first images": ([[], [], WHITE, WHITE], {}, 2, "has nothing that counts for detection in its first 2 images"),
}


@pytest.mark.filterwarnings("ignore:left out")
@pytest.mark.parametrize("kind", NOTHING)
def test_data_in_which_nothing_counts_is_refused_before_anything_runs(folder, third_party, kind):
    boxes, more, images, message = NOTHING[kind]
    source = f"coco:{annotate(folder, boxes, **more)}"
    with pytest.raises(ValueError, match=message):
        make_plan(Options(models=("works",), datasets=(source,), images=images, on_bad_data="skip"), third_party)
    if images:
        assert make_plan(Options(models=("works",), datasets=(source,), images=images + 1), third_party).cells


def test_a_split_without_images_is_refused(folder, third_party):
    with pytest.raises(ValueError, match="split 'val' has no images"):
        make_plan(Options(models=("works",), datasets=(f"coco:{annotate(folder, [])}",)), third_party)
