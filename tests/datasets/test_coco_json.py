"""What a COCO file holds, entry by entry: on files made here and on COCO's own evaluation fixtures."""

from itertools import groupby

import numpy as np
import pytest
import torch
from coco_files import CATEGORIES, COMPRESSED, JOINTS, RUNS, SQUARE, document, image, obj, one_image, real, write
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from pycocotools import mask as rle
from pycocotools.coco import COCO

from roibench.datasets.bad_data import BadData, BadDataError
from roibench.datasets.coco import open_coco, target
from roibench.datasets.coco_json import _decompress, read_annotations


@pytest.fixture
def folder(tmp_path):
    return one_image(tmp_path)


@given(mask=arrays(np.uint8, (9, 300), elements=st.integers(0, 1)))
def test_compressed_runs_are_understood_as_their_library_does(mask):
    compressed = rle.encode(np.asfortranarray(mask))["counts"].decode()
    assert _decompress(compressed) == plain_runs(mask)


def plain_runs(mask: np.ndarray) -> list[int]:
    """Lengths of runs down the columns, of zeros first."""
    pixels = mask.flatten(order="F").tolist()
    runs = [len(tuple(same)) for _, same in groupby(pixels)]
    return [0, *runs] if pixels[0] else runs


ONE = [1, 1.0, "1", "1.0", " 1 "]


@pytest.mark.parametrize("there", ONE)
@pytest.mark.parametrize("here", ONE)
def test_an_id_is_the_same_as_a_number_and_as_text(folder, here, there):
    entry = obj(image_id=there, category_id=there)
    content = document(entry, images=[image(here)], categories=[{"id": here, "name": "cat"}])
    write(folder, content)
    (sample,) = open_coco(str(folder), "val")
    assert (sample.input.id, sample.target.labels.tolist()) == ("1", [0])
    write(folder, content | {"images": [image(here), image(there)]})
    with pytest.raises(BadDataError, match=r"images\[1\]: id 1 is there already"):
        open_coco(str(folder), "val")


@pytest.mark.parametrize("id", [True, 1.5, float("nan"), [1], {}, None])
def test_an_id_that_is_none_is_reported(folder, id):
    write(folder, document(obj(), obj(id)))
    with pytest.raises(BadDataError, match=r"annotations\[1\] has no id that is a whole number or text"):
        open_coco(str(folder), "val")
    write(folder, document(obj(), obj(2, image_id=id)))
    with pytest.raises(BadDataError, match=r"annotation 2: image .* is unknown"):
        open_coco(str(folder), "val")


def test_categories_are_ordered_as_numbers_then_as_text(folder):
    ids = [10, -2, 9, "b", -10, 0, "a", "11", 8.0]
    write(folder, document(obj(category_id=9), categories=[{"id": id, "name": f"<{id}>"} for id in ids]))
    names = open_coco(str(folder), "val").info.classes
    assert names == ("<-10>", "<-2>", "<0>", "<8.0>", "<9>", "<10>", "<11>", "<a>", "<b>")


@pytest.mark.parametrize("size", [(40.0, 30.0), ("40", "30"), (40, 30.0)])
def test_whole_numbers_may_be_written_with_a_point(folder, size):
    write(folder, document(obj(), images=[image(width=size[0], height=size[1])]))
    assert open_coco(str(folder), "val").info.image_size == (30, 40)


@pytest.mark.parametrize("width", [True, 40.5, "wide", None, -40, float("nan"), float("inf"), [40], 10**400])
def test_a_width_that_is_none_is_reported(folder, width):
    write(folder, document(obj(), images=[image(), image(8, width=width)]))
    with pytest.raises(BadDataError, match=r"image 8: (needs file_name, height and width|gives )"):
        open_coco(str(folder), "val")


CROWDS = {
    0: False,
    1: True,
    "0": False,
    "1": True,
    "false": False,
    "True": True,
    "no": False,
    "1.0": True,
}


@pytest.mark.parametrize("written", [*CROWDS, False, True, 0.0, 1.0, None])
def test_iscrowd_is_read_however_it_is_spelled(folder, written):
    write(folder, document(obj(2), obj(iscrowd=written)))
    assert open_coco(str(folder), "val")[0].target.crowd.tolist() == [False, bool(CROWDS.get(written))]


