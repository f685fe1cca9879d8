"""The adapter for a folder per class, on small folders made here and on real photographs sorted into classes."""

import os
import pickle
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from torchvision.datasets.folder import IMG_EXTENSIONS

from roibench.datasets.bad_data import BadDataError
from roibench.datasets.folders import open_folders
from roibench.registry import installed


def add(folder: Path, place: str, size=(4, 3)) -> None:
    """size: (width, height)."""
    file = folder / place
    file.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(np.random.default_rng(len(place)).integers(0, 256, (size[1], size[0], 3), np.uint8)).save(file)


@pytest.fixture
def folder(tmp_path):
    """Three images in val, of a cat and two dogs, and one in train, of an ant."""
    for place in ("val/dog/1.jpg", "val/dog/2.PNG", "val/cat/1.jpg", "train/ant/1.jpg"):
        add(tmp_path, place)
    return tmp_path


def test_a_folder_is_read(folder):
    data = open_folders(str(folder), "val")
    assert data.info.classes == ("ant", "cat", "dog"), "of all splits, so that labels mean the same in each"
    assert (data.info.name, data.info.split, data.info.image_size) == (f"folders:{folder}", "val", (3, 4))
    assert (len(data), data.unbounded, data.problems) == (3, False, ())
    assert [sample.input.id for sample in data] == ["cat/1.jpg", "dog/1.jpg", "dog/2.PNG"]
    assert [sample.target.image_label for sample in data] == [1, 2, 2]
    want = np.asarray(Image.open(folder / "val" / "dog" / "2.PNG")).transpose(2, 0, 1)
    assert np.array_equal(data[2].input.image.numpy(), want)
    with pytest.raises(IndexError):
        data[3]


def test_a_folder_without_splits_is_never_training_data(folder):
    undivided = str(folder / "val")
    for split in ("val", "test", "all"):
        data = open_folders(undivided, split)
        assert (data.info.classes, data.info.split, len(data)) == (("cat", "dog"), split, 3)
    with pytest.raises(ValueError, match="is not divided into splits: it opens as val, test, all, not as 'train'"):
        open_folders(undivided, "train")


def test_an_empty_folder_is_a_class_and_other_files_are_none(folder):
    (folder / "val" / "eel").mkdir()
    (folder / "val" / ".cache").mkdir()
    for place in ("README.md", "val/Thumbs.db", "val/cat/notes.txt", "val/cat/._1.jpg"):
        (folder / place).write_text("not for us")
    data = open_folders(str(folder), "val")
    assert (data.info.classes, len(data)) == (("ant", "cat", "dog", "eel"), 3)


@pytest.mark.parametrize(
    "name", ["__MACOSX", "__macosx", "@eaDir", ".git", "$RECYCLE.BIN", "System Volume Information"]
)
def test_what_systems_leave_behind_is_no_split_no_class_and_no_image(folder, name):
    before = open_folders(str(folder), "val").hash
    for place in ("", "val", "val/cat"):
        add(folder, f"{place}/{name}/cat/1.jpg")
    for place in ("val/.DS_Store", "val/cat/Thumbs.db", "val/cat/desktop.ini", "val/cat/._2.jpg"):
        (folder / place).write_bytes(b"\0\5\x16\7")
    data = open_folders(str(folder), "val")
    assert (data.info.classes, data.hash) == (("ant", "cat", "dog"), before)
    with pytest.raises(ValueError, match=r"has no split 'test'; it has: train, val$"):
        open_folders(str(folder), "test")


@pytest.mark.parametrize("suffix", ["jpeg", "JPG", "bmp", "webp", "tif", "TIFF", "ppm", "pgm"])
def test_images_are_known_by_their_suffix_as_torchvision_knows_them(folder, suffix):
    assert f".{suffix.lower()}" in IMG_EXTENSIONS
    add(folder, f"val/cat/9.{suffix}")
    assert open_folders(str(folder), "val")[1].input.id == f"cat/9.{suffix}"


