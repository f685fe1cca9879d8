"""Estimators of a single pose through the doors that everybody uses; who is meant, and how joints are found."""

from dataclasses import replace

import pytest
import torch
from PIL import Image

from roibench.assemble import build_model
from roibench.dataset import DatasetInfo
from roibench.datasets.scenes.shapes import JOINTS
from roibench.metrics.keypoints import oks_ap
from roibench.plugins.localization.persons import person_of, with_persons
from roibench.plugins.localization.pose_heatmaps import find_peaks, gaussians
from roibench.plugins.localization.single_pose import Joints, true_joints
from roibench.predict import predict_files
from roibench.registry import installed
from roibench.structures import Input, Sample, Target
from roibench.tasks.keypoints import KeypointContract
from roibench.weights import WeightsHeader, save_weights

POSES = ("pose", "pose_l1", "pose_heatmaps")
INFO = DatasetInfo("icons", "val", ("circle", "person"), JOINTS, image_size=(128, 128))
NOBODY = Target(boxes=torch.zeros(0, 4), keypoints=torch.zeros(0, 14, 3))


def poses(*boxes):
    """An object per box, all of its joints somewhere in it and visible."""
    boxes = torch.tensor(boxes)
    share = torch.rand(len(boxes), 14, 2, generator=torch.Generator().manual_seed(0))
    places = boxes[:, None, :2] + share * (boxes[:, None, 2:] - boxes[:, None, :2])
    return Target(boxes=boxes, keypoints=torch.cat([places, torch.full((len(boxes), 14, 1), 2.0)], 2))


class PoseContract(KeypointContract):
    info = replace(KeypointContract.info, joints=JOINTS)

    def targets(self):
        return [poses((10.0, 20.0, 70.0, 120.0)), poses((60.0, 5.0, 120.0, 125.0))]

    def empty_targets(self):
        thing = Target(boxes=torch.tensor([[3.0, 4.0, 40.0, 50.0]]), keypoints=torch.zeros(1, 14, 3))
        return [NOBODY, thing]


class TestPose(PoseContract):
    model = "pose"


class TestPoseL1(PoseContract):
    model = "pose_l1"


class TestPoseHeatmaps(PoseContract):
    model = "pose_heatmaps"


def untrained(name, **overrides):
    torch.manual_seed(0)
    return build_model(installed().models[name], INFO, overrides).eval()


def test_the_largest_person_is_meant_that_counts_and_has_joints():
    target = poses((0.0, 0.0, 20.0, 20.0), (0.0, 0.0, 60.0, 60.0), (0.0, 0.0, 90.0, 90.0), (0.0, 0.0, 100.0, 100.0))
    target.keypoints[3, :, 2] = 0  # a thing
    target = replace(target, crowd=torch.tensor([False, False, True, False]))
    assert torch.equal(person_of(target), target.keypoints[1])
    target = replace(target, ignored=torch.tensor([False, True, False, False]))
    assert torch.equal(person_of(target), target.keypoints[0])
    assert person_of(NOBODY).shape == (14, 3) and not person_of(NOBODY).any()


class Crowds:
    """Images of which every fifth has a person."""

    info, hash, unbounded = INFO, "crowds", True

    def __init__(self, length):
        self.length, self.decoded = length, 0

    def __len__(self):
        return self.length

    def __getitem__(self, index):
        self.decoded += 1
        return Sample(Input(str(index), None), poses((0.0, 0.0, 9.0, 9.0)) if index % 5 == 4 else NOBODY)


def test_all_images_with_persons_are_learned_from_and_as_many_without(tmp_path, monkeypatch):
    monkeypatch.setenv("ROIBENCH_CACHE", str(tmp_path))
    data = Crowds(10)
    found = with_persons(data, 20)
    assert sorted(found.indices) == [0, 1, 2, 3, 4, 9, 14, 19]
    assert len(found) == 8 and found[0].input.id == "4" and found.info == INFO and not found.unbounded
    assert data.decoded == 20 + 1
    assert with_persons(data, 20) == found and data.decoded == 21, "which they are is kept"
    fewer = with_persons(data, 15)
    assert sorted(fewer.indices) == [0, 1, 2, 4, 9, 14] and fewer.hash != found.hash
    data.unbounded, data.hash = False, "bounded"
    assert sorted(with_persons(data, 20).indices) == [0, 1, 4, 9]


def test_joints_are_in_units_of_the_square_and_at_0_where_they_are_not_there():
    target = poses((64.0, 16.0, 128.0, 64.0))
    target.keypoints[0, 0] = torch.tensor([64.0, 16.0, 1.0])
    target.keypoints[0, 1] = torch.tensor([70.0, 20.0, 0.0])
    batch = untrained("pose").batch(KeypointContract.noise((64, 256), (128, 128)))
    places, there = true_joints(batch, [target, NOBODY])
    assert places[0, 0].tolist() == [0.25, 0.0625] and places[0, 1].tolist() == [0, 0] and not places[1].any()
    assert there[0].tolist() == [True, False] + [True] * 12 and not there[1].any()


