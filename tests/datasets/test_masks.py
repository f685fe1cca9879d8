"""The adapter for images with label images, on small folders made here and on CamVid."""

import os
import pickle
import struct
import zlib
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from roibench.datasets.bad_data import BadDataError
from roibench.datasets.masks import open_masks
from roibench.registry import installed
from roibench.structures import VOID


@pytest.fixture
def folder(tmp_path):
    """Two images of 4x3 in val, `one` and `two`, and one in train, with labels 0 to 2 and void."""
    add(tmp_path, "val", "one", [[0, 1, 2, VOID], [0, 1, 2, VOID], [0, 0, 0, 0]])
    add(tmp_path, "val", "two", [[0, 0, 0, 0]] * 3)
    add(tmp_path, "train", "three", [[1, 1, 1, 1]] * 3)
    return tmp_path


def add(folder: Path, split: str, name: str, labels: list, size=None, mode=None) -> None:
    """size: (height, width) of the photograph, if not the labels'."""
    labels = np.array(labels, np.uint8)
    for place in (split, f"{split}annot"):
        (folder / place).mkdir(exist_ok=True)
    shape = (*(size or labels.shape), 3)
    Image.fromarray(np.random.default_rng(len(name)).integers(0, 256, shape, np.uint8)).save(
        folder / split / f"{name}.png"
    )
    image = Image.fromarray(labels)
    (image.convert(mode) if mode else image).save(folder / f"{split}annot" / f"{name}.png")


def name_labels(folder: Path, *names: str) -> None:
    (folder / "classes.txt").write_text("\n".join(names) + "\n")


def test_a_folder_is_read(folder):
    data = open_masks(str(folder), "val")
    assert data.info.classes == ("0", "1", "2")
    assert (data.info.name, data.info.split, data.info.image_size) == (f"masks:{folder}", "val", (3, 4))
    assert (len(data), data.unbounded, data.problems) == (2, False, ())
    assert [sample.input.id for sample in data] == ["one", "two"]
    sample = data[0]
    assert sample.target.semantic_map.tolist() == [[1, 2, 3, VOID], [1, 2, 3, VOID], [1, 1, 1, 1]]
    assert sample.target.semantic_map.dtype == torch.uint8
    want = np.asarray(Image.open(folder / "val" / "one.png")).transpose(2, 0, 1)
    assert np.array_equal(sample.input.image.numpy(), want)
    with pytest.raises(IndexError):
        data[2]


def test_labels_mean_the_same_in_every_split(folder):
    assert open_masks(str(folder), "train").info.classes == ("0", "1", "2")


@pytest.mark.parametrize(
    ("names", "classes", "row"),
    [
        (("sky", "road", "tree"), ("sky", "road", "tree"), [1, 2, 3, VOID]),
        (("background", "road", "tree"), ("road", "tree"), [0, 1, 2, VOID]),
        (("sky", "void", "tree"), ("sky", "tree"), [1, VOID, 2, VOID]),
        (("sky", "road", "unlabelled", "tree"), ("sky", "road", "tree"), [1, 2, VOID, VOID]),
    ],
)
def test_classes_txt_names_the_labels_and_tells_background_and_void(folder, names, classes, row):
    name_labels(folder, *names)
    data = open_masks(str(folder), "val")
    assert data.info.classes == classes
    assert data[0].target.semantic_map[0].tolist() == row


def test_palette_images_count_by_number_not_by_colour(folder):
    palette = Image.fromarray(np.array([[0, 1, 2, 2]] * 3, np.uint8)).convert("P")
    palette.putpalette([9, 8, 7, 200, 100, 50, 0, 0, 0])
    palette.save(folder / "valannot" / "two.png")
    assert open_masks(str(folder), "val")[1].target.semantic_map[0].tolist() == [1, 2, 3, 3]


def test_a_list_says_which_images_count(folder):
    (folder / "val.txt").write_text("/SegNet/val/two.png /SegNet/valannot/two.png\n\n/SegNet/val/two.png\n")
    assert [sample.input.id for sample in open_masks(str(folder), "val")] == ["two"]


