"""The adapter for tables of boxes, on small folders made here, with the columns that tools write."""

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from roibench.datasets.bad_data import BadDataError
from roibench.datasets.boxes_csv import open_csv
from roibench.datasets.reference import DatasetRef


def add(folder: Path, *places: str, size=(40, 30)) -> None:
    for place in places:
        (folder / place).parent.mkdir(parents=True, exist_ok=True)
        pixels = np.random.default_rng(len(place)).integers(0, 256, (size[1], size[0], 3), np.uint8)
        Image.fromarray(pixels).save(folder / place)


@pytest.fixture
def folder(tmp_path):
    """Two images of 40x30 in val, of which the second has no objects, and one in train."""
    add(tmp_path, "images/a.jpg", "images/b.jpg", "images/c.jpg")
    head = "image,xmin,ymin,xmax,ymax,label"
    (tmp_path / "val.csv").write_text(f'{head}\na.jpg,1,2,10.5,20,cat\na.jpg,0,0,40,30,"dog, big"\nb.jpg,,,,,\n')
    (tmp_path / "train.csv").write_text(f"{head}\nc.jpg,1,2,10,20,ant\n")
    return tmp_path


def test_a_table_is_read(folder):
    data = open_csv(str(folder), "val")
    assert data.info.classes == ("ant", "cat", "dog, big"), "of all splits, so that labels mean the same in each"
    assert (data.info.name, data.info.split, data.info.image_size) == (f"csv:{folder}", "val", (30, 40))
    assert [sample.input.id for sample in data] == ["a.jpg", "b.jpg"] and data.problems == ()
    assert data[0].target.boxes.tolist() == [[1, 2, 10.5, 20], [0, 0, 40, 30]]
    assert data[0].target.labels.tolist() == [1, 2] and data[0].target.areas.tolist() == [171, 1200]
    assert data[1].target.boxes.shape == (0, 4)
    alone = open_csv(str(folder / "val.csv"), "whatever")
    assert alone.info.classes == ("cat", "dog, big") and len(alone) == 2
    (folder / "classes.txt").write_text("dog, big\ncat\nowl")
    assert open_csv(str(folder), "val").info.classes == ("dog, big", "cat", "owl")


@pytest.mark.parametrize(
    "text",
    [
        "filename,width,height,class,xmin,ymin,xmax,ymax\na.jpg,40,30,cat,3,4,13,24",  # TensorFlow's, Roboflow's
        'image_id,width,height,bbox,source,label\na,40,30,"[3, 4, 10, 20]",x,cat',
        "a.jpg,3,4,13,24,cat",  # keras-retinanet's: no columns named
        "Path;X1;Y1;X2;Y2;Category\nimages/a.jpg;3;4;13;24;cat",
        "image\tlabel\tx\ty\tw\th\na.jpg\tcat\t3\t4\t10\t20",
        "\ufeffimage,label,left,top,right,bottom,note\nphotos\\a.jpg,cat,3,4,13,24,",
    ],
)
def test_tables_that_are_about_open(folder, text):
    (folder / "val.csv").write_text(text)
    [sample] = open_csv(str(folder / "val.csv"), "val")
    assert sample.target.boxes.tolist() == [[3, 4, 13, 24]] and sample.target.labels.tolist() == [0]


def test_a_split_may_be_a_folder_and_images_lie_elsewhere(folder):
    add(folder, "test/d.jpg", "elsewhere/d.jpg", size=(8, 8))
    (folder / "test/_annotations.csv").write_text("filename,class,xmin,ymin,xmax,ymax\nd.jpg,cat,1,1,4,4")
    data = open_csv(str(folder), "test")
    assert data.info.classes == ("ant", "cat", "dog, big") and len(data) == 1
    named = f"{folder}/test/_annotations.csv:{folder}/elsewhere"
    assert open_csv(named, "val").pictures[0].image.file == folder / "elsewhere/d.jpg"
    assert DatasetRef.parse(f"csv:{named}").label == "csv:_annotations.csv:elsewhere"
    with pytest.raises(ValueError, match=r"nowhere: no such folder, in csv:FILE\.csv:IMAGES"):
        open_csv(f"{folder}/val.csv:nowhere", "val")


