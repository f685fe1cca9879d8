"""The class that an image is about, which an explanation explains."""

import pytest
import torch

from roibench.structures import Target
from roibench.tasks.attribution import Attribution, main_class

BOXES = torch.tensor([[0.0, 0, 10, 10], [0, 0, 30, 30], [0, 0, 20, 20]])
LABELS = torch.tensor([5, 6, 7])


@pytest.mark.parametrize(
    ("target", "label"),
    [
        (Target(image_label=0, boxes=BOXES, labels=LABELS, main=2), 0),
        (Target(boxes=BOXES, labels=LABELS, main=2), 7),
        (Target(boxes=BOXES, labels=LABELS), 6),
        (Target(boxes=BOXES, labels=LABELS, areas=torch.tensor([9.0, 8, 7])), 5),
        (Target(boxes=BOXES, labels=LABELS, crowd=torch.tensor([False, True, False])), 7),
        (Target(boxes=BOXES, labels=LABELS, ignored=torch.tensor([False, True, True])), 5),
        (Target(boxes=BOXES, labels=LABELS, crowd=torch.tensor([True] * 3)), None),
        (Target(boxes=BOXES[:0], labels=LABELS[:0]), None),
        (Target(), None),
    ],
)
def test_an_image_is_about_its_label_its_main_object_or_its_largest(target, label):
    assert main_class(target) == label
    assert Attribution().query(target) == label