def test_a_file_with_a_byte_order_mark_is_read(folder):
    file = folder / "annotations" / "instances_val.json"
    text = file.read_text()
    for encoding in ("utf-8-sig", "utf-16"):
        file.write_text(text, encoding=encoding)
        assert open_coco(str(folder), "val").info.classes == ("ant", "cat", "dog")


NOT_READABLE = {
    "Latin-1": (
        '{"images": [], "x": "caf\xe9"}'.encode("latin-1"),
        "can't be read: 'utf-8' codec can't decode byte 0xe9",
    ),
    "nested without end": (b"[" * 100_000, "can't be read: maximum recursion depth exceeded"),
    "endless number": (b'{"images": [' + b"9" * 5000 + b"]}", "can't be read: Exceeds the limit"),
}


@pytest.mark.parametrize("kind", NOT_READABLE)
def test_json_that_cannot_be_read_is_named(folder, kind):
    content, message = NOT_READABLE[kind]
    file = folder / "annotations" / "instances_val.json"
    file.write_bytes(content)
    with pytest.raises(BadDataError, match=f"{file}: {message}"):
        open_coco(str(folder), "val", "skip")


def test_runs_may_be_written_with_points(folder):
    runs = {"size": [30.0, 40.0], "counts": [float(run) for run in RUNS["counts"]]}
    for outline in (runs, COMPRESSED | {"size": [30.0, 40.0]}):
        write(folder, document(obj(segmentation=outline)))
        assert np.array_equal(open_coco(str(folder), "val")[0].target.masks.numpy(), SQUARE[None].astype(bool))


BAD_ANNOTATIONS = {
    "degenerate": (obj(5, bbox=(5, 5, 0, 9)), r"cat: bbox \[5, 5, 0, 9\] is degenerate"),
    "inverted": (obj(5, bbox=(5, 5, -2, 9)), r"cat: bbox \[5, 5, -2, 9\] is inverted"),
    "outside": (obj(5, bbox=(30, 5, 11.1, 9)), r"cat: bbox .* is outside of the image of 40x30"),
    "negative": (obj(5, bbox=(-1.1, 5, 10, 9)), r"cat: bbox .* is outside of the image of 40x30"),
    "not a number": (obj(5, bbox=(float("nan"), 5, 10, 9)), "cat: bbox .* is not finite"),
    "infinite": (obj(5, bbox=(1, 5, 10, float("inf"))), "cat: bbox .* is not finite"),
    "text": (obj(5, bbox="1234"), "cat: bbox without four numbers"),
    "three": (obj(5, bbox=(1, 2, 3)), r"cat: bbox without four numbers: \[1, 2, 3\]"),
    "category": (obj(5, category_id=3), "category 3 is unknown"),
    "image": (obj(5, image_id=99), "image 99 is unknown"),
    "beyond floats": (obj(5, bbox=(10**400, 5, 10, 9)), r"cat: bbox \[1000*\.\.\. \(\d+ characters\) is not finite"),
    "yes": (obj(5, bbox=(True, 5, 10, 9)), r"cat: bbox without four numbers: \[True, 5, 10, 9\]"),
    "number as text": (obj(5, bbox=("1", 5, 10, 9)), "cat: bbox without four numbers"),
    "crowd": (obj(5, iscrowd="maybe"), "cat: iscrowd 'maybe' is neither yes nor no"),
    "crowds": (obj(5, iscrowd=2), "cat: iscrowd 2 is neither yes nor no"),
    "area beyond float32": (obj(5, area=1e300), r"cat: area 1e\+300 is no area in an image of 40x30"),
    "area beyond floats": (obj(5, area=10**400), r"cat: area 1000*\.\.\. \(\d+ characters\) is no area"),
    "area beyond the image": (obj(5, area=32 * 42 + 1), "cat: area 1345 is no area in an image of 40x30"),
    "area as text": (obj(5, area="50"), "cat: area '50' is no area"),
    "area as a boolean": (obj(5, area=True), "cat: area True is no area"),
    "polygon of booleans": (obj(5, segmentation=[[True] * 6]), "cat: polygon without three or more x, y pairs"),
    "polygon beyond floats": (obj(5, segmentation=[[10**400] * 6]), "cat: polygon far outside"),
    "runs of halves": (obj(5, segmentation=RUNS | {"counts": [599.5, 600.5]}), "cat: runs that do not add up"),
    "area": (obj(5, area=float("nan")), "cat: area nan is no area in an image of 40x30"),
    "two corners": (obj(5, segmentation=[[1, 2, 3, 4]]), "cat: polygon without three or more x, y pairs"),
    "far": (obj(5, segmentation=[[1, 2, 3, 4, 5, 1e12]]), "cat: polygon far outside"),
    "endless": (obj(5, segmentation=[[1, 2, 3, 4, 5, float("nan")]]), "cat: polygon far outside"),
    "outline": (obj(5, segmentation="square"), "cat: segmentation that is neither polygons nor runs"),
    "other size": (obj(5, segmentation=COMPRESSED | {"size": [40, 30]}), r"cat: runs of size \[40, 30\], in an"),
    "short": (obj(5, segmentation={"size": [30, 40], "counts": "54"}), "cat: runs that do not add up to the 1200"),
    "torn": (obj(5, segmentation={"size": [30, 40], "counts": "oooo"}), "cat: runs that do not add up to the 1200"),
    "no runs": (obj(5, segmentation={"size": [30, 40], "counts": "54 "}), "cat: runs that do not add up to the 1200"),
    "runs": (obj(5, segmentation=RUNS | {"counts": [7, 9]}), "cat: runs that do not add up to the 1200 pixels"),
}


