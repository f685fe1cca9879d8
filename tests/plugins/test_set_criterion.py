"""Matching and losses of set prediction, against plain loops in float64."""

import itertools
import math

import pytest
import torch

from roibench.nn.targets import BoxTargets
from roibench.plugins.transformer.set_criterion import SetCriterion, assign, from_pixels, to_pixels


def centre_boxes(*shape: int) -> torch.Tensor:
    return torch.cat([0.3 + 0.4 * torch.rand(*shape, 2), 0.05 + 0.3 * torch.rand(*shape, 2)], dim=-1)


# The reference: one query, one object, Python's floats.


def focal(logit: float, target: float) -> float:
    p = 1 / (1 + math.exp(-logit))
    right, weight = (p, 0.25) if target else (1 - p, 0.75)
    return -weight * (1 - right) ** 2 * math.log(right)


def corners(box):
    x, y, w, h = box
    return x - w / 2, y - h / 2, x + w / 2, y + h / 2


def giou(one, other) -> float:
    a, b = corners(one), corners(other)
    inner = [min(a[2], b[2]) - max(a[0], b[0]), min(a[3], b[3]) - max(a[1], b[1])]
    overlap = max(0.0, inner[0]) * max(0.0, inner[1])
    union = one[2] * one[3] + other[2] * other[3] - overlap
    enclosing = (max(a[2], b[2]) - min(a[0], b[0])) * (max(a[3], b[3]) - min(a[1], b[1]))
    return overlap / union - (enclosing - union) / enclosing


def l1(one, other) -> float:
    return sum(abs(p - q) for p, q in zip(one, other, strict=True))


def cost(logits, box, label, true_box) -> float:
    positive = focal(logits[label], 1) - focal(logits[label], 0)
    return 2 * positive + 5 * l1(box, true_box) - 2 * giou(box, true_box)


def test_the_matching_cost_is_the_papers():
    torch.manual_seed(0)
    logits, boxes = torch.randn(2, 1, 4, 3) * 2, centre_boxes(2, 1, 4)
    labels, true_boxes = torch.tensor([2, 0]), centre_boxes(2)
    table = SetCriterion().matching_cost(logits, boxes, labels, true_boxes)
    assert table.shape == (2, 1, 4, 2)
    for layer, query, number in itertools.product(range(2), range(4), range(2)):
        expected = cost(
            logits[layer, 0, query].tolist(),
            boxes[layer, 0, query].tolist(),
            int(labels[number]),
            true_boxes[number].tolist(),
        )
        assert table[layer, 0, query, number].item() == pytest.approx(expected, abs=1e-4)


def test_the_matching_is_the_cheapest_of_all():
    torch.manual_seed(0)
    table = torch.randn(1, 2, 5, 3)
    found = assign(table)
    for group in range(2):
        _, _, query, number = found[:, found[1] == group]
        assert sorted(number.tolist()) == [0, 1, 2] and len(set(query.tolist())) == 3
        cheapest = min(
            sum(table[0, group, q, n].item() for n, q in enumerate(chosen))
            for chosen in itertools.permutations(range(5), 3)
        )
        assert table[0, group, query, number].sum().item() == pytest.approx(cheapest, abs=1e-5)


@pytest.mark.parametrize("objects", [0, 7])
def test_more_objects_than_queries_and_none(objects):
    found = assign(torch.rand(2, 2, 4, objects))
    assert found.shape == (4, 2 * 2 * min(4, objects))


def test_a_network_that_has_diverged_is_not_the_matchings_business():
    assert assign(torch.full((1, 1, 3, 2), math.nan)).shape == (4, 2)


def test_the_losses_are_the_papers():
    """Two layers, two images, two groups: everything summed up in a loop."""
    torch.manual_seed(0)
    layers, groups, queries = 2, 2, 3
    logits = torch.randn(layers, 2, groups, queries, 3, dtype=torch.float64)
    boxes = centre_boxes(layers, 2, groups, queries).double()
    targets = [
        BoxTargets(centre_boxes(2).double(), torch.tensor([1, 2]), None),
        BoxTargets(centre_boxes(1).double(), torch.tensor([0]), None),
    ]
    found = SetCriterion().losses(logits, boxes, targets)

    totals = [[0.0, 0.0, 0.0] for _ in range(layers)]
    for layer, image, group in itertools.product(range(layers), range(2), range(groups)):
        own = list(zip(targets[image].boxes.tolist(), targets[image].labels.tolist(), strict=True))
        rows, places = logits[layer, image, group].tolist(), boxes[layer, image, group].tolist()
        chosen = min(
            itertools.permutations(range(queries), len(own)),
            key=lambda qs, own=own, rows=rows, places=places: sum(
                cost(rows[q], places[q], label, box) for q, (box, label) in zip(qs, own, strict=True)
            ),
        )
        matches = dict(zip(chosen, own, strict=True))
        for query in range(queries):
            label = matches[query][1] if query in matches else None
            totals[layer][0] += 2 * sum(focal(rows[query][c], c == label) for c in range(3))
        for query, (box, _) in matches.items():
            totals[layer][1] += 5 * l1(places[query], box)
            totals[layer][2] += 2 * (1 - giou(places[query], box))
    count = 3 * groups  # objects, once per group
    expected = [[value / count for value in row] for row in totals]
    for name, value in zip(("class", "l1", "giou"), expected[-1], strict=True):
        assert found[name].item() == pytest.approx(value, rel=1e-5), name
    assert found["auxiliary"].item() == pytest.approx(sum(expected[0]), rel=1e-5)


def test_images_without_objects_have_no_boxes_to_learn():
    logits = torch.randn(1, 1, 1, 3, 2, requires_grad=True)
    nothing = BoxTargets(torch.zeros(0, 4), torch.zeros(0, dtype=torch.int64), None)
    losses = SetCriterion().losses(logits, centre_boxes(1, 1, 1, 3), [nothing])
    assert losses["l1"] == 0 and losses["giou"] == 0 and losses["auxiliary"] == 0
    losses["class"].backward()
    assert (logits.grad > 0).all()


def test_boxes_come_back_from_units_of_the_image():
    boxes = torch.tensor([[10.0, 20.0, 110.0, 50.0]])
    units = from_pixels(boxes, (64, 128))
    assert torch.allclose(units, torch.tensor([[60 / 128, 35 / 64, 100 / 128, 30 / 64]]))
    assert torch.allclose(to_pixels(units, (64, 128)), boxes)
