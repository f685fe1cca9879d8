"""Leeds Sports Pose Extended (Johnson and Everingham, CVPR 2011): `lsp:PATH@SPLIT`, one person per image.

PATH/joints.mat (or the only joints*.mat) holds `joints` [14, 3, N]: x, y and a flag for each joint of image k, which is
PATH/images/im0000k.jpg, counted from 1. Flag 1 is a joint that can be seen: Target's visibility 2, with x and y as
published. Flag 0 is one that was not marked, its x and y mean nothing: visibility 0. Boxes are the tight ones around
the marked joints, so less than the person; how many pixels the person has isn't known.

LSP Extended was published as one training set, without splits. `all` is everything; `val` is the last tenth of the
images and `train` the rest, which is this adapter's division and nobody else's.
"""

from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
from scipy.io import loadmat

from roibench.dataset import DatasetInfo
from roibench.datasets.bad_data import BORDER, BadData, BadDataError, Box, Problem, fit_box
from roibench.datasets.checked_images import CheckedImage, check_images
from roibench.datasets.image_files import ImageFiles
from roibench.datasets.images import shared_size
from roibench.datasets.scenes.shapes import JOINTS
from roibench.structures import Target

FIELDS = frozenset({"boxes", "labels", "keypoints"})
SPLITS = ("all", "train", "val")


class Picture(NamedTuple):
    """An image of one person.

    id: its file's name without ending.
    image: the file.
    joints: x, y, visibility of each.
    box: xyxy.
    """

    id: str
    image: CheckedImage
    joints: tuple[tuple[float, float, int], ...]
    box: Box


class Lsp(ImageFiles[Picture]):
    """A split of an LSP Extended folder."""

    def target(self, picture: Picture) -> Target:
        return Target(
            boxes=torch.tensor([picture.box], dtype=torch.float32),
            labels=torch.zeros(1, dtype=torch.int64),
            keypoints=torch.tensor([picture.joints], dtype=torch.float32),
        )

    def facts(self, picture: Picture) -> tuple:
        return picture.id, picture.joints, picture.box


def open_lsp(path: str, split: str, on_bad_data: str = "fail") -> Lsp:
    """Opens a split: all, train or val. Joints are read, and every image is decoded once.

    on_bad_data: "fail" raises BadDataError, which lists all that is wrong; "skip" or "clip" leaves out a joint that is
    NaN or outside of its image, or an image that can't be read or has too few joints for a box, and warns; a joints
    file that can't be read always fails.
    """
    root, bad = Path(path), BadData(on_bad_data)
    if split not in SPLITS:
        raise ValueError(f"{root} has no split {split!r}; LSP Extended opens as {', '.join(SPLITS)}")
    file = _find(root)
    joints = _read_joints(file)
    count = joints.shape[2]
    border = count - -(-count // 10)
    chosen = {"all": range(count), "train": range(border), "val": range(border, count)}[split]
    places = {index: root / "images" / f"im{index + 1:05d}.jpg" for index in chosen}
    images = check_images(places.values(), bad)
    read = (_picture(images[place], joints[:, :, k], file, bad) for k, place in places.items() if place in images)
    pictures = tuple(picture for picture in read if picture is not None)
    problems = bad.settle()
    size = shared_size(picture.image.size for picture in pictures)
    info = DatasetInfo(f"lsp:{path}", split, ("person",), JOINTS, image_size=size, fields=FIELDS)
    return Lsp(info, pictures, problems)


def _find(root: Path) -> Path:
    """The file of joints."""
    files = sorted(root.glob("joints*.mat"))
    if (plain := root / "joints.mat") in files:
        return plain
    if len(files) != 1:
        found = ", ".join(file.name for file in files) or "no joints*.mat"
        raise ValueError(f"{root} is no folder of LSP Extended: want joints.mat or one joints*.mat, found {found}")
    return files[0]


def _read_joints(file: Path) -> np.ndarray:
    """float64 [14, 3, N]."""
    try:
        joints = loadmat(file, variable_names=["joints"]).get("joints")
    except Exception as error:  # a broken file raises whatever its reader stumbles over, zlib.error and IndexError too
        raise BadDataError((Problem(file, None, f"can't be read: {error}"),)) from error
    if joints is None or not np.issubdtype(joints.dtype, np.number):
        raise BadDataError((Problem(file, None, "holds no array of numbers called joints"),))
    if joints.ndim != 3 or joints.shape[:2] != (len(JOINTS), 3):
        shape = "x".join(map(str, joints.shape))
        raise BadDataError((Problem(file, None, f"joints are {shape}, want 14x3xN (the first LSP has 3x14xN)"),))
    return joints.astype(np.float64)


def _picture(image: CheckedImage, rows: np.ndarray, joints_file: Path, bad: BadData) -> Picture | None:
    """An image with those joints that are sound; None, and a report, if they span no box. rows: [14, 3]."""
    name = image.file.stem
    height, width = image.size
    joints = []
    for joint, (x, y, flag) in zip(JOINTS, rows.tolist(), strict=True):
        problem = None
        if flag not in (0, 1):
            problem = f"has the flag {flag}, want 0 or 1"
        elif flag == 1 and not (-BORDER <= x <= width + BORDER and -BORDER <= y <= height + BORDER):  # nor is NaN
            problem = f"at ({x:.1f}, {y:.1f}) is outside of the image of {width}x{height}"
        if problem:
            bad.report(joints_file, f"{name}: {joint} {problem}")
        marked = flag == 1 and not problem
        joints.append((min(max(x, 0.0), width), min(max(y, 0.0), height), 2) if marked else (0.0, 0.0, 0))
    marked = np.array([joint[:2] for joint in joints if joint[2]]).reshape(-1, 2)
    box = (*marked.min(axis=0, initial=np.inf).tolist(), *marked.max(axis=0, initial=-np.inf).tolist())
    try:
        box, _ = fit_box(box, image.size)
    except ValueError:
        bad.report(joints_file, f"{name}: {len(marked)} usable joints, which span no box")
        return None
    return Picture(name, image, tuple(joints), box)