@pytest.mark.parametrize("kind", BAD_ANNOTATIONS)
def test_a_bad_annotation_is_reported_with_file_and_id_and_skipped_alone(folder, kind):
    bad, message = BAD_ANNOTATIONS[kind]
    file = write(folder, document(obj(3, category_id=18), bad, obj(4, category_id=2)))
    message = rf"{file}: annotation 5: {message}"
    with pytest.raises(BadDataError, match=rf"1 problem in the data .*\n  {message}"):
        open_coco(str(folder), "val")
    with pytest.warns(UserWarning, match=rf"left out because of bad data:\n  {message}"):
        data = open_coco(str(folder), "val", on_bad_data="skip")
    assert [data.info.classes[label] for label in data[0].target.labels.tolist()] == ["dog", "ant"]
    assert [problem.file for problem in data.problems] == [file]


BAD_DOCUMENTS = {
    "annotation id": (document(obj(), obj(bbox=(0, 0, 1, 1))), r"annotations\[1\]: id 1 is there already"),
    "no annotation id": (document(obj(), {"bbox": [0, 0, 1, 1]}), r"annotations\[1\] has no id that"),
    "image id": (document(obj(), images=[image(), image()]), r"images\[1\]: id 7 is there already"),
    "image size": (document(obj(), images=[image(), image(8, height=0)]), "image 8: needs file_name, height and"),
    "category id": (document(obj(), categories=[*CATEGORIES, CATEGORIES[0]]), r"categories\[3\]: id 18 is there"),
    "missing": (document(obj(), images=[image(), image(8, "gone.jpg")]), "val/gone.jpg: missing"),
    "garbled": (document(obj(), images=[image(), image(8, "text.jpg")]), "val/text.jpg: can't be read: cannot"),
    "other size": (
        document(obj(), images=[image(), image(8, width=41)]),
        "image 8: gives the size 41x30, .* has 40x30",
    ),
}


@pytest.mark.parametrize("kind", BAD_DOCUMENTS)
def test_a_bad_entry_is_reported_and_the_rest_stays(folder, kind):
    content, message = BAD_DOCUMENTS[kind]
    (folder / "val" / "text.jpg").write_text("no image")
    write(folder, content)
    with pytest.raises(BadDataError, match=message):
        open_coco(str(folder), "val")
    with pytest.warns(UserWarning, match=message):
        data = open_coco(str(folder), "val", on_bad_data="skip")
    (sample,) = data
    assert (sample.target.boxes.tolist(), data.info.classes) == ([[3, 4, 13, 9]], ("ant", "cat", "dog"))