@pytest.mark.parametrize(("depth", "colour"), [(1, 0), (2, 0), (4, 0), (8, 0), (16, 0), (1, 3), (2, 3), (4, 3), (8, 3)])
def test_labels_are_numbers_at_every_depth(folder, depth, colour):
    """Grey (0) and palette (3), packed by hand: Pillow spreads grey of 2 and 4 bits over 0 to 255."""
    levels = [0, 1, min(2**depth - 1, 9), 0]
    row = int("".join(f"{level:0{depth}b}" for level in levels).ljust(8, "0"), 2).to_bytes(max(depth // 2, 1))
    header = struct.pack(">IIBBBBB", 4, 3, depth, colour, 0, 0, 0)
    palette = [(b"PLTE", bytes(range(3 * min(2**depth, 10))))] if colour == 3 else []
    chunks = ((b"IHDR", header), *palette, (b"IDAT", zlib.compress((b"\0" + row) * 3)), (b"IEND", b""))
    content = b"".join(
        struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body)) for kind, body in chunks
    )
    (folder / "valannot" / "two.png").write_bytes(b"\x89PNG\r\n\x1a\n" + content)
    data = open_masks(str(folder), "val")
    assert data.info.classes == tuple(map(str, range(max(levels[2], 2) + 1)))
    assert data[1].target.semantic_map.tolist() == [[level + 1 for level in levels]] * 3


def test_labels_are_turned_as_their_photograph_is(folder):
    labels = np.array([[0, 1], [2, 0], [1, 1], [0, 0]], np.uint8)
    exif = Image.Exif()
    exif[0x112] = 6
    Image.fromarray(labels).save(folder / "valannot" / "two.png", exif=exif)
    Image.fromarray(labels).save(folder / "val" / "two.png", exif=exif)
    sample = open_masks(str(folder), "val")[1]
    assert sample.target.semantic_map.tolist() == (np.rot90(labels, -1) + 1).tolist()
    assert np.array_equal(sample.input.image[0].numpy(), np.rot90(labels, -1))


@pytest.mark.parametrize("encoding", ["utf-8-sig", "utf-16"])
def test_a_byte_order_mark_belongs_to_no_name(folder, encoding):
    (folder / "classes.txt").write_text("background\nroad\ntree\n", encoding=encoding)
    (folder / "val.txt").write_text("one\ntwo\n", encoding=encoding)
    data = open_masks(str(folder), "val")
    assert (data.info.classes, len(data)) == (("road", "tree"), 2)


def test_a_gap_among_the_names_is_refused_and_one_after_them_is_none(folder):
    name_labels(folder, "sky", "", "tree", "", "")
    with pytest.raises(BadDataError, match=rf"{folder}/classes\.txt:2: is empty: the label of this line has no name"):
        open_masks(str(folder), "val", "skip")
    name_labels(folder, "sky", "road", "tree", "", "")
    assert open_masks(str(folder), "val").info.classes == ("sky", "road", "tree")


def test_names_in_another_encoding_are_refused_whatever_is_skipped(folder):
    (folder / "classes.txt").write_bytes("himmel\nstraße\nbaum\n".encode("latin-1"))
    with pytest.raises(BadDataError, match=rf"{folder}/classes\.txt:2: is not UTF-8: byte 0xdf"):
        open_masks(str(folder), "val", "skip")


@pytest.mark.parametrize(
    "line",
    [
        "my photo 1",
        "my photo 1.png",
        "/SegNet/CamVid/val/my photo 1.png /SegNet/CamVid/valannot/my photo 1.png",
        "val/my photo 1.png\tvalannot/my photo 1.png",
    ],
)
def test_a_line_of_a_list_is_a_name_a_path_or_two(folder, line):
    add(folder, "val", "my photo 1", [[0, 0, 0, 0]] * 3)
    add(folder, "val", "a.b", [[0, 0, 0, 0]] * 3)
    (folder / "val.txt").write_text(f"{line}\na.b\n")
    assert [sample.input.id for sample in open_masks(str(folder), "val")] == ["my photo 1", "a.b"]