def tear_image(folder):
    file = folder / "val" / "cat" / "bad.jpg"
    add(folder, "val/cat/bad.jpg", (64, 64))
    file.write_bytes(file.read_bytes()[: file.stat().st_size // 2])
    return r"val/cat/bad\.jpg: can't be read: image file is truncated"


def test_sizes_that_differ_are_not_one_size(folder):
    add(folder, "val/dog/large.png", (9, 9))
    assert open_folders(str(folder), "val").info.image_size is None


def test_the_fields_are_those_that_the_spec_declares(folder):
    assert open_folders(str(folder), "val").info.fields == set(installed().datasets["folders"].fields)


def test_the_hash_covers_classes_and_pixels_but_not_the_place(folder, tmp_path_factory):
    before = open_folders(str(folder), "val").hash
    copy = tmp_path_factory.mktemp("copy") / "elsewhere"
    copy.symlink_to(folder)
    assert open_folders(str(copy), "val").hash == before
    (folder / "val" / "dog" / "1.jpg").rename(folder / "val" / "cat" / "9.jpg")
    renamed = open_folders(str(folder), "val").hash
    Image.new("RGB", (4, 3)).save(folder / "val" / "cat" / "9.jpg")
    assert len({before, renamed, open_folders(str(folder), "val").hash}) == 3


def test_a_dataset_can_be_sent_to_a_worker(folder):
    data = open_folders(str(folder), "val")
    back = pickle.loads(pickle.dumps(data))
    assert (back, back.hash) == (data, data.hash)


def garble_image(folder):
    (folder / "val" / "cat" / "bad.jpg").write_text("no image")
    return r"val/cat/bad\.jpg: can't be read: cannot identify image file"


def empty_image(folder):
    (folder / "val" / "cat" / "bad.jpg").write_text("")
    return r"val/cat/bad\.jpg: can't be read"


def lose_image(folder):
    add(folder, "val/bad.jpg")
    return r"val/bad\.jpg: lies in no class's folder"


def nest_folder(folder):
    add(folder, "val/cat/kittens/1.jpg")
    return r"val/cat/kittens: a folder within the class cat"


@pytest.mark.parametrize("harm", [garble_image, empty_image, tear_image, lose_image, nest_folder])
def test_a_bad_file_is_reported_and_skipped_alone(folder, harm):
    message = harm(folder)
    with pytest.raises(BadDataError, match=message):
        open_folders(str(folder), "val")
    with pytest.warns(UserWarning, match=message):
        data = open_folders(str(folder), "val", on_bad_data="skip")
    assert [sample.target.image_label for sample in data] == [1, 2, 2]


def test_what_holds_no_classes_and_no_split_is_refused(folder):
    with pytest.raises(ValueError, match="has no split 'test'; it has: train, val"):
        open_folders(str(folder), "test")
    for place in ("absent", "val/cat", "val/cat/1.jpg"):
        with pytest.raises(ValueError, match=f"{place} holds no folders: want .*/SPLIT/CLASS or .*/CLASS"):
            open_folders(str(folder / place), "val")
    with pytest.raises(ValueError, match="on_bad_data: want one of fail, skip, clip, got 'ignore'"):
        open_folders(str(folder), "val", on_bad_data="ignore")


def test_photographs_sorted_into_classes_open(tmp_path):
    root = os.environ.get("ROIBENCH_DATA")
    if not root or not (photographs := sorted(Path(root, "imagenet_samples").glob("*.JPEG"))):
        pytest.skip("ROIBENCH_DATA names no folder with imagenet_samples in it")
    for photograph in photographs:
        place = tmp_path / photograph.stem.partition("_")[2]
        place.mkdir(exist_ok=True)
        (place / photograph.name).symlink_to(photograph)
    data = open_folders(str(tmp_path), "val")
    assert len(data) == len(photographs)
    assert all(sample.input.image.shape[0] == 3 for sample in data)
    assert {sample.target.image_label for sample in data} == set(range(len(data.info.classes)))
