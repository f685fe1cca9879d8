"""Copies in COCO's format, read back by pycocotools and by the coco: adapter: the same ground truth and scores."""

import contextlib
import io
import json
import os
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from few_samples import CAT, NOTHING, Few
from pycocotools import mask as rle
from pycocotools.coco import COCO
from pycocotools.cocoeval import COCOeval

from roibench.datasets import convert as module
from roibench.datasets.coco import open_coco
from roibench.datasets.convert import coco as coco_module
from roibench.datasets.convert import convert
from roibench.datasets.convert.coco import limbs
from roibench.datasets.scenes import Scenes, open_scenes
from roibench.datasets.scenes.shapes import CLASSES, JOINTS, PERSON
from roibench.datasets.voc import open_voc
from roibench.metrics.detection import coco_ap
from roibench.metrics.instance_segmentation import coco_mask_ap
from roibench.metrics.keypoints import OTHER_SIGMA, oks_ap
from roibench.structures import Prediction, Target

IMAGES = 60
NAMES = ("AP", "AP50", "AP75", "APsmall", "APmedium", "APlarge")
NAMES += ("AR1", "AR10", "AR100", "ARsmall", "ARmedium", "ARlarge")
KEYPOINT_NAMES = ("AP", "AP50", "AP75", "APmedium", "APlarge", "AR", "AR50", "AR75", "ARmedium", "ARlarge")


@pytest.fixture(scope="module")
def exported(tmp_path_factory, session_cache) -> Path:
    folder = tmp_path_factory.mktemp("exported")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("ROIBENCH_CACHE", str(session_cache))
        convert(open_scenes(None, "val"), "coco", folder, images=IMAGES)
    return folder


def library(folder: Path, kind: str) -> COCO:
    with contextlib.redirect_stdout(io.StringIO()):
        return COCO(folder / "annotations" / f"{kind}_val.json")


def test_the_coco_adapter_reads_the_same(exported, val):
    data = open_coco(str(exported), "val")
    assert (len(data), data.problems) == (IMAGES, ())
    assert (data.info.classes, data.info.joints, data.info.image_size) == (CLASSES, JOINTS, (128, 128))
    assert data.info.fields == {"boxes", "labels", "crowd", "areas", "masks", "keypoints", "captions"}
    for ours, back in zip(val, data, strict=False):
        assert torch.equal(ours.input.image, back.input.image)
        for name in ("boxes", "labels", "areas", "masks", "keypoints"):
            one, other = getattr(ours.target, name), getattr(back.target, name)
            assert one.dtype == other.dtype and torch.equal(one, other), name
        assert ours.target.captions == back.target.captions
        assert not back.target.crowd.any()


def test_pycocotools_reads_the_same(exported, val):
    instances, persons = library(exported, "instances"), library(exported, "person_keypoints")
    captions = library(exported, "captions")
    assert [kind["name"] for kind in instances.loadCats(instances.getCatIds())] == list(CLASSES)
    (person,) = persons.loadCats(persons.getCatIds())
    assert (person["id"], person["name"], tuple(person["keypoints"])) == (PERSON + 1, "person", JOINTS)
    for number in sorted(instances.getImgIds()):
        target = val[number - 1].target
        annotations = instances.loadAnns(instances.getAnnIds(number))
        assert [one["category_id"] - 1 for one in annotations] == target.labels.tolist()
        for k, one in enumerate(annotations):
            mask = instances.annToMask(one)
            assert np.array_equal(mask.astype(bool), target.masks[k].numpy())
            assert one["area"] == mask.sum()
            assert one["bbox"] == rle.toBbox(one["segmentation"]).tolist()
        found = persons.loadAnns(persons.getAnnIds(number))
        assert [pose["id"] for pose in found] == [one["id"] for one in annotations if one["category_id"] == PERSON + 1]
        for pose, joints in zip(found, target.keypoints[target.labels == PERSON], strict=True):
            assert pose["keypoints"] == joints.flatten().tolist()
            assert pose["num_keypoints"] == (joints[:, 2] > 0).sum()
        (caption,) = captions.loadAnns(captions.getAnnIds(number))
        assert caption["caption"] == "; ".join(target.captions)
    assert min(instances.getAnnIds()) == 1, "COCOeval takes an id of 0 for no match"
    assert instances.loadImgs(1)[0]["source"] == "scenes-val-000000"


def jittered(target: Target, generator: np.random.Generator) -> Prediction:
    """Detections that stray from the ground truth in quarters of a pixel, and a few that are wrong."""
    n = len(target.labels)
    noise = np.round(generator.normal(0, generator.choice([0.5, 2, 6], (n, 1)), (n, 4)) * 4) / 4
    boxes = target.boxes + torch.tensor(noise, dtype=torch.float32)
    boxes = torch.cat([torch.minimum(boxes[:, :2], boxes[:, 2:] - 1), boxes[:, 2:]], dim=1)
    flipped = generator.random(target.masks.shape) < generator.choice([0, 0.005, 0.02], (n, 1, 1))
    labels = torch.where(torch.tensor(generator.random(n) < 0.9), target.labels, 3)
    return Prediction(
        boxes=boxes,
        labels=labels,
        scores=torch.tensor(generator.permutation(1 << 12)[:n] / (1 << 12), dtype=torch.float32),
        masks=target.masks ^ torch.tensor(flipped),
    )


