"""The adapter for Leeds Sports Pose Extended, on small folders made here and on the real photographs."""

import os
import pickle
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from scipy.io import savemat

from roibench.datasets.bad_data import BadDataError
from roibench.datasets.lsp import open_lsp
from roibench.datasets.scenes.shapes import JOINTS
from roibench.metrics.keypoints import oks_ap
from roibench.registry import installed
from roibench.structures import Prediction


def poses(count: int) -> np.ndarray:
    """[14, 3, count]: all joints marked, within an image of 40x30."""
    places = np.random.default_rng(0).uniform(1, 29, (14, 2, count))
    return np.concatenate([places, np.ones((14, 1, count))], axis=1)


def write(folder: Path, joints: np.ndarray, name="joints.mat", key="joints") -> Path:
    savemat(folder / name, {key: joints})
    return folder / name


@pytest.fixture
def folder(tmp_path):
    """Twelve images of 40x30."""
    (tmp_path / "images").mkdir()
    for index in range(1, 13):
        Image.new("RGB", (40, 30), (index, 0, 0)).save(tmp_path / "images" / f"im{index:05d}.jpg")
    write(tmp_path, poses(12))
    return tmp_path


def test_a_folder_is_read(folder):
    joints = poses(12)
    joints[3, :, 0] = (0, -26, 0)
    write(folder, joints)
    data = open_lsp(str(folder), "all")
    assert (data.info.classes, data.info.joints, data.info.image_size) == (("person",), JOINTS, (30, 40))
    assert (len(data), data.unbounded, data.problems) == (12, False, ())
    sample = data[0]
    assert (sample.input.id, sample.input.image.shape) == ("im00001", (3, 30, 40))
    keypoints, marked = sample.target.keypoints, joints[:, 2, 0] == 1
    assert (keypoints.dtype, keypoints.shape) == (torch.float32, (1, 14, 3))
    assert keypoints[0, 3].tolist() == [0, 0, 0]
    assert torch.equal(keypoints[0, marked, :2], torch.tensor(joints[marked, :2, 0], dtype=torch.float32))
    assert (keypoints[0, marked, 2] == 2).all()
    corners = keypoints[0, marked, :2]
    assert torch.equal(sample.target.boxes, torch.cat([corners.amin(0), corners.amax(0)])[None])
    assert sample.target.labels.tolist() == [0]


def test_the_last_tenth_is_val(folder):
    ids = {split: [sample.input.id for sample in open_lsp(str(folder), split)] for split in ("all", "train", "val")}
    assert ids["val"] == ["im00011", "im00012"]
    assert ids["train"] + ids["val"] == ids["all"]
    with pytest.raises(ValueError, match="has no split 'test'; LSP Extended opens as all, train, val"):
        open_lsp(str(folder), "test")


def test_the_fields_are_those_that_the_spec_declares(folder):
    data = open_lsp(str(folder), "val")
    assert data.info.fields == set(installed().datasets["lsp"].fields)
    assert set(data[0].target.known) == data.info.fields


def test_the_hash_covers_joints_and_pixels(folder):
    data = open_lsp(str(folder), "all")
    back = pickle.loads(pickle.dumps(data))
    assert back == data and back.hash == data.hash
    joints = poses(12)
    joints[0, 0, 0] += 0.25
    write(folder, joints)
    other = open_lsp(str(folder), "all").hash
    Image.new("RGB", (40, 30), (0, 200, 0)).save(folder / "images" / "im00001.jpg")
    assert len({data.hash, other, open_lsp(str(folder), "all").hash}) == 3


@pytest.mark.parametrize(
    ("row", "message"),
    [
        ((np.nan, 5, 1), r"right hip at \(nan, 5.0\) is outside of the image of 40x30"),
        ((np.inf, 5, 1), r"right hip at \(inf, 5.0\) is outside of the image of 40x30"),
        ((5, -1.5, 1), r"right hip at \(5.0, -1.5\) is outside of the image of 40x30"),
        ((41.5, 5, 1), r"right hip at \(41.5, 5.0\) is outside of the image of 40x30"),
        ((5, 5, 2), "right hip has the flag 2.0, want 0 or 1"),
        ((5, 5, np.nan), "right hip has the flag nan, want 0 or 1"),
    ],
)
def test_a_bad_joint_is_reported_and_left_out_alone(folder, row, message):
    joints = poses(12)
    joints[2, :, 4] = row
    file = write(folder, joints)
    message = f"{file}: im00005: {message}"
    with pytest.raises(BadDataError, match=rf"1 problem in the data .*\n  {message}"):
        open_lsp(str(folder), "all")
    with pytest.warns(UserWarning, match=message):
        data = open_lsp(str(folder), "all", "skip")
    assert data[4].target.keypoints[0, :, 2].tolist() == [2, 2, 0, *[2] * 11]


