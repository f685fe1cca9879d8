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


def obj(name="cat", box=(3, 4, 10, 12), difficult=0) -> str:
    return f"<object><name>{name}</name><difficult>{difficult}</difficult>{BOX.format(*box)}</object>"


def annotation(*objects: str, size=(40, 30)) -> str:
    """One element per line: the first object stands on line 3."""
    header = f"<annotation>\n<size><width>{size[0]}</width><height>{size[1]}</height></size>\n"
    return header + "".join(f"{text}\n" for text in objects) + "</annotation>\n"


@pytest.fixture
def folder(tmp_path):
    """Two images of 40x30: `one` in test, with a cat and a difficult dog; `two` in train, with an ant."""
    for name in ("Annotations", "JPEGImages", "ImageSets/Main"):
        (tmp_path / name).mkdir(parents=True)
    add(tmp_path, "one", annotation(obj(), obj("dog", (1, 1, 40, 30), difficult=1)), "test")
    add(tmp_path, "two", annotation(obj("ant")), "train")
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


def test_a_dataset_can_be_sent_to_a_worker(folder):
    data = open_voc(str(folder), "test")
    back = pickle.loads(pickle.dumps(data))
    assert back == data
    assert back.hash == data.hash


BAD_OBJECTS = {
    "degenerate": (obj(box=(5, 5, 5, 9)), r"cat: box \(5.0, 5.0, 5.0, 9.0\) is degenerate"),
    "inverted": (obj(box=(20, 5, 5, 9)), r"cat: box \(20.0, 5.0, 5.0, 9.0\) is inverted"),
    "outside": (obj(box=(30, 5, 41.1, 9)), r"cat: box .* is outside of the image of 40x30"),
    "negative": (obj(box=(-0.1, 5, 10, 9)), r"cat: box .* is outside of the image of 40x30"),
    "not a number": (obj(box=("nan", 5, 10, 9)), r"cat: box .* is not finite"),
    "infinite": (obj(box=(1, 5, "inf", 9)), r"cat: box .* is not finite"),
    "text": (obj(box=("left", 5, 10, 9)), r"cat: box without four numbers: xmin=left, ymin=5, xmax=10, ymax=9"),
    "no box": ("<object><name>cat</name></object>", "cat: box without four numbers: xmin=None"),
    "doubtfully difficult": (obj(difficult="maybe"), "cat: difficult 'maybe' is neither yes nor no"),
    "no name": ("<object><name> </name></object>", "object without a name"),
}


@pytest.mark.parametrize("kind", BAD_OBJECTS)
def test_a_bad_object_is_reported_with_file_and_line_and_skipped_alone(folder, kind):
    bad, message = BAD_OBJECTS[kind]
    file = folder / "Annotations" / "one.xml"
    file.write_text(annotation(obj("dog"), bad, obj("ant")))
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
    return r"Annotations/bad.xml: gives the size 40x30, but .*/JPEGImages/bad.jpg has 41x30"


@pytest.mark.parametrize("harm", [break_xml, empty_xml, remove_xml, remove_image, garble_image, change_size])
def test_a_broken_file_is_reported_and_its_image_skipped(folder, harm):
    add(folder, "bad", annotation(obj()), "test")
    message = harm(folder)
    with pytest.raises(BadDataError, match=message):
        open_voc(str(folder), "test")
    with pytest.warns(UserWarning, match=message):
        data = open_voc(str(folder), "test", on_bad_data="skip")
    assert [sample.input.id for sample in data] == ["one"]


def test_all_problems_are_listed_at_once(folder):
    for name, harm in (("bad", break_xml), ("worse", None)):
        add(folder, name, annotation(obj(box=(9, 9, 2, 2)), obj(box=(1, 1, 99, 9))), "test")
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
    add(folder, "other", annotation(obj("eel", (9, 9, 2, 2))), "train")
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


def listed(folder: Path, content: str | bytes) -> list[str]:
    """The images of a split with this list."""
    file = folder / "ImageSets" / "Main" / "listed.txt"
    file.write_bytes(content if isinstance(content, bytes) else content.encode())
    return [photograph.id for photograph in open_voc(str(folder), "listed").pictures]


def test_per_class_split_files_and_repeated_names_do_no_harm(folder):
    assert listed(folder, "one  1\none  1\n\n") == ["one"]
    assert listed(folder, "one -1\r\ntwo\t0\r\n") == ["one", "two"]


