"""The Pascal VOC adapter, on small folders made here and on the blood cells of BCCD."""

import os
import pickle
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from roibench.datasets.bad_data import BadDataError
from roibench.datasets.voc import open_voc
from roibench.registry import installed

BOX = "<bndbox><xmin>{}</xmin><ymin>{}</ymin><xmax>{}</xmax><ymax>{}</ymax></bndbox>"


def thing(name="cat", box=(3, 4, 10, 12), difficult=0) -> str:
    return f"<object><name>{name}</name><difficult>{difficult}</difficult>{BOX.format(*box)}</object>"


def annotation(*things: str, size=(40, 30)) -> str:
    """One element per line: the first object stands on line 3."""
    header = f"<annotation>\n<size><width>{size[0]}</width><height>{size[1]}</height></size>\n"
    return header + "".join(f"{text}\n" for text in things) + "</annotation>\n"


@pytest.fixture
def folder(tmp_path):
    """Two images of 40x30: `one` in test, with a cat and a difficult dog; `two` in train, with an ant."""
    for name in ("Annotations", "JPEGImages", "ImageSets/Main"):
        (tmp_path / name).mkdir(parents=True)
    add(tmp_path, "one", annotation(thing(), thing("dog", (1, 1, 40, 30), difficult=1)), "test")
    add(tmp_path, "two", annotation(thing("ant")), "train")
    return tmp_path


def add(folder: Path, name: str, xml: str, split: str, size=(40, 30)) -> None:
    pixels = np.random.default_rng(len(name)).integers(0, 256, (size[1], size[0], 3), np.uint8)
    Image.fromarray(pixels).save(folder / "JPEGImages" / f"{name}.jpg")
    (folder / "Annotations" / f"{name}.xml").write_text(xml)
    with (folder / "ImageSets" / "Main" / f"{split}.txt").open("a") as names:
        names.write(f"{name}\n")


def test_a_folder_is_read(folder):
    data = open_voc(str(folder), "test")
    assert data.info.classes == ("ant", "cat", "dog"), "of all splits, so that labels mean the same in each"
    assert (data.info.name, data.info.split, data.info.image_size) == (f"voc:{folder}", "test", (30, 40))
    assert (len(data), data.unbounded, data.problems) == (1, False, ())
    (sample,) = data
    assert sample.input.id == "one"
    assert torch.equal(sample.target.boxes, torch.tensor([[2.0, 3, 10, 12], [0, 0, 40, 30]]))
    assert sample.target.labels.tolist() == [1, 2]
    assert sample.target.ignored.tolist() == [False, True]
    assert sample.target.areas.tolist() == [72, 1200]
    types = (sample.target.boxes.dtype, sample.target.labels.dtype, sample.target.ignored.dtype)
    assert types == (torch.float32, torch.int64, torch.bool)
    want = np.asarray(Image.open(folder / "JPEGImages" / "one.jpg").convert("RGB")).transpose(2, 0, 1)
    assert np.array_equal(sample.input.image.numpy(), want)
    assert sample.input.image.is_contiguous()
    with pytest.raises(IndexError):
        data[1]


def test_the_fields_are_those_that_the_spec_declares(folder):
    assert open_voc(str(folder), "test").info.fields == set(installed().datasets["voc"].fields)


def test_grey_and_png_images_become_rgb(folder):
    add(folder, "grey", annotation(), "test")
    (folder / "JPEGImages" / "grey.jpg").unlink()
    Image.fromarray(np.full((30, 40), 77, np.uint8)).save(folder / "JPEGImages" / "grey.png")
    sample = open_voc(str(folder), "test")[1]
    assert sample.input.image.shape == (3, 30, 40)
    assert sample.input.image.unique().tolist() == [77]
    assert sample.target.boxes.shape == (0, 4)


def test_sizes_that_differ_are_not_one_size(folder):
    add(folder, "large", annotation(size=(50, 30)), "test", size=(50, 30))
    assert open_voc(str(folder), "test").info.image_size is None


