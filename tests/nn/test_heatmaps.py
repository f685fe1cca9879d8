"""Points of heat maps, by hand and against slow and obvious versions."""

import math

import pytest
import torch
from torchvision.ops import sigmoid_focal_loss

from roibench import ops
from roibench.nn.heatmaps import gaussian_radius, heat_loss, heat_targets, locations, offset_targets, peaks
from roibench.nn.targets import BoxTargets, ignored_locations, learned_objects


@pytest.mark.parametrize("overlap", [0.3, 0.7])
def test_corners_within_the_radius_give_a_box_that_overlaps_enough(overlap):
    sizes = torch.tensor([[10.0, 10.0], [30.0, 8.0], [5.0, 40.0], [1.0, 1.0]])
    radii = gaussian_radius(sizes, overlap)
    for (width, height), radius in zip(sizes.tolist(), radii.tolist(), strict=True):
        box = torch.tensor([[0.0, 0.0, width, height]])
        moves = torch.tensor([[1, 1, 1, 1], [1, 1, -1, -1], [-1, -1, 1, 1]])
        assert ops.box_iou(box, box + radius * moves).min().item() == pytest.approx(overlap, abs=1e-4)


def test_a_target_is_a_gaussian_around_its_location():
    image, label = torch.tensor([0, 0]), torch.tensor([1, 1])
    rows, columns, radius = torch.tensor([3, 3]), torch.tensor([2, 5]), torch.tensor([2.9, 0.4])
    heat = heat_targets(image, label, rows, columns, radius, torch.Size((1, 3, 8, 9)))
    expected = torch.zeros(3, 8, 9)
    sigma = 5 / 6
    for y in range(1, 6):
        for x in range(5):
            expected[1, y, x] = math.exp(-((y - 3) ** 2 + (x - 2) ** 2) / (2 * sigma**2))
    expected[1, 3, 5] = 1
    assert torch.allclose(heat[0], expected, atol=1e-6)


def test_where_two_meet_the_larger_value_stands():
    zero, radius = torch.tensor([0, 0]), torch.tensor([3.0, 3.0])
    heat = heat_targets(zero, zero, torch.tensor([4, 4]), torch.tensor([3, 5]), radius, torch.Size((1, 1, 9, 9)))[0, 0]
    assert heat[4, 3] == heat[4, 5] == 1
    assert heat[4, 4].item() == pytest.approx(math.exp(-1 / (2 * (7 / 6) ** 2)))


def test_without_gaussians_the_loss_is_focal_loss():
    logits, targets = torch.randn(2, 3, 5, 6), torch.zeros(2, 3, 5, 6)
    targets[0, 1, 2, 3] = targets[1, 2, 4, 0] = 1
    decided = torch.zeros(2, 5, 6, dtype=torch.bool)
    theirs = sigmoid_focal_loss(logits, targets, alpha=-1, gamma=2, reduction="sum") / 2
    assert torch.allclose(heat_loss(logits, targets, decided), theirs)


def test_the_loss_near_a_point_is_reduced_and_where_nothing_is_decided_there_is_none():
    logits, targets = torch.zeros(1, 1, 2, 2), torch.zeros(1, 1, 2, 2)
    targets[0, 0, 0] = torch.tensor([1, 0.5])
    undecided = torch.tensor([[[False, False], [True, False]]])
    each = 0.5**2 * math.log(2)
    assert heat_loss(logits, targets, undecided).item() == pytest.approx(each * (1 + 0.5**4 + 1))


def test_peaks_are_what_no_neighbour_exceeds():
    heat = torch.zeros(1, 2, 6, 7)
    heat[0, 0, 1, 1], heat[0, 0, 1, 2], heat[0, 0, 2, 2] = 0.9, 0.8, 0.85
    heat[0, 1, 5, 6], heat[0, 1, 1, 1] = 0.7, 0.6
    found = peaks(heat, 3)
    assert torch.allclose(found.scores, torch.tensor([[0.9, 0.7, 0.6]]))
    assert [one.tolist() for one in found[1:]] == [[[0, 1, 1]], [[1, 5, 1]], [[1, 6, 1]]]
    maps = torch.stack([torch.arange(42.0).view(6, 7), torch.full((6, 7), 0.5)])[None]
    assert found.read(maps).tolist() == [[[8, 0.5], [41, 0.5], [8, 0.5]]]
    assert found.points(torch.full((1, 2, 6, 7), 0.25)).tolist() == [[[1.25, 1.25], [6.25, 5.25], [1.25, 1.25]]]


def test_a_point_is_its_location_and_its_offset():
    points = torch.tensor([[1.75, 0.5], [8.0, 3.0]])  # the second on the map's right edge
    rows, columns = locations(points, (4, 8))
    assert (rows.tolist(), columns.tolist()) == ([0, 3], [1, 7])
    assert offset_targets(points, rows, columns).tolist() == [[0.75, 0.5], [1.0, 0.0]]


def test_ignored_objects_are_left_out_and_leave_their_locations_undecided():
    boxes, labels = torch.tensor([[0.0, 0.0, 4.0, 4.0], [5.0, 9.0, 11.0, 10.0]]), torch.tensor([1, 2])
    objects = [
        BoxTargets(boxes[:1], labels[:1], None),
        BoxTargets(boxes, labels, torch.tensor([False, True])),
        BoxTargets(boxes[:0], labels[:0], None),
        BoxTargets(boxes, labels, torch.tensor([True, False])),
    ]
    learned = learned_objects(objects)
    assert learned.image.tolist() == [0, 1, 3]
    assert learned.labels.tolist() == [1, 1, 2]
    assert torch.equal(learned.boxes, boxes[[0, 0, 1]])
    touched = torch.zeros(4, 5, dtype=torch.bool)
    touched[2, 1:3] = True
    assert torch.equal(ignored_locations(objects[1], 4, (4, 5)), touched)
    assert not ignored_locations(objects[0], 4, (4, 5)).any()
