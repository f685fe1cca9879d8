"""Mask R-CNN through the doors that everybody uses: one output that three tasks score."""

import json
from dataclasses import replace

import pytest
import torch
from coco_files import real
from PIL import Image
from pycocotools import mask as rle
from typer.testing import CliRunner

from roibench import cli
from roibench.assemble import build_model
from roibench.dataset import Dataset
from roibench.datasets.coco import open_coco
from roibench.datasets.lsp import open_lsp
from roibench.datasets.scenes import Scenes
from roibench.measure.checks import check_predictions
from roibench.measure.plan import make_plan
from roibench.measure.score import score
from roibench.metrics.detection import coco_ap
from roibench.metrics.instance_segmentation import coco_mask_ap
from roibench.metrics.keypoints import oks_ap
from roibench.options import Options
from roibench.predict import describe
from roibench.registry import installed
from roibench.structures import Target
from roibench.task import Frame
from roibench.tasks.detection import DetectorContract
from roibench.tasks.instance_segmentation import InstanceSegmenterContract
from roibench.tasks.keypoints import KeypointContract
from roibench.weights import read_header, shipped_weights

JOINTS = KeypointContract.info.joints
INFO = KeypointContract.info


def with_joints(target: Target) -> Target:
    """The head and both hands of what has label 0, in the middle and beside it."""
    centre, side = (target.boxes[:, :2] + target.boxes[:, 2:]) / 2, target.boxes[:, 2:] - target.boxes[:, :2]
    places = [centre + side * torch.tensor(shift) for shift in ((0.0, -0.3), (-0.3, 0.1), (0.3, 0.1))]
    keypoints = torch.cat([torch.stack(places, 1), torch.full((len(side), 3, 1), 2.0)], 2)
    return replace(target, keypoints=torch.where((target.labels == 0)[:, None, None], keypoints, 0))


class MaskRCNNContract(InstanceSegmenterContract, KeypointContract):
    @staticmethod
    def objects(*rows, ignored=False):
        return with_joints(InstanceSegmenterContract.objects(*rows, ignored=ignored))


class TestMaskRCNN(MaskRCNNContract):
    model = "mask_rcnn"


class TestMaskRCNNRoIPool(MaskRCNNContract):
    model = "mask_rcnn_roi_pool"


def test_shipped_weights_tell_the_joints_so_that_a_photograph_needs_no_dataset(tmp_path):
    registry = installed()
    spec = registry.models["mask_rcnn"]
    assert read_header(shipped_weights(spec, "scenes", registry)).joints == Scenes("val").info.joints
    Image.new("RGB", (64, 48)).save(tmp_path / "photograph.png")
    asked = ["predict", "mask_rcnn", str(tmp_path / "photograph.png"), "--out", str(tmp_path / "out")]
    assert CliRunner().invoke(cli.app, asked).exit_code == 0
    assert (tmp_path / "out" / "photograph.png").exists()


def untrained(info=INFO, **overrides):
    torch.manual_seed(0)
    return build_model(installed().models["mask_rcnn"], info, overrides).eval()


@pytest.fixture(scope="module")
def learned():
    """A model that has seen two images many times, with what it learned from them: two persons that overlap and a
    thing, and a person beside a tiny thing.
    """
    torch.manual_seed(0)
    model = build_model(installed().models["mask_rcnn"], INFO).train()
    inputs = DetectorContract.noise((128, 128), (128, 128))
    targets = [
        MaskRCNNContract.objects((8, 12, 60, 90, 0), (40, 20, 100, 100, 0), (90, 90, 124, 120, 2)),
        MaskRCNNContract.objects((20, 30, 90, 110, 0), (100, 10, 112, 22, 1)),
    ]
    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-3)
    for _ in range(120):
        optimizer.zero_grad()
        sum(model.losses(inputs, targets).values()).backward()
        optimizer.step()
    return model.eval(), inputs, targets


def test_what_was_learned_by_heart_is_found_by_all_three_tasks(learned):
    model, inputs, targets = learned
    found = model.predict(inputs)
    for metric in (coco_ap, coco_mask_ap, oks_ap):
        assert metric(found, targets).values["AP50"].value > 0.7, metric


def test_only_what_has_joints_in_training_gets_some(learned):
    model, inputs, _ = learned
    [found, _] = model.predict(inputs)
    assert model.jointed.tolist() == [1, 0, 0]
    shown = (found.keypoints[..., 2] > 0).all(1)
    assert torch.equal(shown, found.labels == 0) and shown.any() and not shown.all()


def test_a_mask_lies_in_its_box(learned):
    model, inputs, _ = learned
    [found, _] = model.predict(inputs)
    for mask, (x1, y1, x2, y2) in zip(found.masks, found.boxes.tolist(), strict=True):
        y, x = mask.nonzero().float().add(0.5).unbind(1)
        assert not len(x) or (x.min() >= x1 - 2 and x.max() <= x2 + 2 and y.min() >= y1 - 2 and y.max() <= y2 + 2)


