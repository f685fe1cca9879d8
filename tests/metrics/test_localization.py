from dataclasses import replace

import numpy as np
import pytest
import torch
from torchvision.ops import box_iou

from roibench.metrics.localization import localization_accuracy
from roibench.structures import Prediction, Target

CIRCLE, SQUARE = 0, 1
TARGET = Target(
    boxes=torch.tensor([[0.0, 0, 10, 10], [20, 0, 30, 10], [40, 0, 60, 20]]),
    labels=torch.tensor([CIRCLE, SQUARE, CIRCLE]),
    main=2,
)


def guess(box, label):
    scores = torch.tensor([0.9, 0.1] if label == CIRCLE else [0.1, 0.9])
    return Prediction(boxes=torch.tensor([box], dtype=torch.float32), class_scores=scores)


def values(predictions, targets):
    return {name: estimate.value for name, estimate in localization_accuracy(predictions, targets).values.items()}


@pytest.mark.parametrize(
    ("box", "label", "accuracy", "known", "mean", "iou"),
    [
        ([40, 0, 60, 20], CIRCLE, 1, 1, 1, 1),
        ([40, 0, 60, 20], SQUARE, 0, 1, 1, 1),  # the class counts
        ([0, 0, 10, 10], CIRCLE, 1, 1, 1, 1),  # another object of the main one's class
        ([20, 0, 30, 10], CIRCLE, 0, 0, 0, 0),  # an object of another class
        ([20, 0, 30, 10], SQUARE, 0, 0, 0, 0),  # rightly named, but not what the image is about
        ([0, 0, 10, 5], CIRCLE, 1, 1, 2 / 3, 0.5),  # exactly half is enough
        ([0, 0, 10, 4.9], CIRCLE, 0, 0, 1 / 3, 0.49),
        ([0, 0, 10, 2.9], CIRCLE, 0, 0, 0, 0.29),
    ],
)
def test_a_guess_by_hand(box, label, accuracy, known, mean, iou):
    expected = {"accuracy50": accuracy, "known_class50": known, "MaxBoxAccV2": mean, "box_iou": iou}
    assert values([guess(box, label)], [TARGET]) == pytest.approx(expected, abs=1e-6)


def test_random_guesses_agree_with_the_definition_written_plainly():
    generator = torch.Generator().manual_seed(0)
    predictions, targets, rows = [], [], []
    for _ in range(80):
        boxes = torch.rand(6, 4, generator=generator) * 20
        boxes[:, 2:] += boxes[:, :2] + 5
        labels, scores = torch.randint(2, (5,), generator=generator), torch.rand(2, generator=generator)
        main = int(torch.randint(5, (1,), generator=generator))
        predictions.append(Prediction(boxes=boxes[:1], class_scores=scores))
        targets.append(Target(boxes=boxes[1:], labels=labels, main=main))
        overlaps = box_iou(boxes[:1].double(), boxes[1:].double())[0]
        best = max(float(o) for o, label in zip(overlaps, labels, strict=True) if label == labels[main])
        mean = sum(best >= threshold for threshold in (0.3, 0.5, 0.7)) / 3
        rows.append([best >= 0.5 and scores.argmax() == labels[main], best >= 0.5, mean, best])
    names = ("accuracy50", "known_class50", "MaxBoxAccV2", "box_iou")
    expected = dict(zip(names, np.mean(rows, axis=0, dtype=float), strict=True))
    assert values(predictions, targets) == pytest.approx(expected, abs=1e-12)
    assert 0 < expected["accuracy50"] < expected["known_class50"] < 1


def test_only_the_first_box_is_the_answer():
    wrong, right = guess([70, 70, 80, 80], CIRCLE), guess([40, 0, 60, 20], CIRCLE)
    both = replace(wrong, boxes=torch.cat([wrong.boxes, right.boxes]))
    assert values([both], [TARGET])["accuracy50"] == 0
    assert values([replace(both, boxes=both.boxes.flip(0))], [TARGET])["accuracy50"] == 1


def test_no_box_is_wrong():
    nothing = replace(guess([0, 0, 1, 1], CIRCLE), boxes=torch.zeros(0, 4))
    assert set(values([nothing], [TARGET]).values()) == {0}


def test_a_crowd_is_no_object_to_find():
    crowd = replace(TARGET, crowd=torch.tensor([True, False, False]))
    assert values([guess([0, 0, 10, 10], CIRCLE)], [crowd])["accuracy50"] == 0


def test_images_about_nothing_do_not_count():
    empty = Target(boxes=torch.zeros(0, 4), labels=torch.zeros(0, dtype=torch.int64))
    guesses = [guess([40, 0, 60, 20], CIRCLE)] * 2
    result = localization_accuracy(guesses, [TARGET, empty])
    assert result.values["accuracy50"].value == 1
    assert result.per_image["accuracy50"].isnan().tolist() == [False, True]
    assert localization_accuracy(guesses, [empty] * 2).values == {}


@pytest.mark.parametrize(
    ("prediction", "target", "message"),
    [
        ({"boxes": None}, {}, "prediction of image 1: no boxes"),
        ({"boxes": torch.full((1, 4), float("nan"))}, {}, "prediction of image 1: NaN or infinite boxes"),
        ({"class_scores": None}, {}, "prediction of image 1: no class_scores"),
        ({}, {"main": 3}, "target of image 1: main is 3, but it has 3 boxes"),
        ({}, {"labels": torch.zeros(2)}, "target of image 1: 2 labels for 3 boxes"),
    ],
)
def test_what_is_broken_is_named(prediction, target, message):
    good = guess([40, 0, 60, 20], CIRCLE)
    with pytest.raises(ValueError, match=message):
        localization_accuracy([good, replace(good, **prediction)], [TARGET, replace(TARGET, **target)])
