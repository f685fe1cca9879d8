"""Equal scores stand in the order of the images' ids, as pycocotools has it, however a file lists them."""

import json

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from roibench.datasets.bad_data import BadData
from roibench.datasets.coco import open_coco, target
from roibench.datasets.coco_json import read_annotations
from roibench.metrics.detection import coco_ap
from roibench.structures import Prediction

BOX = [8, 8, 16, 16]
FAR = [40, 30, 16, 16]


def ground_truth(ids: list[int]) -> dict:
    """A COCO file that lists images of one object each in this order."""
    return {
        "images": [{"id": id, "file_name": f"{id}.png", "width": 64, "height": 48} for id in ids],
        "annotations": [
            {"id": place, "image_id": id, "category_id": 3, "bbox": BOX, "area": 256, "iscrowd": 0}
            for place, id in enumerate(ids, 1)
        ],
        "categories": [{"id": 3, "name": "cat"}],
    }


def results(found: dict[int, list[tuple[bool, float]]]) -> list[dict]:
    """By image: whether a detection hits the object, and its score."""
    return [
        {"image_id": id, "category_id": 3, "bbox": BOX if hit else FAR, "score": score}
        for id, detections in found.items()
        for hit, score in detections
    ]


def predictions(ids: list[str], found: dict[int, list[tuple[bool, float]]]) -> list[Prediction]:
    """The same for images in the order of these ids."""
    made = []
    for id in ids:
        boxes = torch.tensor([BOX if hit else FAR for hit, _ in found[int(id)]], dtype=torch.float32).reshape(-1, 4)
        boxes[:, 2:] += boxes[:, :2]
        scores = torch.tensor([score for _, score in found[int(id)]])
        made.append(Prediction(boxes, scores, torch.zeros(len(boxes), dtype=torch.int64)))
    return made


@pytest.mark.parametrize("listed", [[2, 1], [1, 2]])
def test_two_images_in_either_order_have_pycocotools_value(tmp_path, coco_json_numbers, listed):
    for id in (1, 2):
        Image.new("RGB", (64, 48)).save(tmp_path / f"{id}.png")
    (tmp_path / "objects.json").write_text(json.dumps(ground_truth(listed)))
    found = {1: [(True, 0.5)], 2: [(False, 0.5)]}
    data = open_coco(str(tmp_path / "objects.json"), "val")
    samples = [data[i] for i in range(2)]
    assert [one.input.id for one in samples] == ["1", "2"]
    ap = coco_ap(predictions(["1", "2"], found), [one.target for one in samples]).values["AP"].value
    assert ap == pytest.approx(coco_json_numbers(ground_truth(listed), results(found), "bbox")["AP"])
    assert ap == pytest.approx(51 / 101)


detections = st.lists(st.tuples(st.booleans(), st.sampled_from([0.25, 0.5, 0.75])), max_size=4)


@given(st.dictionaries(st.integers(-30, 1200), detections, min_size=1, max_size=8), st.randoms())
def test_any_order_of_any_ids_has_pycocotools_value(tmp_path_factory, coco_json_numbers, found, random):
    listed = list(found)
    random.shuffle(listed)
    file = tmp_path_factory.mktemp("coco") / "objects.json"
    file.write_text(json.dumps(ground_truth(listed)))
    read = read_annotations(file, BadData("fail"))
    ids = [picture.id for picture in read.pictures]
    assert ids == list(map(str, sorted(found)))
    targets = [target(picture, read.fields, 0) for picture in read.pictures]
    ours = {name: one.value for name, one in coco_ap(predictions(ids, found), targets).values.items()}
    assert ours == pytest.approx(coco_json_numbers(ground_truth(listed), results(found), "bbox"))


def test_ids_that_are_text_stand_as_text_after_numbers(tmp_path):
    names = ["b", 10, "a10", 9, "a9", "12", -1]
    document = ground_truth([])
    document["images"] = [{"id": id, "file_name": "x.png", "width": 4, "height": 4} for id in names]
    (tmp_path / "objects.json").write_text(json.dumps(document))
    read = read_annotations(tmp_path / "objects.json", BadData("fail"))
    assert [picture.id for picture in read.pictures] == ["-1", "9", "10", "12", "a10", "a9", "b"]