BAD_POSES = {
    "short": (obj(keypoints=[1, 2]), "annotation 1: keypoints want x, y and 0, 1 or 2 per joint"),
    "visibility": (obj(keypoints=[3, 4, 5, 0, 0, 0]), "annotation 1: keypoints want"),
    "not finite": (obj(keypoints=[float("nan"), 4, 2, 0, 0, 0]), "annotation 1: keypoints want"),
    "beyond float32": (obj(keypoints=[1e300, 4, 2, 0, 0, 0]), "annotation 1: keypoints want"),
    "beyond floats": (obj(keypoints=[10**400, 4, 2, 0, 0, 0]), "annotation 1: keypoints want"),
    "booleans": (obj(keypoints=[3, 4, True, 0, 0, 0]), "annotation 1: keypoints want"),
    "unknown": (obj(6, keypoints=[3, 4, 2, 0, 0, 0]), "annotation 6: instances_val.json has no such annotation"),
}


@pytest.mark.parametrize("kind", BAD_POSES)
def test_bad_keypoints_are_reported_and_left_out_without_their_object(folder, kind):
    bad, message = BAD_POSES[kind]
    write(folder, document(obj()))
    file = write(folder, document(bad, categories=JOINTS), "person_keypoints_val")
    with pytest.raises(BadDataError, match=f"{file}: {message}"):
        open_coco(str(folder), "val")
    with pytest.warns(UserWarning, match=message):
        data = open_coco(str(folder), "val", on_bad_data="skip")
    assert data[0].target.keypoints.tolist() == [[[0, 0, 0], [0, 0, 0]]]


def test_categories_that_disagree_on_joints_have_none(folder):
    categories = [*JOINTS, {"id": 18, "name": "dog", "keypoints": ["paw"]}]
    write(folder, document(obj(keypoints=[3, 4, 2, 0, 0, 0]), categories=categories))
    with pytest.raises(BadDataError, match="categories with different joints: all keypoints are left out"):
        open_coco(str(folder), "val")
    with pytest.warns(UserWarning, match="different joints"):
        data = open_coco(str(folder), "val", on_bad_data="skip")
    assert (data.info.joints, data[0].target.keypoints) == ((), None)


@pytest.mark.parametrize("on_bad_data", ["fail", "skip"])
def test_broken_json_names_its_line(folder, on_bad_data):
    file = folder / "annotations" / "instances_val.json"
    file.write_text('{"images": [],\n"annotations": [}')
    with pytest.raises(BadDataError, match=r"instances_val\.json:2: broken JSON: Expecting value"):
        open_coco(str(folder), "val", on_bad_data)


FIXTURES = ("eval_fixtures", "cocoapi_val2014_100", "tests")


def read(*parts: str):
    bad = BadData("fail")
    annotations = read_annotations(real(*FIXTURES, *parts), bad)
    assert bad.settle() == ()
    return annotations


def test_the_evaluation_fixture_is_read_as_its_own_library_reads_it():
    annotations = read("dataset", "cocoapi", "instances_val2014_100.json")
    assert (len(annotations.pictures), len(annotations.classes)) == (100, 80)
    assert (annotations.classes[0], annotations.classes[-1]) == ("person", "toothbrush")
    assert annotations.fields == {"boxes", "labels", "crowd", "areas", "masks"}
    assert sum(one.crowd for one in annotations.objects) == 9
    library = COCO(real(*FIXTURES, "dataset", "cocoapi", "instances_val2014_100.json"))
    for picture in annotations.pictures:
        found, entries = target(picture, annotations.fields, 0), library.imgToAnns[int(picture.id)]
        for index, entry in enumerate(entries):
            assert np.array_equal(found.masks[index].numpy(), library.annToMask(entry))
        names = [library.cats[entry["category_id"]]["name"] for entry in entries]
        assert [annotations.classes[label] for label in found.labels.tolist()] == names
        assert torch.equal(found.areas, torch.tensor([entry["area"] for entry in entries]))


def test_the_keypoint_fixture_is_read():
    annotations = read("keypoints_dataset", "gt_dataset.json")
    found = target(annotations.pictures[0], annotations.fields, len(annotations.joints))
    assert found.keypoints.shape == (14, 17, 3)
    assert found.keypoints[0, 0].tolist() == [269, 142, 2]
    assert annotations.joints[0] == "nose"


def test_ids_may_be_numbers_and_text():
    assert len(tuple(read("dataset", "gt_ignore_test.json").objects)) == 14
