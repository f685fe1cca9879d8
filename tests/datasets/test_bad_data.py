"""Boxes at the border and beyond: one tolerance for every adapter, on all four sides; clipping on request."""

import json
import math
import re
from pathlib import Path

import numpy as np
import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from PIL import Image
from scipy.io import savemat

from roibench.datasets.bad_data import BORDER, BadData, BadDataError, fit_box
from roibench.datasets.reference import open_dataset
from roibench.registry import installed

WIDTH, HEIGHT = 64, 48
coordinates = st.floats(allow_nan=True, allow_infinity=True) | st.integers(-3, 12).map(float)


@given(box=st.tuples(*[coordinates] * 4))
@example(box=(-1.0, 0.0, 1e-60, 1.0))  # what is inside of it has no width in float32
def test_a_box_is_fitted_exactly_if_it_has_an_area_in_the_image(box):
    x1, y1, x2, y2 = box
    with np.errstate(over="ignore", invalid="ignore"):
        area = all(map(math.isfinite, box)) and (np.float32(box[:2]) < np.float32(box[2:])).all()
        inside = np.clip(box, 0, (10, 8, 10, 8)).astype(np.float32)
    try:
        fitted, beyond = fit_box(box, (8, 10))
    except ValueError as error:
        assert re.fullmatch("not finite|inverted|degenerate|outside of the image of 10x8", str(error))
        assert not area or (inside[:2] >= inside[2:]).any()
    else:
        assert area and (inside[:2] < inside[2:]).all()
        assert np.array_equal(np.float32(fitted), inside)
        assert all(new == old for old, new, end in zip(box, fitted, (10, 8) * 2, strict=True) if 0 <= old <= end)
        assert beyond == max(0, -x1, -y1, x2 - 10, y2 - 8)


def test_settling_without_problems_is_silent(recwarn):
    assert BadData("fail").settle() == ()
    assert not recwarn


def coco(folder: Path, box: tuple[float, ...]) -> str:
    x1, y1, x2, y2 = box
    images = [{"id": 1, "file_name": "im00001.jpg", "width": WIDTH, "height": HEIGHT}]
    boxes = [[x1, y1, x2 - x1, y2 - y1], [8, 8, 8, 8]]
    annotations = [{"id": k, "image_id": 1, "category_id": 1, "bbox": bbox} for k, bbox in enumerate(boxes, start=1)]
    content = {"images": images, "annotations": annotations, "categories": [{"id": 1, "name": "cat"}]}
    (folder / "objects.json").write_text(json.dumps(content))
    return f"coco:{folder}/objects.json"


def voc(folder: Path, box: tuple[float, ...]) -> str:
    objects = "".join(
        f"<object><name>cat</name><bndbox><xmin>{x1 + 1}</xmin><ymin>{y1 + 1}</ymin>"
        f"<xmax>{x2}</xmax><ymax>{y2}</ymax></bndbox></object>"
        for x1, y1, x2, y2 in (box, (8, 8, 16, 16))
    )
    (folder / "im00001.xml").write_text(f"<annotation>{objects}</annotation>")
    return f"voc:{folder}"


@pytest.fixture
def folder(tmp_path):
    Image.new("RGB", (WIDTH, HEIGHT)).save(tmp_path / "im00001.jpg")
    return tmp_path


def boxes(text: str, on_bad_data: str = "fail") -> list[list[float]]:
    return open_dataset(text, installed(), on_bad_data=on_bad_data)[0].target.boxes.tolist()


SECOND = [8, 8, 16, 16]
# Each reaches beyond one side: the box, and what of it lies in the image.
SIDES = {
    "left": ((-1, 4, 30, 20), (0, 4, 30, 20)),
    "top": ((4, -1, 30, 20), (4, 0, 30, 20)),
    "right": ((34, 4, 65, 20), (34, 4, 64, 20)),
    "bottom": ((34, 4, 60, 49), (34, 4, 60, 48)),
}