def test_the_hash_covers_boxes_and_pixels_but_not_the_place(folder, tmp_path_factory):
    before = open_voc(str(folder), "test").hash
    assert before == open_voc(str(folder), "test").hash
    copy = tmp_path_factory.mktemp("copy") / "elsewhere"
    copy.symlink_to(folder)
    assert open_voc(str(copy), "test").hash == before
    assert open_voc(str(folder), "train").hash != before
    file = folder / "Annotations" / "one.xml"
    text = file.read_text()
    file.write_text(text.replace("<xmin>3<", "<xmin>2<"))
    assert open_voc(str(folder), "test").hash != before
    file.write_text(text)
    Image.new("RGB", (40, 30)).save(folder / "JPEGImages" / "one.jpg")
    assert open_voc(str(folder), "test").hash != before


def test_a_data_set_can_be_sent_to_a_worker(folder):
    data = open_voc(str(folder), "test")
    back = pickle.loads(pickle.dumps(data))
    assert back == data
    assert back.hash == data.hash


BAD_OBJECTS = {
    "degenerate": (thing(box=(5, 5, 5, 9)), r"cat: box \(5.0, 5.0, 5.0, 9.0\) is degenerate"),
    "inverted": (thing(box=(20, 5, 5, 9)), r"cat: box \(20.0, 5.0, 5.0, 9.0\) is inverted"),
    "outside": (thing(box=(30, 5, 41.1, 9)), r"cat: box .* is outside of the image of 40x30"),
    "negative": (thing(box=(-0.1, 5, 10, 9)), r"cat: box .* is outside of the image of 40x30"),
    "not a number": (thing(box=("nan", 5, 10, 9)), r"cat: box .* is not finite"),
    "infinite": (thing(box=(1, 5, "inf", 9)), r"cat: box .* is not finite"),
    "text": (thing(box=("left", 5, 10, 9)), r"cat: box without four numbers: xmin=left, ymin=5, xmax=10, ymax=9"),
    "no box": ("<object><name>cat</name></object>", "cat: box without four numbers: xmin=None"),
    "no name": ("<object><name> </name></object>", "object without a name"),
}


@pytest.mark.parametrize("kind", BAD_OBJECTS)
def test_a_bad_object_is_reported_with_file_and_line_and_skipped_alone(folder, kind):
    bad, message = BAD_OBJECTS[kind]
    file = folder / "Annotations" / "one.xml"
    file.write_text(annotation(thing("dog"), bad, thing("ant")))
    with pytest.raises(BadDataError, match=rf"1 problem in the data .*\n  {file}:4: {message}"):
        open_voc(str(folder), "test")
    with pytest.warns(UserWarning, match=rf"left out because of bad data:\n  {file}:4: {message}"):
        data = open_voc(str(folder), "test", on_bad_data="skip")
    (sample,) = data
    assert [data.info.classes[label] for label in sample.target.labels.tolist()] == ["dog", "ant"]
    assert [(problem.file, problem.line) for problem in data.problems] == [(file, 4)]


def break_xml(folder):
    (folder / "Annotations" / "bad.xml").write_text("<annotation>\n<object>\n</annotation>")
    return r"Annotations/bad.xml:3: broken XML: mismatched tag"


def empty_xml(folder):
    (folder / "Annotations" / "bad.xml").write_text("")
    return r"Annotations/bad.xml:1: broken XML: no element found"


def remove_xml(folder):
    (folder / "Annotations" / "bad.xml").unlink()
    return r"Annotations/bad.xml: missing"


def remove_image(folder):
    (folder / "JPEGImages" / "bad.jpg").unlink()
    return r"JPEGImages/bad.jpg: missing"


def garble_image(folder):
    (folder / "JPEGImages" / "bad.jpg").write_bytes(b"no image")
    return r"JPEGImages/bad.jpg: can't be read: cannot identify image file"


def change_size(folder):
    Image.new("RGB", (41, 30)).save(folder / "JPEGImages" / "bad.jpg")
    return r"Annotations/bad.xml: says 40x30 pixels; .*/JPEGImages/bad.jpg has 41x30"