def test_a_name_may_have_spaces_and_end_in_a_number(folder):
    for name in ("my photo", "my photo 1", "größe", "a.b"):
        add(folder, name, annotation(obj()), "rest")
    assert listed(folder, "my photo\n") == ["my photo"]
    assert listed(folder, "my photo -1\n") == ["my photo"], "VOC's per-class list"
    assert listed(folder, "my photo 1\n") == ["my photo 1"], "the name, for there is such a file"
    assert listed(folder, "größe  1\na.b\n") == ["größe", "a.b"]
    with pytest.raises(BadDataError, match=r"Annotations/your photo\.xml: missing"):
        listed(folder, "your photo\n")


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16"])
@pytest.mark.parametrize("ends", ["\n", "\r\n", "\r"])
def test_a_list_may_have_a_byte_order_mark_and_any_line_ends(folder, encoding, ends):
    add(folder, "größe", annotation(obj()), "rest")
    assert listed(folder, ends.join(["one", "größe", "two"]).encode(encoding)) == ["one", "größe", "two"]


@pytest.mark.parametrize("split", ["listed", "other"])
def test_a_line_in_another_encoding_is_reported_with_its_file_and_skipped_alone(folder, split):
    add(folder, "größe", annotation(obj()), "rest")
    lists = folder / "ImageSets" / "Main"
    for name in {"listed", split}:
        (lists / f"{name}.txt").write_bytes(
            b"one\n" + ("größe\n".encode("latin-1") if name == split else b"") + b"two\n"
        )
    message = rf"{lists}/{split}\.txt:2: is not UTF-8: byte 0xf6; save it as UTF-8"
    with pytest.raises(BadDataError, match=rf"1 problem in the data .*\n  {message}$"):
        open_voc(str(folder), "listed")
    with pytest.warns(UserWarning, match=message):
        assert [photo.id for photo in open_voc(str(folder), "listed", "skip").pictures] == ["one", "two"]


def test_a_list_of_zero_bytes_is_no_list(folder):
    with pytest.raises(BadDataError, match=r"listed\.txt:1: holds a zero byte: no text, or UTF-16 without"):
        listed(folder, "one\n".encode("utf-16-le"))


ENCODINGS = ["gbk", "gb18030", "shift_jis", "iso-8859-1", "windows-1251", "utf-8", "utf-16", "big5"]
NAMES = {"iso-8859-1": "café", "windows-1251": "кот", "big5": "貓"}


@pytest.mark.parametrize("encoding", ENCODINGS)
def test_an_annotation_is_read_in_the_encoding_that_it_declares(folder, encoding):
    name = NAMES.get(encoding, "猫")
    text = f'<?xml version="1.0" encoding="{encoding.upper()}"?>\n{annotation(obj(name))}'
    (folder / "Annotations" / "one.xml").write_bytes(text.encode(encoding))
    data = open_voc(str(folder), "test")
    assert [data.info.classes[label] for label in data[0].target.labels] == [name]


def test_an_annotation_may_have_a_byte_order_mark_and_a_declaration_that_cannot_be_true(folder):
    file = folder / "Annotations" / "one.xml"
    file.write_text(annotation(obj("größe")), encoding="utf-8-sig")
    assert open_voc(str(folder), "test").info.classes == ("ant", "größe")
    file.write_text(f'<?xml version="1.0" encoding="utf-16"?>{annotation(obj("größe"))}', encoding="utf-8")
    assert open_voc(str(folder), "test").info.classes == ("ant", "größe")


WRONG_ENCODINGS = {
    "undeclared": (annotation(obj("café")).encode("latin-1"), "is not UTF-8, and declares no other encoding"),
    "untrue": (b'<?xml version="1.0" encoding="gbk"?>' + annotation(obj("café")).encode("latin-1"), "is not GBK"),
    "unknown": (
        b'<?xml version="1.0" encoding="klingon"?><annotation/>',
        "declares an encoding that isn't known: klingon",
    ),
    "no text": (
        b'<?xml version="1.0" encoding="base64"?><annotation/>',
        "declares an encoding that isn't known: base64",
    ),
}


@pytest.mark.parametrize("kind", WRONG_ENCODINGS)
def test_an_annotation_in_another_encoding_is_reported_and_skipped(folder, kind):
    content, message = WRONG_ENCODINGS[kind]
    add(folder, "bad", "", "test")
    (folder / "Annotations" / "bad.xml").write_bytes(content)
    where = rf"1 problem in .*\n  {folder}/Annotations/bad\.xml: can't be read: "
    with pytest.raises(BadDataError, match=where + message):
        open_voc(str(folder), "test")
    with pytest.warns(UserWarning, match=message):
        assert [sample.input.id for sample in open_voc(str(folder), "test", "skip")] == ["one"]