def test_a_line_in_another_encoding_is_skipped_alone(folder):
    (folder / "val.txt").write_bytes("one\ngröße\ntwo\n".encode("latin-1"))
    with pytest.raises(BadDataError, match=rf"{folder}/val\.txt:2: is not UTF-8: byte 0xf6"):
        open_masks(str(folder), "val")
    with pytest.warns(UserWarning, match=r"val\.txt:2"):
        assert len(open_masks(str(folder), "val", "skip")) == 2


def test_what_systems_leave_behind_is_no_split_and_no_image(folder):
    for place in ("__MACOSX", "__MACOSXannot", "val/@eaDir"):
        (folder / place).mkdir()
    for place in ("val/._one.png", "valannot/._one.png", "val/Thumbs.db", "val/.DS_Store"):
        (folder / place).write_bytes(b"\0\5\x16\7")
    assert len(open_masks(str(folder), "val")) == 2
    with pytest.raises(ValueError, match=r"it has: train, val$"):
        open_masks(str(folder), "test")


def test_the_fields_are_those_that_the_spec_declares(folder):
    assert open_masks(str(folder), "val").info.fields == set(installed().datasets["masks"].fields)


def test_the_hash_covers_pixels_labels_and_names_but_not_the_place(folder, tmp_path_factory):
    before = open_masks(str(folder), "val").hash
    copy = tmp_path_factory.mktemp("copy") / "elsewhere"
    copy.symlink_to(folder)
    assert open_masks(str(copy), "val").hash == before
    name_labels(folder, "sky", "road", "tree")
    named = open_masks(str(folder), "val").hash
    add(folder, "val", "two", [[0, 0, 0, 1]] * 3)
    assert len({before, named, open_masks(str(folder), "val").hash}) == 3


def test_a_dataset_can_be_sent_to_a_worker(folder):
    data = open_masks(str(folder), "val")
    back = pickle.loads(pickle.dumps(data))
    assert (back, back.hash) == (data, data.hash)


def list_absent(folder):
    (folder / "val.txt").write_text("one\nbad\ntwo\ngone\n")
    (folder / "val" / "bad.png").unlink()
    return r"(?s)val/bad\.png: missing.*val/gone\.png: missing"


def remove_labels(folder):
    (folder / "valannot" / "bad.png").unlink()
    return r"valannot/bad\.png: missing"


def garble_image(folder):
    (folder / "val" / "bad.png").write_text("no image")
    return r"val/bad\.png: can't be read: cannot identify image file"


def garble_labels(folder):
    (folder / "valannot" / "bad.png").write_text("no image")
    return r"valannot/bad\.png: can't be read: cannot identify image file"


def tear_labels(folder):
    file = folder / "valannot" / "bad.png"
    file.write_bytes(file.read_bytes()[:-30])
    return r"valannot/bad\.png: can't be read"


def colour_labels(folder):
    add(folder, "val", "bad", [[0, 0, 0, 0]] * 3, mode="RGB")
    return r"valannot/bad\.png: can't be read: RGB: labels want one channel"


def deepen_labels(folder):
    Image.fromarray(np.full((3, 3), 300, np.uint16)).save(folder / "valannot" / "bad.png")
    return r"valannot/bad\.png: can't be read: label 300: a semantic map holds 0 to 255"


def compress_labels(folder):
    Image.new("L", (4, 3)).save(folder / "valannot" / "bad.png", "JPEG")
    return r"valannot/bad\.png: can't be read: JPEG, whatever it is called: labels want a PNG"


def tear_image(folder):
    file = folder / "val" / "bad.png"
    file.write_bytes(file.read_bytes()[:60])
    return r"val/bad\.png: can't be read: "


def change_size(folder):
    add(folder, "val", "bad", [[0, 0, 0, 0]] * 3, size=(4, 3))
    return r"valannot/bad\.png: gives the size 4x3, but .*val/bad\.png has 3x4 pixels"


