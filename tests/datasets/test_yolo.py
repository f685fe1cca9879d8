"""The adapter for YOLO's text labels, on small folders made here, in the layouts that are about."""

from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image
from skimage.draw import polygon2mask

from roibench.datasets.bad_data import BadDataError
from roibench.datasets.reference import open_dataset
from roibench.datasets.yolo import open_yolo
from roibench.registry import installed


def add(folder: Path, place: str, *lines: str, size=(40, 20)) -> None:
    """An image, size (width, height), with its label file where there are lines."""
    file = folder / place
    file.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(np.random.default_rng(len(place)).integers(0, 256, (size[1], size[0], 3), np.uint8)).save(file)
    if lines:
        text = Path(str(file).replace("/images/", "/labels/")).with_suffix(".txt")
        text.parent.mkdir(parents=True, exist_ok=True)
        text.write_text("\n".join(lines))


@pytest.fixture
def folder(tmp_path):
    """Three images of 40x20 in val, one of them without objects, and one in train."""
    (tmp_path / "data.yaml").write_text("path: .\ntrain: images/train\nval: images/val\nnames: [ant, no, 'cat']\n")
    add(tmp_path, "images/val/a.jpg", "2 0.5 0.5 0.25 0.5", "1 0.125 0.25 0.25 0.5")
    add(tmp_path, "images/val/b.PNG")
    add(tmp_path, "images/val/deep/c.jpg", "0 0.5 0.5 1 1")
    add(tmp_path, "images/train/d.jpg", "0 0.5 0.5 1 1")
    return tmp_path


def test_a_folder_is_read(folder):
    for path in (folder, folder / "data.yaml"):
        data = open_yolo(str(path), "val")
        assert data.info.classes == ("ant", "no", "cat"), "as written: no is no boolean"
        assert (data.info.name, data.info.split, data.info.image_size) == (f"yolo:{path}", "val", (20, 40))
        assert data.info.fields == {"boxes", "labels", "crowd", "ignored", "areas"}
        assert [sample.input.id for sample in data] == ["a.jpg", "b.PNG", "c.jpg"]
        assert data[0].target.boxes.tolist() == [[15, 5, 25, 15], [0, 0, 10, 10]]
        assert data[0].target.labels.tolist() == [2, 1] and data[0].target.areas.tolist() == [100, 100]
        assert data[1].target.boxes.shape == (0, 4) and data.problems == ()
    assert len(open_yolo(str(folder), "train")) == 1
    assert open_dataset(f"yolo:{folder}", installed()).info.split == "val"


def test_a_hash_covers_labels_and_images(folder):
    before = open_yolo(str(folder), "val").hash
    assert open_yolo(str(folder), "val").hash == before
    (folder / "labels/val/a.txt").write_text("2 0.5 0.5 0.25 0.25")
    assert open_yolo(str(folder), "val").hash != before


@pytest.mark.parametrize(
    ("yaml", "images"),
    [
        ("names: {0: ant, 1: bee}\nval: ../valid/images\n", "valid/images"),  # Roboflow's, which lies beside the file
        ("path: /content/elsewhere\nnc: 2\nnames: [ant, bee]\nval: images/val\n", "images/val"),
        ("path: data\nnames: [ant, bee]\nval: images\ntest:\n", "data/images"),
        ("names: [ant, bee]\nval: [images/one, images/two]\n", "images/one"),
        ("names:\n- ant\n- bee\nvalidation: images/val\n", "images/val"),
    ],
)
def test_layouts_that_are_about_open(tmp_path, yaml, images):
    (tmp_path / "data.yaml").write_text(yaml)
    add(tmp_path, f"{images}/x.jpg", "1 0.5 0.5 0.5 0.5")
    (tmp_path / "images/two").mkdir(parents=True, exist_ok=True)
    data = open_yolo(str(tmp_path), "val")
    assert data.info.classes == ("ant", "bee")
    assert data[0].target.boxes.tolist() == [[10, 5, 30, 15]]


@pytest.mark.parametrize("line", ["./images/a.jpg", "images/a.jpg", "{root}/images/a.jpg"])
def test_a_split_may_be_a_list_whose_order_stays(tmp_path, line):
    (tmp_path / "data.yaml").write_text("names: [ant]\nval: val.txt\n")
    for name in "ab":
        add(tmp_path, f"images/{name}.jpg", "0 0.5 0.5 0.5 0.5")
    lines = [line.replace("a.jpg", f"{name}.jpg").format(root=tmp_path) for name in "ba"]
    (tmp_path / "val.txt").write_text("\n".join(lines))
    assert [sample.input.id for sample in open_yolo(str(tmp_path), "val")] == ["b.jpg", "a.jpg"]