def test_bad_images_and_persons_without_a_box_are_reported_and_left_out(folder):
    joints = poses(12)
    joints[:, 2, 0] = 0
    joints[1:, 2, 1] = 0
    joints[:, :2, 2] = 7
    write(folder, joints)
    (folder / "images" / "im00004.jpg").unlink()
    (folder / "images" / "im00005.jpg").write_text("no image")
    with pytest.raises(BadDataError) as caught:
        open_lsp(str(folder), "all")
    problems = [problem.what for problem in caught.value.problems]
    assert problems == [
        "missing",
        "can't be read: cannot identify image file",
        "im00001: 0 usable joints, which span no box",
        "im00002: 1 usable joints, which span no box",
        "im00003: 14 usable joints, which span no box",
    ]
    with pytest.warns(UserWarning, match="im00004.jpg: missing"):
        assert len(open_lsp(str(folder), "all", "skip")) == 7


@pytest.mark.parametrize("on_bad_data", ["fail", "skip"])
@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "can't be read"),
        (b"no matrix" * 100, "can't be read"),
        ({"poses": poses(12)}, "holds no array of numbers called joints"),
        ({"joints": "fourteen"}, "holds no array of numbers called joints"),
        ({"joints": poses(12).transpose(1, 0, 2)}, r"joints are 3x14x12, want 14x3xN \(the first LSP has 3x14xN\)"),
        ({"joints": poses(12)[:, :, 0]}, "joints are 14x3, want 14x3xN"),
    ],
)
def test_a_broken_joints_file_is_named(folder, content, message, on_bad_data):
    file = folder / "joints.mat"
    if isinstance(content, dict):
        savemat(file, content)
    else:
        file.write_bytes(content)
    with pytest.raises(BadDataError, match=f"{file}: {message}"):
        open_lsp(str(folder), "all", on_bad_data)


def test_a_torn_joints_file_is_named(folder):
    file = folder / "joints.mat"
    whole = file.read_bytes()
    for length in range(0, len(whole), 97):
        file.write_bytes(whole[:length])
        with pytest.raises(BadDataError, match=f"{file}: "):
            open_lsp(str(folder), "all")


def test_the_joints_file_may_have_a_suffix_if_it_is_the_only_one(folder):
    (folder / "joints.mat").rename(folder / "joints_12.mat")
    assert len(open_lsp(str(folder), "all")) == 12
    write(folder, poses(12), "joints_all.mat")
    with pytest.raises(ValueError, match=r"want joints.mat or one joints.*, found joints_12.mat, joints_all.mat"):
        open_lsp(str(folder), "all")
    write(folder, poses(10))
    assert len(open_lsp(str(folder), "all")) == 10
    with pytest.raises(ValueError, match=r"is no folder of LSP Extended: want joints.mat .* found no joints"):
        open_lsp(str(folder / "images"), "all")


@pytest.fixture(scope="module")
def real():
    root = os.environ.get("ROIBENCH_DATA")
    if not root or not (path := Path(root, "lsp_extended")).is_dir():
        pytest.skip("ROIBENCH_DATA names no folder with lsp_extended in it")
    with pytest.warns(UserWarning, match=r"im00024: head top at \(245.2, -1.2\) is outside of the image of 280x187"):
        return open_lsp(str(path), "all", "skip")


def test_the_published_photographs_open(real):
    assert (len(real), len(real.problems)) == (400, 1)
    whole = sum(all(joint[2] for joint in picture.joints) for picture in real.pictures)
    assert whole == 140, "of 141; the one joint outside of its image is left out"
    sample = real[0]
    assert sample.target.keypoints[0, 1].tolist() == pytest.approx([26.031, 86.410, 2], abs=1e-3)
    assert sample.target.keypoints[0, 0].tolist() == [0, 0, 0]


def test_the_keypoints_metric_runs_on_them(real):
    """Joints that stray by a fixed share of the box are right or wrong together; the published ones are right."""
    targets = [real.target(picture) for picture in real.pictures]

    def score(share: float) -> dict[str, float]:
        predictions = []
        for target in targets:
            reach = share * (target.boxes[:, 2:] - target.boxes[:, :2]).amax()
            keypoints = target.keypoints + torch.tensor([reach, 0, 0])
            predictions.append(Prediction(keypoints=keypoints, scores=torch.ones(1), boxes=target.boxes))
        return {name: estimate.value for name, estimate in oks_ap(predictions, targets).values.items()}

    perfect, near, far = score(0), score(0.19), score(0.21)
    assert perfect["AP"] == perfect["PCK"] == pytest.approx(1)
    assert near["PCK"] == pytest.approx(1) and far["PCK"] == 0
    assert far["AP"] < score(0.08)["AP"] < score(0.05)["AP"] < 1