@pytest.mark.parametrize(("loss", "expected"), [("l2", 100 * (0.01 + 0.09)), ("l1", 100 * (0.1 + 0.3))])
def test_regression_is_by_the_loss_that_was_asked_for_over_joints_that_are_there(loss, expected):
    model = untrained("pose", joint_loss=loss, joint_weight=100.0)
    places = torch.full((1, 14, 2), 0.5)
    there = torch.arange(14)[None] < 4
    true = Joints((places + torch.tensor([0.1, -0.3])) * there[..., None], there)
    losses = model.errors(torch.zeros(1, 42), true)
    assert losses["joints"].item() == pytest.approx(expected, rel=1e-5)
    assert losses["presence"].item() == pytest.approx(torch.tensor(2.0).log().item())


def test_a_loss_that_is_none_is_refused():
    with pytest.raises(ValueError, match="joint_loss 'giou': want l2 or l1"):
        untrained("pose", joint_loss="giou")


def test_a_dataset_without_joints_is_refused():
    info = replace(INFO, joints=())
    for name in POSES:
        with pytest.raises(ValueError, match="dataset 'icons' has no joints: want one that names them"):
            build_model(installed().models[name], info)


def test_peaks_move_a_quarter_towards_the_higher_neighbour_but_not_at_the_border():
    maps = torch.zeros(1, 3, 4, 8)
    maps[0, 0, 2, 5], maps[0, 0, 2, 6], maps[0, 0, 1, 5] = 0.9, 0.5, 0.2  # right and up
    maps[0, 1, 0, 7], maps[0, 1, 0, 6], maps[0, 1, 1, 7] = 1.5, 0.5, 0.5  # in a corner
    maps[0, 2] = -0.1
    maps[0, 2, 3, 3] = -0.05
    places, scores = find_peaks(maps)
    assert places[0].mul(torch.tensor([8.0, 4.0])).tolist() == [[5.75, 2.25], [7.5, 0.5], [3.5, 3.5]]
    assert scores[0].tolist() == [pytest.approx(0.9), 1, 0]


def test_a_gaussian_is_1_at_its_joint_and_found_again_within_a_quarter():
    places = torch.rand(4, 14, 2, generator=torch.Generator().manual_seed(0))
    there = torch.rand(4, 14, generator=torch.Generator().manual_seed(1)) < 0.8
    maps = gaussians(Joints(places, there), 32, 1.5)
    assert not maps[~there].any()
    column, row = (places[0, 0] * 32).tolist()
    by_hand = torch.tensor([(x + 0.5 - column) ** 2 + (y + 0.5 - row) ** 2 for y in range(32) for x in range(32)])
    assert there[0, 0] and torch.allclose(maps[0, 0].flatten(), torch.exp(-by_hand / (2 * 1.5**2)), atol=1e-5)
    inside = there & ((places > 1 / 32) & (places < 31 / 32)).all(-1)
    assert ((find_peaks(maps).places - places)[inside].abs() * 32 <= 0.26).all()


def test_a_heat_map_of_an_absent_joint_is_learned_to_be_0():
    model = untrained("pose_heatmaps")
    nobody = Joints(torch.zeros(2, 14, 2), torch.zeros(2, 14, dtype=torch.bool))
    assert model.errors(torch.full((2, 14, 32, 32), 0.5), nobody)["heat"].item() == pytest.approx(0.25 * 32**2)


@pytest.mark.parametrize("name", POSES)
def test_images_of_one_colour_or_of_one_pixel_have_joints_in_them(name):
    flat = [torch.full((3, *size), 128, dtype=torch.uint8) for size in ((128, 128), (1, 1), (2, 300))]
    for image, found in zip(flat, untrained(name).predict([Input(str(i), x) for i, x in enumerate(flat)]), strict=True):
        assert found.keypoints.shape == (1, 14, 3) and found.scores.shape == (1,)
        places, limit = found.keypoints[0, :, :2], torch.tensor([*image.shape[:0:-1]])
        assert (places >= 0).all() and (places <= limit).all()
        assert found.scores[0] == pytest.approx(found.keypoints[0, :, 2].mean().item())


@pytest.mark.parametrize("name", POSES)
def test_poses_learned_by_heart_are_found_and_nobody_is_not(name):
    """An estimator that can't is broken between targets, losses and joints; the images aren't square on purpose."""
    model = untrained(name).train()
    inputs = KeypointContract.noise((96, 128), (128, 60), (40, 40))
    targets = [poses((20.0, 5.0, 90.0, 90.0)), poses((5.0, 10.0, 55.0, 120.0)), NOBODY]
    optimizer = torch.optim.AdamW(model.parameters(), lr=2e-3)
    for _ in range(60):
        optimizer.zero_grad()
        sum(model.losses(inputs, targets).values()).backward()
        optimizer.step()
    found = model.eval().predict(inputs)
    assert oks_ap(found, targets).values["PCK"].value > 0.9
    assert min(one.scores[0] for one in found[:2]) > 2 * found[2].scores[0]


def test_weights_know_the_joints_that_predict_draws(tmp_path):
    registry, model = installed(), untrained("pose")
    header = WeightsHeader(
        model="pose", dataset="icons", data_hash="x", classes=INFO.classes, joints=JOINTS, config={}, recipe={}, seed=0,
        precision="float32", threads=1, roibench="0", torch="2",
    )  # fmt: skip
    save_weights(tmp_path / "pose.safetensors", model.state_dict(), header)
    Image.new("RGB", (60, 40)).save(tmp_path / "grey.png")
    files, out = [tmp_path / "grey.png"], tmp_path / "out"
    [(_, drawing, _)] = predict_files("pose", files, out, "icons", tmp_path / "pose.safetensors", 0.3, "cpu", registry)
    assert drawing.is_file()