def test_without_a_yaml_file_names_are_in_classes_txt(tmp_path):
    (tmp_path / "classes.txt").write_text("ant\nbee\n")
    add(tmp_path, "images/a.jpg", "1 0.5 0.5 0.5 0.5")
    assert [open_yolo(str(tmp_path), split)[0].target.labels.tolist() for split in ("val", "test", "all")] == [[1]] * 3
    with pytest.raises(ValueError, match="has no split 'train'; it has: val, test, all"):
        open_yolo(str(tmp_path), "train")
    add(tmp_path, "images/train/b.jpg", "0 0.5 0.5 0.5 0.5")
    assert open_yolo(str(tmp_path), "train")[0].target.labels.tolist() == [0]


def test_labels_may_lie_beside_their_images(tmp_path):
    (tmp_path / "obj.names").write_text("ant\n")
    add(tmp_path, "val/a.jpg", "0 0.5 0.5 0.5 0.5")  # no images/ in the path: the text lies beside
    assert open_yolo(str(tmp_path), "val")[0].target.boxes.tolist() == [[10, 5, 30, 15]]


def test_outlines_are_masks_and_their_bounds_boxes(tmp_path):
    (tmp_path / "data.yaml").write_text("names: [ant]\nval: images\n")
    corners = np.array([(0.25, 0.2), (0.75, 0.2), (0.5, 0.9)])
    add(tmp_path, "images/a.jpg", "0 " + " ".join(map(str, corners.flatten())), size=(40, 20))
    data = open_yolo(str(tmp_path), "val")
    assert "masks" in data.info.fields
    target = data[0].target
    assert torch.allclose(target.boxes, torch.tensor([[10.0, 4, 30, 18]]))
    filled = polygon2mask((20, 40), corners[:, ::-1] * (20, 40) - 0.5)
    assert (target.masks[0].numpy() ^ filled).sum() <= 0.1 * filled.sum()
    assert target.areas.tolist() == [target.masks.sum()]
    add(tmp_path, "images/b.jpg", "0 0.5 0.5 0.5 0.5")
    assert "masks" not in open_yolo(str(tmp_path), "val").info.fields, "not every object has an outline"


@pytest.mark.parametrize(
    ("shape", "joints", "visibilities"),
    [("[2, 3]", "0.5 0.5 1 0 0 0", [1, 0]), ("[2, 2]", "0.5 0.5 0 0", [2, 0]), ("[2, 2]", "0.5 0.5 -1 0.5", [2, 0])],
)
def test_poses_are_read_by_kpt_shape(tmp_path, shape, joints, visibilities):
    yaml = "names: [ant]\nval: images\nkpt_shape: " + shape
    (tmp_path / "data.yaml").write_text(yaml)
    add(tmp_path, "images/a.jpg", f"0 0.5 0.5 0.5 0.5 {joints}")
    data = open_yolo(str(tmp_path), "val")
    assert data.info.joints == ("joint 1", "joint 2") and "keypoints" in data.info.fields
    assert data[0].target.keypoints[0, 0, :2].tolist() == [20, 10]
    assert data[0].target.keypoints[0, :, 2].tolist() == visibilities
    (tmp_path / "data.yaml").write_text(yaml + "\nkpt_names: {0: [nose, tail]}")
    assert open_yolo(str(tmp_path), "val").info.joints == ("nose", "tail")


def test_what_counts_neither_way_and_areas_lie_in_folders_of_their_own(folder):
    for name, text in (("crowds", "0 0.5 0.5 1 1"), ("ignored", "1 0.5 0.5 0.5 0.5"), ("areas", "70\n8.5\n9\n3")):
        (folder / name / "val").mkdir(parents=True)
        (folder / name / "val" / "a.txt").write_text(text)
    target = open_yolo(str(folder), "val")[0].target
    assert target.labels.tolist() == [2, 1, 0, 1]
    assert target.crowd.tolist() == [False, False, True, False]
    assert target.ignored.tolist() == [False, False, False, True]
    assert target.areas.tolist() == [70, 8.5, 9, 3]
    (folder / "areas" / "val" / "a.txt").write_text("70")
    with pytest.raises(BadDataError, match=r"areas/val/a.txt: want an area for each of the 4 objects of a.txt"):
        open_yolo(str(folder), "val")


