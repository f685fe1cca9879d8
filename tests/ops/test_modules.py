"""The operators as layers, and the losses that are made of them: torchvision's, argument by argument."""

import pytest
import torch
import torch.nn.functional as F
import torchvision.ops as reference

from roibench import ops

torch.manual_seed(0)
MAP = torch.rand(2, 12, 20, 24)
BOXES = [torch.tensor([[3.0, 4.0, 60.0, 70.0], [10.0, 0.0, 30.0, 90.0]]), torch.tensor([[0.0, 0.0, 95.0, 79.0]])]


@pytest.mark.parametrize(
    ("name", "arguments"),
    [
        ("RoIAlign", {"output_size": (3, 2), "spatial_scale": 0.25, "sampling_ratio": 2, "aligned": True}),
        ("RoIPool", {"output_size": 3, "spatial_scale": 0.25}),
        ("PSRoIPool", {"output_size": (2, 3), "spatial_scale": 0.25}),
    ],
)
def test_layers_are_torchvisions(name, arguments):
    own, theirs = (getattr(module, name)(**arguments) for module in (ops, reference))
    torch.testing.assert_close(own(MAP, BOXES), theirs(MAP, BOXES))
    assert all(f"{key}={value}" in repr(own) for key, value in arguments.items())


def test_layers_of_pyramids_and_loss_are_the_functions():
    assert ops.SpatialPyramidPool((3, 1))(MAP).equal(ops.spatial_pyramid_pool(MAP, (3, 1)))
    assert ops.SpatialPyramidPool((3, 1), "avg")(MAP).equal(ops.spatial_pyramid_pool(MAP, (3, 1), "avg"))
    own = ops.RoISpatialPyramidPool((2, 1), 0.25)(MAP, BOXES)
    assert own.equal(ops.roi_spatial_pyramid_pool(MAP, BOXES, (2, 1), 0.25))
    loss = ops.SigmoidFocalLoss(0.3, 1.5, "mean")(MAP, MAP.round())
    assert loss.equal(ops.sigmoid_focal_loss(MAP, MAP.round(), 0.3, 1.5, "mean"))


@pytest.mark.parametrize("size", [(80, 96), (77, 90)])
def test_multi_scale_roi_align_is_torchvisions(size):
    maps = {name: torch.rand(2, 4, -(-size[0] // s), -(-size[1] // s)) for name, s in (("a", 4), ("b", 8), ("c", 16))}
    maps["unused"] = torch.rand(2, 4, 1, 1)
    arguments = {"featmap_names": ["a", "b", "c"], "output_size": 3, "sampling_ratio": 2}
    boxes = [
        torch.rand(40, 2).repeat(1, 2) * 50 + torch.tensor([0, 0, 1.0, 1.0]) * 45 * torch.rand(40, 1) for _ in "12"
    ]
    own = ops.MultiScaleRoIAlign(**arguments, canonical_scale=32, canonical_level=3)
    theirs = reference.MultiScaleRoIAlign(**arguments, canonical_scale=32, canonical_level=3)
    shapes = [size, (60, 60)]
    torch.testing.assert_close(own(maps, boxes, shapes), theirs(maps, boxes, shapes))
    nothing = [torch.zeros(0, 4)] * 2
    assert own(maps, nothing, shapes).shape == (0, 4, 3, 3)
    with pytest.raises(ValueError, match=r"none of featmap_names .* is among the maps \('x',\)"):
        own({"x": maps["a"]}, boxes, shapes)


@pytest.mark.parametrize("kind", ["generalized", "distance", "complete"])
@pytest.mark.parametrize("reduction", ["none", "mean", "sum"])
def test_losses_of_boxes_are_torchvisions(kind, reduction):
    torch.manual_seed(0)
    corners = torch.rand(2, 30, 2, dtype=torch.float64)
    first, second = torch.cat([corners, corners + torch.rand(2, 30, 2, dtype=torch.float64) + 0.05], 2)
    name = f"{kind}_box_iou_loss"
    found = getattr(ops, name)(first.requires_grad_(), second, reduction)
    torch.testing.assert_close(found, getattr(reference, name)(first, second, reduction), atol=1e-5, rtol=1e-5)
    assert torch.autograd.grad(found.sum(), first)[0].isfinite().all()
    nothing = getattr(ops, name)(first[:0], second[:0], reduction)
    assert nothing.sum() == 0
    with pytest.raises(ValueError, match="reduction must be 'none', 'mean' or 'sum', got 'max'"):
        getattr(ops, name)(first, second, "max")


def test_softmax_focal_loss_with_gamma_0_is_cross_entropy():
    torch.manual_seed(0)
    logits, targets = torch.randn(5, 7, 3, 2, dtype=torch.float64), torch.randint(-1, 7, (5, 3, 2))
    weights = torch.rand(7, dtype=torch.float64)
    own = ops.softmax_focal_loss(logits, targets, weights, 0)
    torch.testing.assert_close(own, F.cross_entropy(logits, targets, weights, ignore_index=-1, reduction="none"))
    own = ops.softmax_focal_loss(logits, targets, gamma=0, reduction="mean")
    torch.testing.assert_close(own, F.cross_entropy(logits, targets, ignore_index=-1))


def test_softmax_focal_loss_by_hand():
    logits = torch.tensor([[2.0, 0.0, -1.0], [0.0, 3.0, 0.0]], dtype=torch.float64, requires_grad=True)
    p = logits.detach().softmax(1)
    found = ops.softmax_focal_loss(logits, torch.tensor([0, 2]), gamma=2)
    expected = [-((1 - p[0, 0]) ** 2) * p[0, 0].log(), -((1 - p[1, 2]) ** 2) * p[1, 2].log()]
    torch.testing.assert_close(found, torch.stack(expected))
    assert torch.autograd.gradcheck(lambda x: ops.softmax_focal_loss(x, torch.tensor([0, 2])), logits)


@pytest.mark.parametrize("gamma", [0.0, 0.5, 2.0])
def test_softmax_focal_loss_of_a_certain_answer_is_0_and_has_a_derivative(gamma):
    logits = torch.tensor([[1000.0, 0.0]], requires_grad=True)
    loss = ops.softmax_focal_loss(logits, torch.tensor([0]), gamma=gamma)
    assert loss.item() == 0
    assert torch.autograd.grad(loss.sum(), logits)[0].isfinite().all()


def test_softmax_focal_loss_says_what_is_wrong():
    with pytest.raises(ValueError, match=r"want inputs \[N, C, \.\.\.\] and targets \[N, \.\.\.\], got"):
        ops.softmax_focal_loss(torch.rand(3, 4), torch.zeros(4, dtype=torch.int64))
    with pytest.raises(ValueError, match="gamma must be at least 0, got -1"):
        ops.softmax_focal_loss(torch.rand(3, 4), torch.zeros(3, dtype=torch.int64), gamma=-1)
    ignored = ops.softmax_focal_loss(torch.rand(3, 4), torch.full((3,), -1), reduction="mean")
    assert ignored == 0
