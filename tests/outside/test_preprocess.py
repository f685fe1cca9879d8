"""What a network of a fixed input is fed, and where its boxes lie in the image."""

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from roibench.outside.preprocess import Feeding, feed

sides = st.integers(20, 120)


def with_rectangle(height, width, box):
    x1, y1, x2, y2 = box
    image = torch.zeros(3, height, width, dtype=torch.uint8)
    image[:, y1:y2, x1:x2] = 255
    return image


@pytest.mark.parametrize("resize", ["letterbox", "stretch", "keep", "crop"])
@given(height=sides, width=sides, rows=st.integers(64, 160), columns=st.integers(64, 160), data=st.data())
def test_a_box_of_the_input_is_where_it_is_in_the_image(resize, height, width, rows, columns, data):
    x1, y1 = data.draw(st.integers(0, width - 10)), data.draw(st.integers(0, height - 10))
    box = (x1, y1, data.draw(st.integers(x1 + 8, width)), data.draw(st.integers(y1 + 8, height)))
    feeding = Feeding((rows, columns), resize, pad_value=0, pad=data.draw(st.sampled_from(["centre", "corner"])))
    batch, [placed] = feed([with_rectangle(height, width, box)], feeding)
    assert batch.shape == (1, 3, *((height, width) if resize == "keep" else (rows, columns)))
    ys, xs = np.nonzero(batch[0, 0].numpy() > 0.5)
    if resize == "crop":  # the box may lie beyond what was cut out
        return
    seen = torch.tensor([[xs.min(), ys.min(), xs.max() + 1, ys.max() + 1]], dtype=torch.float32)
    slack = 1 + 1 / min(placed.scale)
    assert (placed.to_image(seen)[0] - torch.tensor(box)).abs().max() <= slack


def test_letterbox_keeps_proportions_and_pads_in_grey():
    batch, [placed] = feed([torch.full((3, 50, 100), 255, dtype=torch.uint8)], Feeding((64, 64)))
    assert placed.scale == (0.64, 0.64) and placed.offset == (16, 0)
    assert torch.equal(batch[0, :, 16:48], torch.ones(3, 32, 64))
    assert (batch[0, :, :16] == 114 / 255).all() and (batch[0, :, 48:] == 114 / 255).all()


def test_crop_cuts_out_the_centre():
    image = with_rectangle(100, 200, (50, 0, 150, 100))
    batch, [placed] = feed([image], Feeding((70, 70), "crop"))
    assert (batch == 1).all() and placed.scale == (0.8, 0.8)
    assert placed.to_image(torch.tensor([[0.0, 0, 70, 70]]))[0].tolist() == [56.25, 6.25, 143.75, 93.75]


def test_channels_and_normalisation_are_in_the_order_of_the_network():
    image = torch.tensor([255, 0, 51], dtype=torch.uint8)[:, None, None].expand(3, 8, 8)
    batch, _ = feed([image], Feeding((8, 8), "stretch", "bgr", 255.0, (0.2, 0.0, 0.5), (1.0, 1.0, 0.5)))
    assert batch[0, :, 0, 0].tolist() == pytest.approx([0.0, 0.0, 1.0])
    batch, _ = feed([image], Feeding((8, 8), "stretch", scale=1.0))
    assert batch[0, :, 0, 0].tolist() == [255, 0, 51]


def test_boxes_are_clipped_to_their_image():
    _, [placed] = feed([torch.zeros(3, 50, 100, dtype=torch.uint8)], Feeding((64, 64)))
    assert placed.to_image(torch.tensor([[-9.0, 0, 99, 64]])).tolist() == [[0, 0, 100, 50]]