def test_predictions_are_told_with_their_masks_and_joints(learned):
    model, inputs, _ = learned
    [found, _] = model.predict(inputs)
    told, words = describe(found, list(installed().fields.values()), INFO.classes, 0.5)
    assert len(told["objects"]) == int((found.scores >= 0.5).sum()) and words == f"{len(told['objects'])} objects"
    first = json.loads(json.dumps(told))["objects"][0]
    assert set(first) == {"label", "score", "box", "keypoints", "mask"} and len(first["keypoints"]) == len(JOINTS)
    assert torch.equal(torch.from_numpy(rle.decode(first["mask"])).bool(), found.masks[0])


def test_a_task_that_the_first_images_have_nothing_for_is_left_out(tmp_path):
    """None of them shows a person, but all of them objects."""
    options = Options(models=("mask_rcnn",), datasets=("scenes",), images=1, out=tmp_path)
    plan = make_plan(options, installed())
    [cell] = plan.cells
    assert [task.name for task in cell.tasks] == ["detection", "instance_segmentation"]
    assert any("nothing that counts for keypoints in its first 1 images" in line for line in plan.skipped)


def test_without_joints_in_the_dataset_there_is_no_branch_for_them():
    model = untrained(DetectorContract.info, score_threshold=0.0)
    assert model.joint_branch is None and "joints" not in model.stages
    [found] = model.predict(DetectorContract.noise((64, 64)))
    assert found.keypoints is None and len(found.masks) == len(found.boxes) > 0
    losses = model.train().losses(
        DetectorContract.noise((128, 128)), [InstanceSegmenterContract.objects((5, 5, 60, 60, 1))]
    )
    assert set(losses) == {"rpn_objectness", "rpn_box", "head_class", "head_box", "mask"}


def test_where_nothing_is_found_there_are_no_masks():
    [found] = untrained(score_threshold=1.0).predict(DetectorContract.noise((50, 70)))
    assert found.masks.shape == (0, 50, 70) and found.keypoints.shape == (0, len(JOINTS), 3)


def test_images_without_persons_teach_no_joints():
    model = untrained().train()
    targets = [MaskRCNNContract.objects((10, 10, 60, 60, 1)), MaskRCNNContract.objects((30, 20, 90, 100, 2))]
    losses = model.losses(DetectorContract.noise((128, 128), (128, 128)), targets)
    assert losses["joint"] == 0 and losses["mask"] > 0 and not model.jointed.any()


def scored_after_a_step(train: Dataset, val: Dataset) -> dict[str, dict[str, float]]:
    """By task, the values that a model gets on a few images of one split after a step on one of the other."""
    torch.manual_seed(0)
    spec = installed().models["mask_rcnn"]
    model = build_model(spec, train.info, {"score_threshold": 0.0, "max_detections": 20}).train()
    sample = train[0]
    losses = model.losses([sample.input], [sample.target])
    sum(losses.values()).backward()
    assert all(torch.isfinite(loss) for loss in losses.values())
    samples = [val[i] for i in range(6)]
    inputs, targets = [one.input for one in samples], [one.target for one in samples]
    found = model.eval().predict(inputs)
    frames = [Frame.of(one, val.info) for one in inputs]
    registry = installed()
    tasks = [
        registry.tasks[name]
        for name in spec.tasks
        if {f.name for f in registry.tasks[name].target_fields} <= val.info.fields
    ]
    check_predictions(found, frames, registry.fields, registry.needed_fields([task.name for task in tasks]))
    scores = {task.name: score(task, found, targets, frames, registry) for task in tasks}
    return {name: {key: one.value for key, one in scored.values.items()} for name, scored in scores.items()}


def test_cocos_photographs_are_learned_and_scored_by_all_three_tasks():
    folder = real("coco_free", "coco_mini")
    with pytest.warns(UserWarning, match="left out"):  # most of the photographs that the files list aren't there
        train, val = (open_coco(str(folder), split, on_bad_data="skip") for split in ("train", "val"))
    found = scored_after_a_step(train, val)
    assert set(found) == {"detection", "instance_segmentation", "keypoints"}
    assert 0 <= found["instance_segmentation"]["coco_mask_ap/AP"] < 0.5


def test_photographs_of_athletes_which_have_no_masks_are_learned_and_scored():
    folder = real("lsp_extended")
    with pytest.warns(UserWarning, match="left out"):  # a joint beside its image
        train = open_lsp(str(folder), "train", on_bad_data="skip")
    found = scored_after_a_step(train, open_lsp(str(folder), "val"))
    assert set(found) == {"detection", "keypoints"}
    assert 0 <= found["keypoints"]["oks_ap/PCK"] < 0.9