def reaching(side: str, beyond: float) -> tuple[float, ...]:
    box, inside = SIDES[side]
    return tuple(b if a == b else b + beyond * (a - b) for a, b in zip(box, inside, strict=True))


@pytest.mark.parametrize("adapter", [coco, voc])
@pytest.mark.parametrize("side", SIDES)
@pytest.mark.parametrize("beyond", [0, 0.000032, 0.019, 0.5, BORDER])
def test_up_to_a_pixel_beyond_any_border_is_on_it(folder, adapter, side, beyond, recwarn):
    assert boxes(adapter(folder, reaching(side, beyond))) == [list(SIDES[side][1]), SECOND]
    assert not recwarn


@pytest.mark.parametrize("adapter", [coco, voc])
@pytest.mark.parametrize("side", SIDES)
@pytest.mark.parametrize("beyond", [BORDER + 0.01, 7, 1e6])
def test_what_lies_farther_beyond_is_refused_or_skipped_or_clipped(folder, adapter, side, beyond):
    text = adapter(folder, reaching(side, beyond))
    with pytest.raises(
        BadDataError, match=r"1 problem in .*after clipping boxes.*\n.* is outside of the image of 64x48$"
    ):
        boxes(text)
    with pytest.warns(UserWarning, match=r"left out because of bad data:\n.*outside of the image of 64x48$"):
        assert boxes(text, "skip") == [SECOND]
    message = rf"^clipped to the image:\n  {folder}/\S+: .*cat: b.* is outside of the image of 64x48 by [\d.e+]+$"
    with pytest.warns(UserWarning, match=message) as caught:
        assert boxes(text, "clip") == [list(SIDES[side][1]), SECOND]
    assert len(caught) == 1


UNCLIPPABLE = {
    "beside the image": ((70, 4, 90, 20), "outside of the image of 64x48"),
    "within the tolerance, but nothing of it in the image": ((64.2, 4, 64.8, 20), "outside of the image of 64x48"),
    "inverted": ((30, 4, 10, 20), "inverted"),
    "degenerate": ((30, 4, 30, 20), "degenerate"),
    "of no area in float32": ((30, 4, 30.0000001, 20), "degenerate"),
    "not a number": ((float("nan"), 4, 10, 20), "not finite"),
    "infinite": ((4, 4, 10, float("inf")), "not finite"),
}


@pytest.mark.parametrize("adapter", [coco, voc])
@pytest.mark.parametrize("kind", UNCLIPPABLE)
def test_what_cannot_be_clipped_is_left_out(folder, adapter, kind):
    box, reason = UNCLIPPABLE[kind]
    text = adapter(folder, box)
    with pytest.raises(BadDataError, match=f"is {reason}$"):
        boxes(text)
    with pytest.warns(UserWarning, match=rf"left out because of bad data:\n.*is {reason}$"):
        assert boxes(text, "clip") == [SECOND]


def test_joints_have_the_same_tolerance(tmp_path):
    (tmp_path / "images").mkdir()
    Image.new("RGB", (WIDTH, HEIGHT)).save(tmp_path / "images" / "im00001.jpg")
    joints = np.zeros((14, 3, 1))
    joints[:4, :, 0] = [[-1, 4, 1], [30, 49, 1], [65, -0.5, 1], [8, 8, 1]]
    savemat(tmp_path / "joints.mat", {"joints": joints})
    found = open_dataset(f"lsp:{tmp_path}@all", installed())[0].target
    assert found.keypoints[0, :4].tolist() == [[0, 4, 2], [30, 48, 2], [64, 0, 2], [8, 8, 2]]
    assert found.boxes.tolist() == [[0, 0, 64, 48]]
    joints[0, 0] = -1.01
    savemat(tmp_path / "joints.mat", {"joints": joints})
    with pytest.warns(UserWarning, match=r"right ankle at \(-1.0, 4.0\) is outside of the image of 64x48"):
        found = open_dataset(f"lsp:{tmp_path}@all", installed(), on_bad_data="clip")[0].target
    assert found.keypoints[0, 0].tolist() == [0, 0, 0], "a joint is never placed where it isn't"
