"""Recall of objects that stand close to their like, on boxes placed by hand."""

import pytest
import torch

from roibench.metrics.neighbours import neighbour_recall
from roibench.structures import Prediction, Target

# Two of class 0 that overlap by a third, one of class 1 on the second, one of class 0 alone.
BOXES = torch.tensor([[0.0, 0, 20, 20], [10, 0, 30, 20], [10, 0, 30, 20], [60, 60, 80, 80]])
TARGET = Target(boxes=BOXES, labels=torch.tensor([0, 0, 1, 0]))


def found(*which: int, target: Target = TARGET) -> dict[str, float]:
    index = torch.tensor(which, dtype=torch.int64)
    scores = torch.linspace(1, 0.5, len(index))
    prediction = Prediction(boxes=BOXES[index], scores=scores, labels=TARGET.labels[index])
    return {name: value.value for name, value in neighbour_recall([prediction], [target]).values.items()}


@pytest.mark.parametrize(
    ("which", "near", "apart"),
    [((0, 1, 2, 3), 1.0, 1.0), ((0, 3), 0.5, 0.5), ((2,), 0.0, 0.5), ((), 0.0, 0.0), ((0, 0, 0), 0.5, 0.0)],
)
def test_neighbours_are_of_one_class_and_overlap(which, near, apart):
    assert found(*which) == {"near": near, "apart": apart}


def test_without_neighbours_there_is_no_such_recall():
    alone = Target(boxes=BOXES[3:], labels=torch.tensor([0]))
    assert found(3, target=alone) == {"apart": 1.0}


def test_neither_crowds_nor_ignored_objects_must_be_found():
    flags = torch.tensor([False, True, False, False])
    crowd = Target(boxes=BOXES, labels=TARGET.labels, crowd=flags)
    assert found(0, target=crowd) == {"apart": pytest.approx(1 / 3)}  # a crowd is no neighbour either
    ignored = Target(boxes=BOXES, labels=TARGET.labels, ignored=flags)
    assert found(0, target=ignored) == {"near": 1.0, "apart": 0.0}


def test_images_add_up():
    predictions = [Prediction(boxes=BOXES[:1], scores=torch.ones(1), labels=torch.zeros(1, dtype=torch.int64))] * 2
    values = neighbour_recall(predictions, [TARGET, Target(boxes=BOXES[:1], labels=torch.tensor([0]))]).values
    assert values["near"].value == 0.5 and values["apart"].value == pytest.approx(1 / 3)
    assert values["apart"].low < 1 / 3 < values["apart"].high