def invent_a_label(folder):
    name_labels(folder, "sky", "road", "tree")
    add(folder, "val", "bad", [[0, 0, 0, 9]] * 3)
    return r"valannot/bad\.png: label 9 is unknown: names are there for 0 to 2"


HARMS = (
    list_absent,
    remove_labels,
    garble_image,
    garble_labels,
    tear_labels,
    colour_labels,
    deepen_labels,
    compress_labels,
    tear_image,
    change_size,
    invent_a_label,
)


@pytest.mark.parametrize("harm", HARMS)
def test_a_broken_file_is_reported_and_its_image_skipped(folder, harm):
    add(folder, "val", "bad", [[0, 0, 0, 0]] * 3)
    message = harm(folder)
    with pytest.raises(BadDataError, match=message):
        open_masks(str(folder), "val")
    with pytest.warns(UserWarning, match=message):
        data = open_masks(str(folder), "val", on_bad_data="skip")
    assert [sample.input.id for sample in data] == ["one", "two"]


SKY, ROAD, UNSURE = (128, 128, 128), (128, 64, 128), (0, 0, 0)


def colour(folder: Path, *lines: str, pixels=((SKY, ROAD), (UNSURE, SKY))) -> None:
    """A folder with a colour-coded label image in val, and what its colours mean."""
    for place in ("val", "valannot"):
        (folder / place).mkdir(exist_ok=True)
        Image.fromarray(np.array(pixels, np.uint8)).save(folder / place / "one.png")
    (folder / "label_colors.txt").write_text("\n".join(lines) + "\n")


COLOURS = ("128 64 128 Road surface", "0 0 0\tvoid", "128 128 128 Sky")


def test_colours_are_labels_where_a_file_says_which(tmp_path):
    colour(tmp_path, *COLOURS)
    data = open_masks(str(tmp_path), "val")
    assert data.info.classes == ("Road surface", "Sky")
    assert data[0].target.semantic_map.tolist() == [[2, 1], [VOID, 2]]
    back = pickle.loads(pickle.dumps(data))
    assert back[0].target.semantic_map.equal(data[0].target.semantic_map)
    colour(tmp_path, *COLOURS[::-1])
    assert open_masks(str(tmp_path), "val")[0].target.semantic_map.tolist() == [[1, 2], [VOID, 1]]


def test_a_colour_that_means_nothing_is_reported(tmp_path):
    colour(tmp_path, *COLOURS, pixels=((SKY, (128, 128, 129)),))
    with pytest.raises(BadDataError, match=r"one\.png: can't be read: colour 128 128 129 is no label's"):
        open_masks(str(tmp_path), "val")


@pytest.mark.parametrize(
    ("lines", "message"),
    [
        (("1 2 3",), r"label_colors\.txt:1: '1 2 3': want three numbers from 0 to 255 and a name"),
        (("1 2 256 sky",), r":1: '1 2 256 sky': want three numbers"),
        (("1 2 3 sky", "1 2 3 sea"), r":2: has the colour of 'sky'"),
        (("",), r"label_colors\.txt: names no label"),
    ],
)
def test_what_is_wrong_with_colours_is_told_whatever_is_skipped(tmp_path, lines, message):
    colour(tmp_path, *lines)
    with pytest.raises(BadDataError, match=message):
        open_masks(str(tmp_path), "val", "skip")


def test_labels_are_named_in_one_place(tmp_path):
    colour(tmp_path, *COLOURS)
    name_labels(tmp_path, "sky")
    with pytest.raises(
        ValueError, match=r"has classes\.txt and label_colors\.txt, which both name the labels: want one"
    ):
        open_masks(str(tmp_path), "val")


