"""Localizers through the doors that everybody uses; their losses against torchvision's, and from boxes to boxes."""

import pytest
import torch
import torch.nn.functional as F
from torchvision.ops import generalized_box_iou_loss

from roibench.assemble import build_model
from roibench.dataset import DatasetInfo
from roibench.metrics.localization import localization_accuracy
from roibench.plugins.localization.localizer import main_objects
from roibench.registry import installed
from roibench.structures import Input, Target
from roibench.tasks.localization import LocalizerContract

INFO = DatasetInfo("icons", "val", ("circle", "square", "triangle"), image_size=(128, 128))


class TestLocalizer(LocalizerContract):
    model = "localizer"


class TestLocalizerPerClass(LocalizerContract):
    model = "localizer_per_class"


def untrained(name="localizer", **overrides):
    torch.manual_seed(0)
    return build_model(installed().models[name], INFO, overrides).eval()


def target(label, *box):
    """An image of two objects, the second of which it is about."""
    boxes = torch.tensor([[0.0, 0.0, 9.0, 9.0], box])
    return Target(boxes=boxes, labels=torch.tensor([1, label]), main=1)


@pytest.mark.parametrize(
    ("loss", "expected"),
    [
        ("l2", lambda found, true: ((found - true) ** 2).sum()),
        ("l1", lambda found, true: (found - true).abs().sum()),
        ("smooth_l1", lambda found, true: F.smooth_l1_loss(found, true, beta=0.05, reduction="none").sum()),
        ("giou", lambda found, true: generalized_box_iou_loss(found, true).sum()),
    ],
)
def test_each_box_loss_is_what_it_is_called_and_has_a_gradient(loss, expected):
    corners = torch.rand(2, 20, 2, 2, generator=torch.Generator().manual_seed(0)).sort(2).values.flatten(2)
    found, true = corners.double()
    found.requires_grad_()
    error = untrained(box_loss=loss).box_error(found, true)
    assert torch.allclose(error, expected(found, true), atol=1e-6)
    [ours], [theirs] = (torch.autograd.grad(one, found) for one in (error, expected(found, true)))
    assert torch.allclose(ours, theirs, atol=1e-5)


def test_the_box_weight_weighs_the_box_alone():
    inputs, targets = LocalizerContract.noise((128, 128)), [target(2, 20.0, 30.0, 60.0, 90.0)]
    light, heavy = (untrained(box_weight=weight).losses(inputs, targets) for weight in (1.0, 3.0))
    assert torch.equal(light["class"], heavy["class"])
    assert torch.allclose(3 * light["box"], heavy["box"])


def test_a_loss_that_is_none_is_refused():
    with pytest.raises(ValueError, match="box_loss 'l3': want l2, l1, smooth_l1, giou"):
        untrained(box_loss="l3")


def test_main_objects_are_in_units_of_the_square_and_none_is_learned_where_there_is_none():
    batch = untrained().batch(LocalizerContract.noise((64, 256), (128, 128), (128, 128)))
    nothing = Target(boxes=torch.zeros(0, 4), labels=torch.zeros(0, dtype=torch.int64))
    labels, boxes = main_objects(batch, [target(2, 64.0, 16.0, 128.0, 64.0), nothing, target(0, 0.0, 0.0, 128.0, 64.0)])
    assert labels.tolist() == [2, -100, 0]
    assert boxes.tolist() == [[0.25, 0.0625, 0.5, 0.25], [0, 0, 0, 0], [0, 0, 1, 0.5]]


@torch.no_grad()
def test_of_a_box_per_class_that_of_the_predicted_one_counts():
    inputs = LocalizerContract.noise((128, 128))
    for label in range(3):
        model = untrained("localizer_per_class")
        model.head.bias[label] += 10
        numbers = torch.tensor([[0.2, 0.2, 0.1, 0.1], [0.5, 0.5, 0.4, 0.2], [0.8, 0.6, 0.2, 0.4]])
        model.box_head[-1].weight.zero_()
        model.box_head[-1].bias.copy_(numbers.logit().flatten())
        [found] = model.predict(inputs)
        x, y, width, height = numbers[label] * 128
        expected = torch.stack([x - width / 2, y - height / 2, x + width / 2, y + height / 2])
        assert torch.allclose(found.boxes[0], expected, atol=1e-3)
        assert found.labels.tolist() == [label]


@torch.no_grad()
def test_images_of_one_colour_or_of_one_pixel_have_a_box_in_them():
    flat = [torch.full((3, *size), 128, dtype=torch.uint8) for size in ((128, 128), (1, 1), (2, 300))]
    for image, found in zip(flat, untrained().predict([Input(str(i), one) for i, one in enumerate(flat)]), strict=True):
        assert (found.boxes >= 0).all() and (found.boxes <= torch.tensor([*image.shape[:0:-1]]).repeat(2)).all()


@pytest.mark.parametrize("name", ["localizer", "localizer_per_class"])
def test_images_learned_by_heart_are_localized(name):
    """A localizer that can't is broken between targets, losses and boxes; the images aren't square on purpose."""
    model = untrained(name, box_loss="giou").train()
    inputs = LocalizerContract.noise((96, 128), (128, 50), (30, 40))
    targets = [target(2, 10.0, 20.0, 60.0, 80.0), target(0, 5.0, 60.0, 45.0, 120.0), target(1, 20.0, 5.0, 39.0, 28.0)]
    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-3)
    for _ in range(40):
        optimizer.zero_grad()
        sum(model.losses(inputs, targets).values()).backward()
        optimizer.step()
    found = localization_accuracy(model.eval().predict(inputs), targets)
    assert found.values["accuracy50"].value == 1
