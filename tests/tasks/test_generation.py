"""The task of generation: what a picture may be, what is said of it and how it is drawn."""

import numpy as np
import pytest
import torch
from PIL import Image

from roibench.draw.canvas import Canvas
from roibench.draw.prediction import draw
from roibench.structures import Prediction
from roibench.task import Frame, Scored
from roibench.tasks.generation import GENERATED, Generation

FRAME = Frame("one", (128, 128), ())
PICTURE = torch.arange(3 * 4 * 6, dtype=torch.uint8).reshape(3, 4, 6)


def predicted(picture):
    return Prediction(extra={"generated": picture})


@pytest.mark.parametrize(
    ("value", "problem"),
    [
        (PICTURE, None),
        (PICTURE.float(), "generated is torch.float32; want torch.uint8"),
        (PICTURE[:1], "generated has the shape [1, 4, 6]; want [3, H, W]"),
        (PICTURE[:, :0], "generated has the shape [3, 0, 6]; want some pixels"),
    ],
)
def test_a_picture_is_rgb_of_any_size(value, problem):
    assert GENERATED.check(value, FRAME) == problem


def test_pictures_that_are_all_the_same_are_told():
    def doubts(*pictures):
        found = [predicted(one) for one in pictures]
        return Generation().doubts(Scored(Generation(), found, found, [], []))

    assert doubts(PICTURE, PICTURE) == ("all 2 generated images are the same",)
    assert doubts(PICTURE) == doubts(PICTURE, PICTURE + 1) == ()


def test_a_picture_is_drawn_in_the_place_of_the_image():
    drawn = draw(torch.zeros(3, 64, 64, dtype=torch.uint8), predicted(PICTURE), (), [GENERATED])
    assert drawn.size == (6 * 107, 4 * 107)
    assert (np.asarray(drawn)[::107, ::107] == PICTURE.permute(1, 2, 0).numpy()).all()
    small = Canvas(Image.new("RGB", (2, 2)), 1, 2.0)
    GENERATED.layers[0].draw(small, predicted(PICTURE), (), 0.3)
    assert small.image.size == (6, 4)


def test_it_is_kept_and_described():
    folder, picture = GENERATED.file
    assert folder == "generated" and (np.asarray(picture(predicted(PICTURE))) == PICTURE.permute(1, 2, 0).numpy()).all()
    assert GENERATED.in_words(GENERATED.describe(predicted(PICTURE), (), 0.3)) == "generated 6 x 4 pixels"