DIFFICULT = {"1": True, "0": False, "True": True, "false": False, "1.0": True, "0.0": False, "yes": True, "NO": False}


@pytest.mark.parametrize("written", [*DIFFICULT, "", " 1 "])
def test_difficult_is_read_however_it_is_spelled(folder, written):
    (folder / "Annotations" / "one.xml").write_text(annotation(obj(difficult=written)))
    assert open_voc(str(folder), "test")[0].target.ignored.tolist() == [DIFFICULT.get(written.strip(), False)]


@pytest.mark.parametrize("written", [("40.0", "30"), (" 40 ", "30.0"), (0, 0), ("", "")])
def test_a_size_may_be_written_with_a_point_or_be_unknown(folder, written):
    (folder / "Annotations" / "one.xml").write_text(annotation(obj(), size=written))
    assert len(open_voc(str(folder), "test")) == 1


def test_a_size_that_is_none_is_reported(folder):
    (folder / "Annotations" / "one.xml").write_text(annotation(obj(), size=("wide", 30)))
    with pytest.raises(BadDataError, match=r"one\.xml: gives the size 'wide'x30, but .*one\.jpg has 40x30"):
        open_voc(str(folder), "test")


def lay_out(folder: Path, annotations: str, images: str, *names: str, filename: str = "", stem: str = "{}") -> None:
    """Annotations and images, each of its own size, in folders of these names, and what systems leave behind."""
    for place in (annotations, images, "__MACOSX", f"{annotations}/@eaDir"):
        (folder / place).mkdir(parents=True, exist_ok=True)
    for width, name in enumerate(names, start=40):
        named = f"<annotation><folder>elsewhere</folder><filename>{filename.format(name)}</filename>"
        text = annotation(obj(name), size=(width, 30)).replace("<annotation>", named)
        (folder / annotations / f"{name}.xml").write_text(text)
        Image.new("RGB", (width, 30)).save(folder / images / f"{stem.format(name)}.jpg")
    for place in (annotations, "__MACOSX"):
        (folder / place / "._one.xml").write_bytes(b"\0\5\x16\7")


LAYOUTS = [
    ("annotations", "images", "", "{}"),
    ("Annotations", "JPEGImages", "other-{}.jpg", "{}"),
    ("Annotations", "Annotations", "", "{}"),
    (".", ".", "", "{}"),
    (".", "images", "", "{}"),
    ("annotations", "images", "photo-{}.jpg", "photo-{}"),
    ("annotations", ".", "photo-{}.jpg", "photo-{}"),
    ("annotations", "elsewhere", "photo-{}.jpg", "photo-{}"),
    ("annotations", "images", "C:\\photos\\photo-{}.jpg", "photo-{}"),
]


@pytest.mark.parametrize(("annotations", "images", "filename", "stem"), LAYOUTS)
def test_without_lists_all_annotations_are_the_split(tmp_path, annotations, images, filename, stem):
    lay_out(tmp_path, annotations, images, "one", "two", filename=filename, stem=stem)
    for split in ("val", "test", "all"):
        data = open_voc(str(tmp_path), split)
        assert [sample.input.id for sample in data] == ["one", "two"]
        assert [sample.input.image.shape[2] for sample in data] == [40, 41]
        assert data.info.classes == ("one", "two")
    with pytest.raises(ValueError, match="is not divided into splits: it opens as val, test, all, not as 'train'"):
        open_voc(str(tmp_path), "train")
    next(tmp_path.glob(f"{images}/*one.jpg")).unlink()
    with pytest.raises(BadDataError, match=r"one\.jpg: missing"):
        open_voc(str(tmp_path), "val")


def test_folders_of_annotations_beside_their_images_are_splits(tmp_path):
    for split, name in (("train", "one"), ("valid", "two")):
        lay_out(tmp_path, split, split, name)
    data = open_voc(str(tmp_path), "valid")
    assert ([sample.input.id for sample in data], data.info.classes) == (["two"], ("one", "two"))
    with pytest.raises(ValueError, match="has no split 'val'; it has: train, valid"):
        open_voc(str(tmp_path), "val")


def test_what_systems_leave_behind_is_no_list_and_no_image(folder):
    (folder / "ImageSets" / "Main" / "._test.txt").write_bytes(b"\0\5\x16\7\xff")
    (folder / "JPEGImages" / "._one.jpg").write_bytes(b"\0\5\x16\7")
    (folder / "JPEGImages" / "Thumbs.db").write_bytes(b"\0")
    assert len(open_voc(str(folder), "test")) == 1
    with pytest.raises(ValueError, match=r"has no split 'val'; it has: test, train$"):
        open_voc(str(folder), "val")


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