@pytest.mark.parametrize("harm", [break_xml, empty_xml, remove_xml, remove_image, garble_image, change_size])
def test_a_broken_file_is_reported_and_its_image_skipped(folder, harm):
    add(folder, "bad", annotation(thing()), "test")
    message = harm(folder)
    with pytest.raises(BadDataError, match=message):
        open_voc(str(folder), "test")
    with pytest.warns(UserWarning, match=message):
        data = open_voc(str(folder), "test", on_bad_data="skip")
    assert [sample.input.id for sample in data] == ["one"]


def test_all_problems_are_listed_at_once(folder):
    for name, harm in (("bad", break_xml), ("worse", None)):
        add(folder, name, annotation(thing(box=(9, 9, 2, 2)), thing(box=(1, 1, 99, 9))), "test")
        if harm:
            harm(folder)
    with pytest.raises(BadDataError, match="3 problems in the data") as caught:
        open_voc(str(folder), "test")
    assert [(problem.file.stem, problem.line) for problem in caught.value.problems] == [
        ("bad", 3),
        ("worse", 3),
        ("worse", 4),
    ]
    assert str(pickle.loads(pickle.dumps(caught.value))) == str(caught.value)


def test_other_splits_count_for_classes_alone(folder):
    add(folder, "other", annotation(thing("eel", (9, 9, 2, 2))), "train")
    (folder / "Annotations" / "two.xml").unlink()
    data = open_voc(str(folder), "test")
    assert data.info.classes == ("cat", "dog", "eel")
    (folder / "Annotations" / "other.xml").write_text("<annotation>")
    with pytest.raises(BadDataError, match=r"other\.xml:1: broken XML"):
        open_voc(str(folder), "test")


def test_what_is_no_voc_folder_and_no_split_is_refused(folder, tmp_path):
    with pytest.raises(ValueError, match="is no Pascal VOC folder: it has neither ImageSets/Main nor XML"):
        open_voc(str(tmp_path / "JPEGImages"), "test")
    with pytest.raises(ValueError, match="has no split 'val'; it has: test, train"):
        open_voc(str(folder), "val")
    with pytest.raises(ValueError, match="on_bad_data: want one of fail, skip, clip, got 'ignore'"):
        open_voc(str(folder), "test", on_bad_data="ignore")


def test_per_class_split_files_and_repeated_names_do_no_harm(folder):
    (folder / "ImageSets" / "Main" / "cat_test.txt").write_text("one  1\none  1\n\n")
    assert len(open_voc(str(folder), "cat_test")) == 1


@pytest.fixture(scope="module")
def bccd():
    root = os.environ.get("ROIBENCH_DATA")
    if not root or not (path := Path(root) / "bccd" / "BCCD").is_dir():
        pytest.skip("ROIBENCH_DATA names no folder with bccd/BCCD in it")
    return str(path)


def test_bccd_opens_as_published(bccd):
    data = open_voc(bccd, "test")
    assert (len(data), data.info.classes, data.info.image_size) == (72, ("Platelets", "RBC", "WBC"), (480, 640))
    assert data.hash == "87c00b8b4fdc73ef3fcc31e1e9e5cc85e3c06e38d8e34af96ccd467ab79ccde5"
    assert sum(len(photograph.boxes) for photograph in data.pictures) == 945
    sample = data[0]
    assert sample.input.image.shape == (3, 480, 640)
    assert sample.target.boxes[0].tolist() == [192, 91, 387, 285]
    assert data.info.classes[sample.target.labels[0]] == "WBC"


def test_bccd_s_two_degenerate_boxes_are_found_and_skipped(bccd):
    with pytest.raises(BadDataError, match="2 problems") as caught:
        open_voc(bccd, "trainval")
    assert [(problem.file.stem, problem.line) for problem in caught.value.problems] == [
        ("BloodImage_00338", 158),
        ("BloodImage_00343", 50),
    ]
    with pytest.warns(UserWarning, match="left out"):
        data = open_voc(bccd, "trainval", on_bad_data="skip")
    assert len(data) == 292
    boxes = sum(len(photograph.boxes) for photograph in (*data.pictures, *open_voc(bccd, "test").pictures))
    assert boxes == 4_888 - 2