@pytest.mark.parametrize(
    ("line", "words"),
    [
        ("3 0.5 0.5 0.5 0.5", r"labels/val/a.txt:2: class '3' is unknown: data has names for 0 to 2"),
        ("cat 0.5 0.5 0.5 0.5", "class 'cat' is unknown"),
        ("1.5 0.5 0.5 0.5 0.5", "class '1.5' is unknown"),
        ("0 0.5 0.5 0.5", r"want 4 numbers \(a box\) or 3 or more x y pairs \(an outline\) behind the class"),
        ("0 0.5 0.5 0.5 0.5 0.9", "want 4 numbers"),
        ("0 0.5 x 0.5 0.5", "want finite numbers behind the class, got '0.5 x 0.5 0.5'"),
        ("0 nan 0.5 0.5 0.5", "want finite numbers"),
        ("0 0.5 0.5 0 0.5", "ant: 0.5 0.5 0 0.5 is degenerate"),
        ("0 0.5 0.5 -0.5 0.5", "is inverted"),
        ("0 1.0 0.5 0.5 0.5", "ant: 1.0 0.5 0.5 0.5 is outside of the image of 40x20"),
        ("0 20 10 5 5", "is outside of the image of 40x20"),  # in pixels
    ],
)
def test_a_bad_line_is_named_and_left_out_on_request(folder, line, words):
    (folder / "labels/val/a.txt").write_text(f"2 0.5 0.5 0.25 0.5\n{line}\n")
    with pytest.raises(BadDataError, match=words):
        open_yolo(str(folder), "val")
    with pytest.warns(UserWarning, match=words):
        data = open_yolo(str(folder), "val", "skip")
    assert data[0].target.labels.tolist() == [2] and len(data.problems) == 1


def test_boxes_and_outlines_are_clipped_on_request(folder):
    (folder / "labels/val/a.txt").write_text("0 1.0 0.5 0.5 0.5")
    with pytest.warns(UserWarning, match="clipped to the image"):
        assert open_yolo(str(folder), "val", "clip")[0].target.boxes.tolist() == [[30, 5, 40, 15]]
    for text in folder.glob("labels/val/**/*.txt"):
        text.write_text("0 0.5 0.5 1.5 0.5 0.5 1.0")
    with pytest.warns(UserWarning, match="clipped to the image"):
        target = open_yolo(str(folder), "val", "clip")[0].target
    assert target.boxes.tolist() == [[20, 10, 40, 20]] and target.masks.any()


def test_files_that_do_not_belong_together_are_named(folder):
    (folder / "labels/val/lost.txt").write_text("0 0.5 0.5 0.5 0.5")
    (folder / "images/val/broken.jpg").write_text("no image")
    with pytest.raises(BadDataError) as caught:
        open_yolo(str(folder), "val")
    assert [str(one).removeprefix(f"{folder}/") for one in caught.value.problems] == [
        "labels/val/lost.txt: has no image",
        "images/val/broken.jpg: can't be read: cannot identify image file",
    ]


@pytest.mark.parametrize(
    ("yaml", "words"),
    [
        ("names: [ant\n", r"data.yaml:\d: broken YAML"),
        ("- ant", "is no YOLO dataset: it has no names"),
        ("val: images/val", "names: want a list of names, or names by number"),
        ("names: {0: ant, 2: bee}", "names: want one for each number from 0 on"),
        ("names: [ant]\nnc: 2", "nc is 2, but there are 1 names"),
        ("names: [ant]\nkpt_shape: 17", r"kpt_shape: want \[joints, 2\] or \[joints, 3\], got '17'"),
        ("names: [ant]\nkpt_shape: [2, 3]\nkpt_names: [a]", "kpt_names: want 2 names"),
        ("names: [ant]\ntrain: images/train", "has no split 'val'; it has: train"),
        ("names: [ant]\nval: images/nowhere", "has no split 'val': .*images/nowhere is neither a folder nor a list"),
    ],
)
def test_a_yaml_file_that_can_not_be_used_says_why(folder, yaml, words):
    (folder / "data.yaml").write_text(yaml)
    with pytest.raises(ValueError, match=words):
        open_yolo(str(folder), "val")


def test_what_is_no_yolo_dataset_is_refused(tmp_path):
    with pytest.raises(ValueError, match=r"is no YOLO dataset: it has neither data\.yaml nor classes\.txt"):
        open_yolo(str(tmp_path), "val")
    with pytest.raises(ValueError, match=r"want a folder or a .yaml file"):
        open_yolo(str(tmp_path / "nowhere"), "val")
    for name in ("a.yaml", "b.yaml"):
        (tmp_path / name).write_text("names: [ant]")
    with pytest.raises(ValueError, match=r"has several .yaml files; name one: a.yaml, b.yaml"):
        open_yolo(str(tmp_path), "val")


@given(st.text(alphabet="0123456789.-e \tnaif", max_size=40))
def test_any_text_is_an_object_or_a_problem(tmp_path_factory, text):
    folder = tmp_path_factory.mktemp("any")
    (folder / "data.yaml").write_text("names: [ant, bee]\nval: images\n")
    add(folder, "images/a.jpg", text)
    try:
        data = open_yolo(str(folder), "val")
    except BadDataError as error:
        assert len(error.problems) >= 1
    else:
        boxes = data[0].target.boxes
        assert len(boxes) == bool(text.strip()) and (boxes[:, :2] < boxes[:, 2:]).all()
