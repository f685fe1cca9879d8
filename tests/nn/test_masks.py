"""Masks between image and region, against torchvision's."""

import pytest
import torch
from torchvision.models.detection.roi_heads import paste_masks_in_image, project_masks_on_boxes

from roibench.nn.masks import crop_masks, paste_masks


def disc(height, width, x, y, radius):
    rows, columns = torch.arange(height)[:, None] + 0.5, torch.arange(width)[None] + 0.5
    return (rows - y) ** 2 + (columns - x) ** 2 < radius**2


def overlap(one, other):
    return float((one & other).sum() / (one | other).sum())


def test_crops_are_torchvisions():
    masks = torch.stack([disc(60, 90, 40, 30, 20), disc(60, 90, 20, 20, 9)])
    boxes = torch.tensor([[18.3, 9.1, 61.7, 52.2], [5.0, 12.5, 33.25, 31.0]])
    # torchvision's coordinates have pixel centres at whole numbers.
    expected = project_masks_on_boxes(masks.float(), boxes - 0.5, torch.arange(2), 28)
    assert torch.allclose(crop_masks(masks, boxes, 28), expected, atol=1e-5)
    assert (expected > 0.9).any() and (expected < 0.1).any()


def test_what_was_cropped_is_pasted_where_it_was():
    true = torch.stack([disc(60, 90, 40, 30, 20), disc(60, 90, 20, 20, 9)])
    boxes = torch.tensor([[20.0, 10.0, 60.0, 50.0], [11.0, 11.0, 29.0, 29.0]])
    pasted = paste_masks(crop_masks(true, boxes, 28), boxes, 60, 90)
    assert all(overlap(*pair) > 0.97 for pair in zip(pasted, true, strict=True))


def test_pasted_masks_are_torchvisions_up_to_its_rounding_of_corners():
    generator = torch.Generator().manual_seed(0)
    coarse = torch.rand(4, 1, 4, 4, generator=generator)
    smooth = torch.nn.functional.interpolate(coarse, size=28, mode="bicubic").clamp(0, 1)
    boxes = torch.tensor(
        [[3.0, 4.0, 50.0, 70.0], [20.0, 30.0, 80.0, 60.0], [0.0, 0.0, 99.0, 79.0], [40.0, 5.0, 90.0, 70.0]]
    )
    ours = paste_masks(smooth[:, 0], boxes, 80, 100)
    theirs = paste_masks_in_image(smooth, boxes, (80, 100))[:, 0] >= 0.5
    assert all(overlap(*pair) > 0.9 for pair in zip(ours, theirs, strict=True))


@pytest.mark.parametrize("box", [[10.0, 10.0, 10.0, 30.0], [5.2, 5.2, 5.2, 5.2]])
def test_a_box_without_an_area_has_an_empty_mask(box):
    assert not paste_masks(torch.ones(1, 28, 28), torch.tensor([box]), 40, 40).any()


def test_a_box_of_a_pixel_has_that_pixel_and_one_that_leaves_the_image_what_is_in_it():
    assert paste_masks(torch.ones(1, 28, 28), torch.tensor([[7.0, 3.0, 8.0, 4.0]]), 9, 9).nonzero().tolist() == [
        [0, 3, 7]
    ]
    beyond = paste_masks(torch.ones(1, 28, 28), torch.tensor([[-20.0, 2.0, 30.0, 5.0]]), 9, 9)
    assert beyond[0, 2:5].all() and beyond.sum() == 27


def test_no_mask_is_no_accident():
    assert paste_masks(torch.zeros(0, 28, 28), torch.zeros(0, 4), 5, 6).shape == (0, 5, 6)
    assert crop_masks(torch.zeros(0, 5, 6, dtype=torch.bool), torch.zeros(0, 4), 28).shape == (0, 28, 28)