def posed(target: Target, generator: np.random.Generator) -> Prediction:
    persons = target.keypoints[target.labels == PERSON]
    noise = np.round(generator.normal(0, generator.choice([0.25, 0.5, 2], (len(persons), 1, 1)), persons.shape) * 4) / 4
    stray = torch.tensor(generator.integers(0, 128, (1, 14, 3)), dtype=torch.float32)
    keypoints = torch.cat([persons + torch.tensor(noise, dtype=torch.float32), stray])
    keypoints[..., 2] = 1
    scores = torch.tensor(generator.permutation(1 << 12)[: len(keypoints)] / (1 << 12), dtype=torch.float32)
    return Prediction(keypoints=keypoints, scores=scores)


def evaluated(ground_truth: COCO, results: list[dict], kind: str) -> dict[str, float]:
    with contextlib.redirect_stdout(io.StringIO()):
        evaluation = COCOeval(ground_truth, ground_truth.loadRes(results), kind)
        if kind == "keypoints":
            evaluation.params.kpt_oks_sigmas = np.full(len(JOINTS), OTHER_SIGMA)
        evaluation.evaluate()
        evaluation.accumulate()
        evaluation.summarize()
    names = KEYPOINT_NAMES if kind == "keypoints" else NAMES
    return {name: number for name, number in zip(names, evaluation.stats, strict=True) if number >= 0}


def values(result) -> dict[str, float]:
    return {name: estimate.value for name, estimate in result.values.items() if name != "PCK"}


def encoded(mask: torch.Tensor) -> dict:
    return rle.encode(np.asfortranarray(mask.numpy(), np.uint8))


@pytest.mark.parametrize("kind", ["bbox", "segm", "keypoints"])
def test_scores_are_the_same_by_pycocotools_and_by_either_dataset(exported, val, kind):
    generator = np.random.default_rng(1)
    ours = [sample.target for sample in val[:IMAGES]]
    back = [sample.target for sample in open_coco(str(exported), "val")]
    predictions = [(posed if kind == "keypoints" else jittered)(target, generator) for target in ours]
    metric = {"bbox": coco_ap, "segm": coco_mask_ap, "keypoints": oks_ap}[kind]
    results = []
    for number, prediction in enumerate(predictions, start=1):
        for k, score in enumerate(prediction.scores.tolist()):
            entry = {"image_id": number, "score": score}
            if kind == "keypoints":
                results.append(entry | {"category_id": 12, "keypoints": prediction.keypoints[k].flatten().tolist()})
                continue
            entry["category_id"] = int(prediction.labels[k]) + 1
            x1, y1, x2, y2 = prediction.boxes[k].tolist()
            place = {"bbox": [x1, y1, x2 - x1, y2 - y1]} if kind == "bbox" else {}
            results.append(entry | (place or {"segmentation": encoded(prediction.masks[k])}))
    scores = values(metric(predictions, ours))
    assert scores == values(metric(predictions, back))
    ground_truth = library(exported, "person_keypoints" if kind == "keypoints" else "instances")
    assert scores == pytest.approx(evaluated(ground_truth, results, kind), abs=1e-6)
    assert 0.1 < scores["AP"] < 0.9


def test_boxes_and_labels_suffice(tmp_path):
    file = convert(Few(CAT, NOTHING), "coco", tmp_path).file
    assert sorted(path.name for path in file.parent.iterdir()) == ["instances_val.json"]
    (annotation,) = json.loads(file.read_text())["annotations"]
    ids, box = {"id": 1, "image_id": 1, "category_id": 1}, {"bbox": [0.25, 1, 8.25, 5], "area": 41.25}
    assert annotation == ids | box | {"iscrowd": 0}
    one, none = (sample.target for sample in open_coco(str(tmp_path), "val"))
    assert torch.equal(one.boxes, CAT.boxes)
    assert none.boxes.shape == (0, 4)


def test_crowds_and_difficult_objects_are_marked(tmp_path):
    flags = torch.tensor([True])
    report = convert(Few(replace(CAT, crowd=flags, ignored=flags)), "coco", tmp_path)
    assert report.notes == ("1 ignored objects count: COCO knows crowds alone",)
    (annotation,) = json.loads(report.file.read_text())["annotations"]
    assert (annotation["iscrowd"], annotation["ignore"]) == (1, 1)
    assert open_coco(str(tmp_path), "val")[0].target.crowd.tolist() == [True]


