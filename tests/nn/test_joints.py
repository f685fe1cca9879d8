"""Joints as cells of heat maps and back, against torchvision's."""

import torch
from torchvision.models.detection.roi_heads import heatmaps_to_keypoints, keypoints_to_heatmap

from roibench.nn.joints import find_joints, heat_map_cells


def persons(count=6, joints=5):
    generator = torch.Generator().manual_seed(0)
    corner = torch.rand(count, 2, generator=generator) * 50
    boxes = torch.cat([corner, corner + 10 + torch.rand(count, 2, generator=generator) * 60], 1)
    places = torch.rand(count, joints, 2, generator=generator) * 140  # some of them outside of their box
    visibility = torch.randint(0, 3, (count, joints, 1), generator=generator).float()
    return torch.cat([places, visibility], 2), boxes


def test_cells_are_torchvisions():
    keypoints, boxes = persons()
    cells, inside = heat_map_cells(keypoints, boxes, 56)
    expected, valid = keypoints_to_heatmap(keypoints, boxes, 56)
    assert torch.equal(inside, valid.bool()) and torch.equal(cells, expected)
    assert 0 < inside.sum() < inside.numel()


def test_a_joint_on_the_far_edge_has_the_last_cell():
    cells, inside = heat_map_cells(torch.tensor([[[30.0, 20.0, 2.0]]]), torch.tensor([[10.0, 10.0, 30.0, 20.0]]), 56)
    assert inside.all() and cells.item() == 56 * 56 - 1


def test_joints_are_found_in_the_cell_that_was_learned():
    keypoints, boxes = persons()
    cells, inside = heat_map_cells(keypoints, boxes, 56)
    maps = torch.zeros(*cells.shape, 56 * 56).scatter(2, cells[..., None], 20.0).unflatten(2, (56, 56))
    found = find_joints(maps, boxes)
    cell = ((boxes[:, 2:] - boxes[:, :2]) / 56)[:, None]
    assert ((found[..., :2] - keypoints[..., :2]).abs() <= 0.5 * cell + 1e-3)[inside].all()
    assert (found[..., 2] > 0.9).all()


def test_joints_are_found_where_torchvision_finds_them_which_looks_at_whole_pixels():
    _, boxes = persons()
    places = torch.rand(6, 5, 2, generator=torch.Generator().manual_seed(1)) * 56
    grid = torch.arange(56) + 0.5
    squares = (grid - places[..., :1]) ** 2, (grid - places[..., 1:]) ** 2
    maps = -(squares[0][:, :, None] + squares[1][..., None]) / 50  # [K, J, y, x]
    theirs, _ = heatmaps_to_keypoints(maps, boxes)
    cell = ((boxes[:, 2:] - boxes[:, :2]) / 56)[:, None]
    assert ((find_joints(maps, boxes)[..., :2] - theirs[..., :2]).abs() <= 0.5 * cell + 0.5 + 1e-3).all()


def test_no_person_is_no_accident():
    cells, inside = heat_map_cells(torch.zeros(0, 5, 3), torch.zeros(0, 4), 56)
    assert cells.shape == inside.shape == (0, 5)
    assert find_joints(torch.zeros(0, 5, 56, 56), torch.zeros(0, 4)).shape == (0, 5, 3)
