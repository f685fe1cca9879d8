"""The COCO adapter, on small folders made here and on free photographs of COCO."""

import json
import pickle

import numpy as np
import pytest
import torch
from coco_files import COMPRESSED, JOINTS, POLYGON, RUNS, SQUARE, document, image, obj, one_image, real, write
from PIL import Image

from roibench.datasets.bad_data import BadDataError
from roibench.datasets.coco import open_coco
from roibench.datasets.reference import open_dataset
from roibench.registry import installed


@pytest.fixture
def folder(tmp_path):
    return one_image(tmp_path)


def test_a_folder_is_read(folder):
    data = open_coco(str(folder), "val")
    assert data.info.classes == ("ant", "cat", "dog"), "by ascending category id"
    assert (data.info.name, data.info.split, data.info.image_size) == (f"coco:{folder}", "val", (30, 40))
    assert data.info.fields == {"boxes", "labels", "crowd", "areas", "masks"}
    assert (len(data), data.unbounded, data.problems) == (1, False, ())
    (sample,) = data
    found = sample.target
    assert sample.input.id == "7"
    assert torch.equal(found.boxes, torch.tensor([[3.0, 4, 13, 9], [0, 0, 40, 30]])), "two decimals are clipped"
    assert (found.labels.tolist(), found.crowd.tolist(), found.areas.tolist()) == ([1, 2], [False, True], [48.5, 600])
    assert (found.captions, found.keypoints, found.ignored) == (None, None, None)
    want = np.asarray(Image.open(folder / "val" / "one.jpg").convert("RGB")).transpose(2, 0, 1)
    assert np.array_equal(sample.input.image.numpy(), want)
    with pytest.raises(IndexError):
        data[1]


@pytest.mark.parametrize("outline", [POLYGON, RUNS, COMPRESSED], ids=["polygon", "runs", "compressed"])
def test_every_way_to_write_an_outline_gives_the_same_mask(folder, outline):
    write(folder, document(obj(segmentation=outline)))
    masks = open_coco(str(folder), "val")[0].target.masks
    assert masks.dtype == torch.bool
    assert np.array_equal(masks.numpy(), SQUARE[None].astype(bool))


def test_an_image_without_objects_has_empty_fields(folder):
    (folder / "images").mkdir()
    Image.new("L", (20, 10), 77).save(folder / "images" / "none.png")
    images = [image(), image(8, "none.png", 20, 10)]
    write(folder, document(obj(segmentation=POLYGON), images=images))
    data = open_coco(str(folder), "val")
    assert data.info.image_size is None
    found = data[1].target
    assert (found.boxes.shape, found.masks.shape, len(found.labels)) == ((0, 4), (0, 10, 20), 0)
    assert data[1].input.image.unique().tolist() == [77]


def test_masks_are_filled_only_if_every_object_has_an_outline(folder):
    write(folder, document(obj(segmentation=POLYGON), obj(2, segmentation=[])))
    data = open_coco(str(folder), "val")
    assert "masks" not in data.info.fields
    assert data[0].target.masks is None
    assert data[0].target.areas.tolist() == [50, 50], "the box's, where none is given"


def test_keypoints_come_from_the_file_beside(folder):
    write(folder, document(obj(), obj(2)))
    poses = document(obj(2, keypoints=[3, 4, 2, 0, 0, 0]), categories=JOINTS)
    write(folder, poses, "person_keypoints_val")
    data = open_coco(str(folder), "val")
    assert data.info.joints == ("nose", "tail")
    assert "keypoints" in data.info.fields
    want = [[[0, 0, 0], [0, 0, 0]], [[3, 4, 2], [0, 0, 0]]]
    assert data[0].target.keypoints.tolist() == want
    (folder / "annotations" / "instances_val.json").unlink()
    assert open_coco(str(folder), "val")[0].target.keypoints.tolist() == want[1:], "or from the file alone"


def test_captions_are_the_objects_own(folder):
    write(folder, document(obj(caption="a cat"), obj(2, caption="one more cat")))
    write(folder, {"images": [image()], "annotations": [{"id": 1, "image_id": 7, "caption": "zoo"}]}, "captions_val")
    data = open_coco(str(folder), "val")
    assert data[0].target.captions == ("a cat", "one more cat")
    assert data.info.vocabulary == ("a", "cat", "more", "one")


def test_a_file_of_captions_has_them_for_whole_images(folder):
    captions = [{"id": id, "image_id": 7, "caption": text} for id, text in ((2, "A dog."), (1, "a cat, a dog"))]
    file = write(folder, {"images": [image(), image(8, "two.jpg")], "annotations": captions}, "captions_val")
    Image.new("RGB", (40, 30)).save(folder / "val" / "two.jpg")
    data = open_coco(f"{file}:{folder / 'val'}", "val")
    assert data.info.fields == {"boxes", "areas", "crowd", "captions"} and data.info.classes == ()
    assert data.info.vocabulary == ("a", "cat", "dog")
    target = data[0].target
    assert target.labels is None and target.captions == ("A dog.", "a cat, a dog")
    assert target.boxes.tolist() == [[0, 0, 40, 30]] * 2 and target.areas.tolist() == [1200] * 2
    assert data[1].target.captions == () and data[1].target.boxes.shape == (0, 4)
    spoken = open_coco(f"{file}:{folder / 'val'}", "val").hash
    captions[0]["caption"] = "A cat."
    write(folder, {"images": [image(), image(8, "two.jpg")], "annotations": captions}, "captions_val")
    assert open_coco(f"{file}:{folder / 'val'}", "val").hash != spoken