def test_what_counts_neither_way_and_areas_are_columns(folder):
    head = "image,xmin,ymin,xmax,ymax,label,crowd,difficult,area"
    (folder / "val.csv").write_text(f"{head}\na.jpg,1,2,10,20,cat,1,no,7.5\na.jpg,1,2,11,20,cat,,yes,\n")
    target = open_csv(str(folder), "val")[0].target
    assert (target.crowd.tolist(), target.ignored.tolist()) == ([True, False], [False, True])
    assert target.areas.tolist() == [7.5, 180]


@pytest.mark.parametrize(
    ("line", "words"),
    [
        ("a.jpg,1,2,10,cat", r"val.csv:3: has 5 columns, want 6"),
        (",1,2,10,20,cat", "names no image"),
        ("a.jpg,1,2,10,20,", "box 1, 2, 10, 20 without a label"),
        ("a.jpg,1,2,,20,cat", "cat: box without four numbers: 1, 2, , 20"),
        ("a.jpg,1,2,x,20,cat", "cat: box without four numbers"),
        ("a.jpg,10,2,1,20,cat", "cat: box 10, 2, 1, 20 is inverted"),
        ("a.jpg,1,2,inf,20,cat", "is not finite"),
        ("a.jpg,1,2,50,20,cat", "cat: box 1, 2, 50, 20 is outside of the image of 40x30"),
        ("z.jpg,1,2,10,20,cat", "z.jpg: missing"),
        ("a\0.jpg,1,2,10,20,cat", "holds a zero byte"),
    ],
)
def test_a_bad_line_is_named_and_left_out_on_request(folder, line, words):
    (folder / "val.csv").write_text(f"image,xmin,ymin,xmax,ymax,label\na.jpg,1,2,10,20,cat\n{line}\n")
    with pytest.raises(BadDataError, match=words):
        open_csv(str(folder), "val")
    with pytest.warns(UserWarning, match=words):
        assert [len(one.target.boxes) for one in open_csv(str(folder), "val", "skip")] == [1]


@pytest.mark.parametrize(
    ("line", "words"),
    [
        ("a.jpg,cat,1,2,10,20,30,40,,,", "gives the size 30x40, but .*a.jpg has 40x30 pixels"),
        ("a.jpg,cat,1,2,10,20,40,30,maybe,,", "cat: crowd 'maybe' is neither yes nor no"),
        ("a.jpg,cat,1,2,10,20,40,30,,2,", "cat: ignored '2' is neither yes nor no"),
        ("a.jpg,cat,1,2,10,20,40,30,,,-1", "cat: area '-1' is none"),
        ("a.jpg,bee,1,2,10,20,40,30,,,", "label 'bee' is unknown: classes.txt has 1 others"),
    ],
)
def test_a_bad_value_is_named(folder, line, words):
    head = "image,label,xmin,ymin,xmax,ymax,width,height,crowd,ignored,area"
    (folder / "val.csv").write_text(f"{head}\n{line}\n")
    (folder / "classes.txt").write_text("cat")
    with pytest.raises(BadDataError, match=words):
        open_csv(str(folder), "val")


def test_what_is_no_table_of_boxes_is_refused(folder):
    with pytest.raises(ValueError, match=r"has no split 'test', test.csv; it has: train, val"):
        open_csv(str(folder), "test")
    with pytest.raises(ValueError, match="nowhere: no such table or folder"):
        open_csv("nowhere", "val")
    (folder / "val.csv").write_text("image,label\na.jpg,cat")
    with pytest.raises(
        ValueError, match="want a first line that names image, label, and xmin, ymin, xmax, ymax or x, y"
    ):
        open_csv(str(folder), "val")
    (folder / "val.csv").write_text("")
    assert len(open_csv(str(folder), "val")) == 0