@pytest.mark.parametrize(("shown", "names"), [(True, ["cat"]), (False, ["person"])])
def test_the_classes_with_joints_are_those_that_show_some_else_person(tmp_path, shown, names):
    keypoints = torch.tensor([[[3.0, 4, 2], [0, 0, 0]]]) * shown
    data = Few(replace(CAT, keypoints=keypoints), joints=("nose", "tail"))
    convert(data, "coco", tmp_path)
    written = json.loads((tmp_path / "annotations" / "person_keypoints_val.json").read_text())
    assert [kind["name"] for kind in written["categories"]] == names
    back = open_coco(str(tmp_path), "val")
    assert back.info.joints == ("nose", "tail")
    assert torch.equal(back[0].target.keypoints, keypoints)


def test_an_interrupted_conversion_is_whole_so_far_and_can_be_run_again(tmp_path, monkeypatch):
    data, write, left = Scenes("val", 64), module.write_atomically, 0

    def interrupted(path: Path, content: bytes) -> Path:
        nonlocal left
        if left == 0:
            raise KeyboardInterrupt
        left -= 1
        return write(path, content)

    def content(folder: Path) -> dict[str, bytes]:
        return {str(file.relative_to(folder)): file.read_bytes() for file in folder.rglob("*") if file.is_file()}

    convert(data, "coco", tmp_path / "whole", images=3)
    whole = content(tmp_path / "whole")
    assert len(whole) == 6
    for part in (module, coco_module):
        monkeypatch.setattr(part, "write_atomically", interrupted)
    for writes in range(6):
        left = writes
        with pytest.raises(KeyboardInterrupt):
            convert(data, "coco", tmp_path / "again", images=3)
        parts = content(tmp_path / "again")
        assert len(parts) == writes and parts.items() <= whole.items()
    left = 6
    convert(data, "coco", tmp_path / "again", images=3)
    assert content(tmp_path / "again") == whole
    with pytest.raises(FileExistsError, match=r"instances_val.json is there already, with val: name another folder"):
        convert(data, "coco", tmp_path / "again", images=3)


def test_an_epoch_is_written_of_what_is_unbounded_unless_more_is_wanted(tmp_path, monkeypatch):
    monkeypatch.setattr(Scenes, "__len__", lambda self: 2)
    for split, images, count in (("train", None, 2), ("train", 3, 3), ("val", 3, 2)):
        seen = []
        folder = tmp_path / f"{split}-{images}"
        convert(Scenes(split, 64), "coco", folder, images, lambda done, of: seen.append((done, of)))  # noqa: B023
        assert seen == [(k, count) for k in range(1, count + 1)]
        assert len(list((folder / split).iterdir())) == count


def test_what_cannot_be_written_is_refused_before_anything_is_written(tmp_path):
    bare = Few(Target(image_label=1))
    with pytest.raises(ValueError, match="few can't be written as coco: it has no boxes and no labels"):
        convert(bare, "coco", tmp_path / "out")
    with pytest.raises(ValueError, match="no format matches 'cocoa'; did you mean 'coco'"):
        convert(Few(CAT), "cocoa", tmp_path / "out")
    with pytest.raises(ValueError, match="images: want 1 or more, got 0"):
        convert(Few(CAT), "coco", tmp_path / "out", images=0)
    assert not (tmp_path / "out").exists()


COCO_JOINTS = (
    *("nose", "left_eye", "right_eye", "left_ear", "right_ear", "left_shoulder", "right_shoulder", "left_elbow"),
    *("right_elbow", "left_wrist", "right_wrist", "left_hip", "right_hip", "left_knee", "right_knee"),
    *("left_ankle", "right_ankle"),
)
COCO_SKELETON = (
    *((16, 14), (14, 12), (17, 15), (15, 13), (12, 13), (6, 12), (7, 13), (6, 7), (6, 8), (7, 9), (8, 10), (9, 11)),
    *((2, 3), (1, 2), (1, 3), (2, 4), (3, 5), (4, 6), (5, 7)),
)


def test_limbs_join_coco_s_joints_as_coco_does_and_lsp_s_into_one_body():
    assert {frozenset(limb) for limb in limbs(COCO_JOINTS)} == {frozenset(limb) for limb in COCO_SKELETON}
    reached = {1}
    for _ in JOINTS:
        reached |= {k for limb in limbs(JOINTS) if reached & set(limb) for k in limb}
    assert reached == set(range(1, 15))
    assert limbs(("tail", "horn")) == []


def test_real_photographs_of_voc_become_coco(tmp_path):
    root = os.environ.get("ROIBENCH_DATA")
    if not root or not (path := Path(root, "bccd", "BCCD")).is_dir():
        pytest.skip("ROIBENCH_DATA names no folder with bccd in it")
    data = open_voc(str(path), "test")
    convert(data, "coco", tmp_path, images=6)
    back = open_coco(str(tmp_path), "test")
    assert back.info.classes == data.info.classes
    for index in range(6):
        ours, theirs = data[index], back[index]
        assert torch.equal(ours.input.image, theirs.input.image)
        for name in ("boxes", "labels", "areas"):
            assert torch.equal(getattr(ours.target, name), getattr(theirs.target, name))