def test_voc_is_read_as_it_lies(tmp_path):
    for place in ("JPEGImages", "SegmentationClass", "ImageSets/Segmentation"):
        (tmp_path / place).mkdir(parents=True)
    Image.new("RGB", (3, 2)).save(tmp_path / "JPEGImages" / "2007_1.jpg")
    labels = Image.fromarray(np.array([[0, 1, VOID], [20, 0, 0]], np.uint8), "P")
    labels.putpalette(list(range(256)) * 3)
    labels.save(tmp_path / "SegmentationClass" / "2007_1.png")
    (tmp_path / "ImageSets/Segmentation/val.txt").write_text("2007_1\n")
    data = open_masks(str(tmp_path), "val")
    assert len(data.info.classes) == 20 and data.info.classes[:2] == ("aeroplane", "bicycle")
    assert data[0].input.id == "2007_1" and data[0].target.semantic_map.tolist() == [[0, 1, VOID], [20, 0, 0]]
    with pytest.raises(
        ValueError, match=r"'test', which would be the file ImageSets/Segmentation/test\.txt; it has: val"
    ):
        open_masks(str(tmp_path), "test")
    (tmp_path / "ImageSets/Segmentation/val.txt").write_text("2007_1\n2007_2\n")
    with pytest.raises(BadDataError, match=r"JPEGImages/2007_2\.jpg: missing"):
        open_masks(str(tmp_path), "val")


def test_cityscapes_is_read_as_it_lies(tmp_path):
    image, labels = tmp_path / "leftImg8bit/val/ulm", tmp_path / "gtFine/val/ulm"
    for place in (image, labels):
        place.mkdir(parents=True)
    Image.new("RGB", (3, 1)).save(image / "ulm_0_0_leftImg8bit.png")
    Image.fromarray(np.array([[7, 3, 33]], np.uint8)).save(labels / "ulm_0_0_gtFine_labelIds.png")
    data = open_masks(str(tmp_path), "val")
    assert len(data.info.classes) == 19 and data.info.classes[0] == "road" and data.info.classes[-1] == "bicycle"
    assert data[0].input.id == "ulm_0_0" and data[0].target.semantic_map.tolist() == [[1, VOID, 19]]
    with pytest.raises(ValueError, match="'train', which would be the folder leftImg8bit/train; it has: val"):
        open_masks(str(tmp_path), "train")


def test_what_is_no_such_folder_and_no_split_is_refused(folder):
    with pytest.raises(ValueError, match="no split 'test', which would be the folders test and testannot; it has: tra"):
        open_masks(str(folder), "test")
    with pytest.raises(ValueError, match=r"no split 'val', .* it has: none"):
        open_masks(str(folder / "val"), "val")
    with pytest.raises(ValueError, match="it has: none"):
        open_masks(str(folder / "absent"), "val")
    with pytest.raises(ValueError, match="on_bad_data: want one of fail, skip, clip, got 'ignore'"):
        open_masks(str(folder), "val", on_bad_data="ignore")
    name_labels(folder, *map(str, range(256)))
    with pytest.raises(ValueError, match=r"classes\.txt names 256 labels"):
        open_masks(str(folder), "val")
    name_labels(folder, *map(str, range(VOID)))
    with pytest.raises(ValueError, match="255 classes: a semantic map holds 254"):
        open_masks(str(folder), "val")


def test_camvid_opens_and_its_absent_frames_are_listed():
    root = os.environ.get("ROIBENCH_DATA")
    if not root or not (path := Path(root) / "camvid" / "CamVid").is_dir():
        pytest.skip("ROIBENCH_DATA names no folder with camvid/CamVid in it")
    with pytest.raises(BadDataError, match="90 problems") as caught:
        open_masks(str(path), "val")
    assert {problem.what for problem in caught.value.problems} == {"missing"}
    with pytest.warns(UserWarning, match="left out"):
        data = open_masks(str(path), "val", on_bad_data="skip")
    assert (len(data), len(data.info.classes), data.info.image_size) == (11, 12, (360, 480))
    sample = data[0]
    assert sample.target.semantic_map.shape == sample.input.image.shape[1:]
    assert 1 <= sample.target.semantic_map.min() <= sample.target.semantic_map.max() <= 12
