"""CornerNet through the doors that everybody uses, and its pooling and grouping by hand."""

import pytest
import torch

from roibench.assemble import build_model
from roibench.dataset import DatasetInfo
from roibench.nn.heatmaps import gaussian_radius, heat_targets, locations, offset_targets
from roibench.nn.targets import batch_boxes, learned_objects
from roibench.plugins.single_stage.cornernet import Output, corner_pool, grouping_losses
from roibench.registry import installed
from roibench.tasks.detection import DetectorContract

INFO = DatasetInfo("scenes", "val", ("circle", "square", "triangle"), image_size=(128, 128))
TARGETS = [
    # The first and the last are of one class: their corners could be paired crosswise.
    DetectorContract.objects((10, 20, 43, 57, 1), (64, 70, 128, 128, 2), (3, 90, 14, 99, 0), (30, 10, 73, 77, 1)),
    DetectorContract.objects((20, 30, 81, 90, 1)),
]


class TestCornerNet(DetectorContract):
    model = "cornernet"


@pytest.mark.parametrize("top_left", [True, False])
def test_corner_pooling_is_the_plain_loop(top_left):
    vertical, horizontal = torch.randn(2, 3, 5, 6), torch.randn(2, 3, 5, 6)
    expected = torch.zeros_like(vertical)
    for y in range(5):
        for x in range(6):
            column = vertical[:, :, y:, x] if top_left else vertical[:, :, : y + 1, x]
            row = horizontal[:, :, y, x:] if top_left else horizontal[:, :, y, : x + 1]
            expected[:, :, y, x] = column.amax(2) + row.amax(2)
    assert torch.equal(corner_pool(vertical, horizontal, top_left), expected)


def test_the_embeddings_losses_are_the_plain_loop():
    begin, end, image = torch.randn(6), torch.randn(6), torch.tensor([0, 0, 0, 1, 2, 2])
    middle = ((begin + end) / 2).tolist()
    pull = push = 0.0
    for index in range(3):
        group = torch.where(image == index)[0].tolist()
        for k in group:
            pull += ((begin[k] - middle[k]) ** 2 + (end[k] - middle[k]) ** 2).item() / len(group)
            for other in group:
                if other != k:
                    push += max(0, 1 - abs(middle[k] - middle[other])) / (len(group) * (len(group) - 1))
    found = grouping_losses(begin, end, image, 1.0)
    assert [one.item() for one in found] == pytest.approx([pull, push], rel=1e-5)


def test_corners_of_one_object_attract_and_of_two_repel():
    begin = torch.tensor([0.2, 0.1], requires_grad=True)
    pull, push = grouping_losses(begin, torch.tensor([0.4, 0.1]), torch.tensor([0, 0]), 1.0)
    [attraction] = torch.autograd.grad(pull, begin, retain_graph=True)
    [repulsion] = torch.autograd.grad(push, begin)
    assert attraction[0] < 0 and attraction[1] == 0
    assert repulsion[0] < 0 < repulsion[1]


@pytest.fixture
def planted():
    """A model, a batch, and what the model should put out for TARGETS: top-left and bottom-right."""
    torch.manual_seed(0)
    model = build_model(installed().models["cornernet"], INFO).eval()
    batch = model.batch(DetectorContract.noise((128, 128), (128, 128)))
    image, boxes, labels = learned_objects(batch_boxes(batch, TARGETS))
    boxes = boxes / 4
    radius = gaussian_radius(boxes[:, 2:] - boxes[:, :2])
    outputs = []
    for points in (boxes[:, :2], boxes[:, 2:]):
        rows, columns = locations(points, (32, 32))
        heat = heat_targets(image, labels, rows, columns, radius, torch.Size((2, 3, 32, 32)))
        embedding, offset = torch.zeros(2, 1, 32, 32), torch.zeros(2, 2, 32, 32)
        embedding[image, 0, rows, columns] = 2.0 * torch.arange(len(labels))
        offset[image, :, rows, columns] = offset_targets(points, rows, columns)
        outputs.append(Output(torch.logit(heat, eps=1e-6), embedding, offset))
    return model, batch, *outputs


def test_its_targets_decode_to_the_ground_truth(planted):
    model, batch, top_left, bottom_right = planted
    for found, target in zip(model._detect(top_left, bottom_right, batch), TARGETS, strict=True):
        best = found.scores > 0.6  # a corner and an empty location of the same embedding score a half
        order, expected = found.boxes[best].sum(1).argsort(), target.boxes.sum(1).argsort()
        assert torch.allclose(found.boxes[best][order], target.boxes[expected], atol=1e-3)
        assert torch.equal(found.labels[best][order], target.labels[expected])


def test_corners_whose_embeddings_differ_are_no_object(planted):
    model, batch, *corners = planted
    alike = [one._replace(embedding=torch.zeros_like(one.embedding)) for one in corners]
    right, crossed = (model._detect(*pair, batch)[0] for pair in (corners, alike))
    between = torch.tensor([[10.0, 20.0, 73.0, 77.0]])  # from one's corner to the other's

    def has(found):
        return ((found.boxes - between).abs().amax(1) < 1e-3).any()

    assert has(crossed) and not has(right)


def test_what_decodes_to_the_ground_truth_costs_nothing(planted):
    model, batch, *corners = planted
    losses = model._errors(*corners, batch_boxes(batch, TARGETS))
    assert all(losses[name] < 1e-5 for name in ("pull", "push", "offset"))
