"""Batching images and augmenting samples."""

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from roibench.nn.augment import AUGMENTATIONS, augment
from roibench.nn.images import MEAN, STD, batch_images
from roibench.structures import Input, Sample, Target

CPU = torch.device("cpu")


def image(height: int, width: int) -> Input:
    pixels = torch.randint(0, 256, (3, height, width), dtype=torch.uint8, generator=torch.Generator().manual_seed(0))
    return Input("image", pixels)


def test_images_of_any_size_become_one_padded_normalised_batch():
    small, large = image(40, 60), image(100, 30)
    batch = batch_images([small, large], CPU, None, 1000, 32)
    assert batch.pixels.shape == (2, 3, 128, 64)
    assert batch.pixels.is_contiguous(memory_format=torch.channels_last)
    back = batch.pixels[0, :, :40, :60] * torch.tensor(STD)[:, None, None] + torch.tensor(MEAN)[:, None, None]
    assert torch.allclose(back * 255, small.image.float(), atol=1e-3)
    assert batch.pixels[0, :, 40:].abs().max() == 0 and batch.pixels[0, :, :, 60:].abs().max() == 0


@given(height=st.integers(1, 300), width=st.integers(1, 300))
def test_resizing_keeps_the_aspect_and_boxes_come_back(height, width):
    batch = batch_images([image(height, width)], CPU, 64, 100, 16)
    h, w = batch.sizes[0]
    assert max(h, w) <= 100 and (min(h, w) == 64 or max(h, w) == 100 or min(h, w) == 1)
    whole = torch.tensor([[0.0, 0.0, width, height]])
    assert torch.allclose(batch.to_batch(0, whole), torch.tensor([[0.0, 0.0, w, h]]), atol=1e-3)
    assert torch.allclose(batch.to_image(0, batch.to_batch(0, whole)), whole, atol=1e-3)


def test_boxes_are_clipped_to_the_image_as_given():
    batch = batch_images([image(50, 80)], CPU, 100, 1000, 32)
    assert batch.to_image(0, torch.tensor([[-9.0, -9.0, 999.0, 999.0]])).tolist() == [[0.0, 0.0, 80.0, 50.0]]


@pytest.mark.parametrize("bad", [None, torch.zeros(3, 4, 4), torch.zeros(1, 4, 4, dtype=torch.uint8)])
def test_a_wrong_image_is_named(bad):
    with pytest.raises(ValueError, match=r"input 'x': image must be uint8 \[3, H, W\]"):
        batch_images([Input("x", bad)], CPU, None, 100, 32)


def labelled(height: int = 20, width: int = 30) -> Sample:
    """A white rectangle on black, and targets that say where it is."""
    pixels = torch.zeros(3, height, width, dtype=torch.uint8)
    pixels[:, 4:9, 12:26] = 255
    target = Target(
        boxes=torch.tensor([[12.0, 4.0, 26.0, 9.0]]),
        labels=torch.tensor([0]),
        masks=pixels[:1].bool(),
        semantic_map=pixels[0] // 255,
        keypoints=torch.tensor([[[12.5, 4.5, 2.0]]]),
    )
    return Sample(Input("rectangle", pixels), target)


@given(seed=st.integers(0, 200))
def test_targets_follow_the_pixels_through_any_geometry(seed):
    names = ("horizontal_flip", "vertical_flip", "transpose")
    sample = augment(labelled(), names, torch.Generator().manual_seed(seed))
    white = sample.input.image[0] == 255
    y, x = torch.where(white)
    assert sample.target.boxes.tolist() == [[x.min(), y.min(), x.max() + 1, y.max() + 1]]
    assert torch.equal(sample.target.masks[0], white)
    assert torch.equal(sample.target.semantic_map.bool(), white)
    point_x, point_y, _ = sample.target.keypoints[0, 0].int().tolist()
    assert white[point_y, point_x]


def test_augmentation_depends_on_the_generator_alone_and_leaves_its_input():
    before = labelled()
    pixels = before.input.image.clone()
    one, two = (augment(before, tuple(AUGMENTATIONS), torch.Generator().manual_seed(3)) for _ in range(2))
    assert torch.equal(one.input.image, two.input.image)
    assert torch.equal(before.input.image, pixels)
    seen = {
        augment(before, ("horizontal_flip",), torch.Generator().manual_seed(s)).target.boxes[0, 0].item()
        for s in range(9)
    }
    assert seen == {12.0, 4.0}


def test_an_unknown_augmentation_is_named():
    with pytest.raises(ValueError, match="unknown augmentation 'spin'; known: horizontal_flip"):
        augment(labelled(), ("spin",), torch.Generator())