def test_a_file_without_categories_is_none_of_captions_unless_all_it_has_are_captions(folder):
    for odd in ({"caption": "a dog", "bbox": [0, 0, 4, 4]}, {"caption": None}, {}):
        entries = [{"id": 1, "image_id": 7, "caption": "a cat"}, {"id": 2, "image_id": 7} | odd]
        file = write(folder, {"images": [image()], "annotations": entries}, "captions_val")
        with pytest.raises(ValueError, match="is no COCO ground truth: it has no list 'categories'"):
            open_coco(f"{file}:{folder / 'val'}", "val")


def test_a_single_file_finds_its_images_beside_it(folder):
    file = folder / "annotations" / "instances_val.json"
    file = file.rename(folder / "val" / "objects.json")
    data = open_coco(str(file), "anything")
    assert (len(data), data.info.split) == (1, "anything")


def test_a_single_file_may_be_told_where_its_images_lie(folder, tmp_path_factory):
    file = folder / "annotations" / "instances_val.json"
    far = tmp_path_factory.mktemp("far, away") / "photos@home"
    far.mkdir()
    (folder / "val" / "one.jpg").rename(far / "one.jpg")
    data = open_dataset(f"coco:{file}:{far}@test", installed())
    assert (len(data), data.info.split, data[0].input.id) == (1, "test", "7")
    file.write_text(json.dumps(document(obj(), images=[image(file_name="val/one.jpg")])))
    assert len(open_coco(f"{file}:{far}", "val")) == 1, "its last part"
    with pytest.raises(ValueError, match=r"far, away0/none: no such folder, in coco:FILE.json:IMAGES"):
        open_coco(f"{file}:{far.parent / 'none'}", "val")
    with pytest.raises(ValueError, match=r"none\.json: no such file, in coco:FILE.json:IMAGES"):
        open_coco(f"{folder}/none.json:{far}", "val")
    with pytest.raises(BadDataError, match=r"photos@home/gone\.jpg: missing"):
        write(folder, document(obj(), images=[image(file_name="gone.jpg")]))
        open_coco(f"{file}:{far}", "val")


def test_a_split_is_found_without_its_year(folder):
    (folder / "annotations" / "instances_val.json").rename(folder / "annotations" / "instances_val2017.json")
    assert len(open_coco(str(folder), "val")) == 1
    (folder / "val").rename(folder / "val2017")
    assert len(open_coco(str(folder), "val")) == 1
    write(folder, document(), "instances_val2014")
    with pytest.raises(ValueError, match="more than one split 'val'; name one: val2014, val2017"):
        open_coco(str(folder), "val")
    assert len(open_coco(str(folder), "val2017")) == 1


def test_the_fields_are_among_those_that_the_spec_declares(folder):
    assert open_coco(str(folder), "val").info.fields <= set(installed().datasets["coco"].fields)


def test_what_is_hashed_is_written_as_the_published_records_had_it(folder):
    write(folder, document(obj()))
    data = open_coco(str(folder), "val")
    box, rest = "(3.0, 4.0, 13.0, 9.0)", "segmentation=None, keypoints=None, caption=None"
    written = f"Thing(box={box}, label=1, crowd=False, area=50.0, {rest})"
    assert repr(data.facts(data.pictures[0])) == f"('7', (30, 40), ({written},), ())"


def test_the_hash_covers_annotations_and_pixels_but_not_the_place(folder, tmp_path_factory):
    before = open_coco(str(folder), "val").hash
    copy = tmp_path_factory.mktemp("copy") / "elsewhere"
    copy.symlink_to(folder)
    assert open_coco(str(copy), "val").hash == before
    file = folder / "annotations" / "instances_val.json"
    text = file.read_text()
    file.write_text(text.replace("48.5", "48.6"))
    assert open_coco(str(folder), "val").hash != before
    file.write_text(text)
    Image.new("RGB", (40, 30)).save(folder / "val" / "one.jpg")
    assert open_coco(str(folder), "val").hash != before


def test_a_dataset_can_be_sent_to_a_worker(folder):
    data = open_coco(str(folder), "val")
    back = pickle.loads(pickle.dumps(data))
    assert back == data
    assert back.hash == data.hash


def test_what_is_no_coco_and_no_split_is_refused(folder, tmp_path):
    with pytest.raises(ValueError, match="is no COCO folder: it has no annotations; nor is it a JSON file"):
        open_coco(str(tmp_path / "val"), "val")
    with pytest.raises(ValueError, match="has no split 'test'; it has: val"):
        open_coco(str(folder), "test")
    with pytest.raises(ValueError, match="on_bad_data: want one of fail, skip, clip, got 'ignore'"):
        open_coco(str(folder), "val", on_bad_data="ignore")
    for content, key in (([], "images"), ({"images": []}, "annotations")):
        write(folder, content)
        with pytest.raises(ValueError, match=f"is no COCO ground truth: it has no list '{key}'"):
            open_coco(str(folder), "val")


@pytest.mark.parametrize(
    ("name", "split", "found", "listed"),
    [("coco128", "train", 33, 128), ("coco_mini", "val", 25, 79), ("coco_tiny", "val2017", 22, 80)],
)
def test_free_photographs_open_and_absent_ones_are_listed(name, split, found, listed):
    path = str(real("coco_free", name))
    with pytest.raises(BadDataError, match=f"{listed - found} problems") as caught:
        open_coco(path, split)
    assert {problem.what for problem in caught.value.problems} == {"missing"}
    with pytest.warns(UserWarning, match="left out"):
        data = open_coco(path, split, on_bad_data="skip")
    assert (len(data), len(data.info.classes)) == (found, 80)
    assert ("keypoints" in data.info.fields) == (name == "coco_mini")
    sample = data[0]
    assert sample.target.masks.shape == (len(sample.target.boxes), *sample.input.image.shape[1:])
