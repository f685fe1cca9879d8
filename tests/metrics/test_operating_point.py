"""Thresholds, F1, classes and the confusion matrix: plain loops, by hand, and on hard cases."""

import numpy as np
import pytest
import torch

from roibench.metrics.confusion import confusion_matrix
from roibench.metrics.detection import coco_ap, pair_boxes
from roibench.metrics.fields import by_image
from roibench.metrics.operating_point import operating_point
from roibench.structures import Prediction, Target


def image(found, true, **flags):
    """Boxes as (x, label, score) and objects as (x, label), all 10 pixels wide and high."""
    table = torch.tensor(found, dtype=torch.float64).reshape(-1, 3)
    other = torch.tensor(true, dtype=torch.float64).reshape(-1, 2)
    named = {name: torch.tensor(values) for name, values in flags.items()}
    return (
        Prediction(boxes_at(table[:, 0]), table[:, 2], table[:, 1].long()),
        Target(boxes=boxes_at(other[:, 0]), labels=other[:, 1].long(), **named),
    )


def boxes_at(x):
    return torch.stack([x, torch.zeros_like(x), x + 10, torch.full_like(x, 10)], 1)


def scored(*images):
    return operating_point(*zip(*images, strict=True))


def confusion(*images, threshold=0.0):
    labels, counts = confusion_matrix([pair_boxes(*one) for one in by_image(*zip(*images, strict=True))], threshold)
    return labels.tolist(), counts.tolist()


MIXED = [
    image([(0, 0, 0.9), (50, 0, 0.6), (80, 1, 0.4)], [(0, 0), (50, 1)]),
    image([(0, 0, 0.8), (30, 1, 0.7), (2, 0, 0.3)], [(0, 0), (30, 1), (60, 1)]),
    image([], [(0, 0)]),
]


def plain_f1(images, threshold, label=None):
    """At IoU 0.5, of images on which no object has two good detections of its class."""
    hits = found = objects = 0
    for prediction, target in images:
        true = [(x, k) for x, k in zip(target.boxes[:, 0].tolist(), target.labels.tolist(), strict=True)]
        mine = [k in (None, label) or label is None for _, k in true]
        objects += sum(mine)
        for x, k, score in zip(prediction.boxes[:, 0].tolist(), prediction.labels.tolist(), prediction.scores.tolist(),
                               strict=True):  # fmt: skip
            if score >= threshold and label in (None, k):
                found += 1
                if (x, k) in true:
                    hits += 1
    return 2 * hits / (found + objects)


def test_f1_is_the_highest_over_thresholds():
    result = scored(*MIXED)
    steps = np.linspace(0, 1, 101)
    assert result.values["F1"].value == pytest.approx(max(plain_f1(MIXED, step) for step in steps))
    line = dict(result.artefacts["F1"].lines)
    assert max(f1 for _, f1 in line[0]) == pytest.approx(2 * 2 / (2 + 3))


def test_classes_have_their_own_threshold():
    rows = scored(*MIXED).artefacts["classes"].rows
    columns = list(scored(*MIXED).artefacts["classes"].columns)
    circle = dict(zip(columns, rows[0], strict=True))
    assert (circle["objects"], circle["detections"]) == (3, 4)
    assert circle["best threshold"] == 0.8 and circle["precision"] == 1 and circle["recall"] == pytest.approx(2 / 3)
    assert circle["F1"] == pytest.approx(0.8)
    ap = coco_ap(*zip(*MIXED, strict=True)).artefacts["AP per class"]
    assert {label: row[2].value for label, row in rows.items()} == pytest.approx(ap)
    assert circle["AP"].low <= circle["AP"].value <= circle["AP"].high
    assert "was chosen on the images that it is scored on" in scored(*MIXED).artefacts["classes"].about


def test_the_best_threshold_has_the_highest_f1_and_is_the_higher_of_equals():
    images = [image([(0, 0, 0.9), (50, 0, 0.8), (30, 0, 0.5), (60, 0, 0.4), (70, 0, 0.3)], [(0, 0), (50, 0), (70, 0)])]
    row = scored(*images).artefacts["classes"].rows[0]
    assert row[5] == 0.8 and row[6] == pytest.approx(0.8), "not the one with the highest recall"
    equals = [image([(0, 0, 0.9), (30, 0, 0.8), (60, 0, 0.7), (50, 0, 0.6)], [(0, 0), (50, 0)])]
    assert scored(*equals).artefacts["classes"].rows[0][5] == 0.9, "2/3 as at 0.6"


def test_means_over_classes_are_cocos():
    rows = scored(*MIXED).artefacts["classes"].rows
    values = coco_ap(*zip(*MIXED, strict=True)).values
    for place, name in ((3, "AP50"), (4, "AR100")):
        assert np.mean([row[place] for row in rows.values()]) == pytest.approx(values[name].value)


def test_the_curve_of_precision_has_the_area_of_ap50():
    result = scored(*MIXED)
    for label, line in result.artefacts["precision and recall"].lines.items():
        area = np.mean([precision for _, precision in line])
        assert area == pytest.approx(result.artefacts["classes"].rows[label][3])


def test_a_class_without_objects_one_never_predicted_and_one_never_found():
    result = scored(
        image([(0, 0, 0.9), (50, 2, 0.8)], [(0, 0), (30, 1)]),
        image([(0, 0, 0.9), (90, 3, 0.7)], [(0, 0), (30, 1), (60, 3)]),
    )
    rows = result.artefacts["classes"].rows
    assert rows[2] == (0, 1, *(None,) * 7), "nothing is defined without objects"
    assert (rows[1][0], rows[1][1]) == (2, 0) and rows[1][2].value == 0 and rows[1][5:] == (None, 0, None, 0)
    assert rows[3][5:] == (None, 0, None, 0), "no threshold is best where nothing is right"
    assert rows[3][2] == 0, "on one image there is no interval"
    assert set(result.artefacts["F1"].lines) == {0, 1, 3}


def test_without_objects_and_without_detections():
    empty = scored(image([(0, 0, 0.9)], []))
    assert empty.values == {} and list(empty.artefacts) == ["classes"]
    assert scored(image([], [])).artefacts["classes"].rows == {}
    nothing = scored(image([], [(0, 0)]), image([], [(0, 0)]))
    assert nothing.values["F1"].value == 0
    assert nothing.artefacts["confusion"].counts == [[0, 2], [0, 0]]
    assert nothing.artefacts["precision and recall"].marks == {}


def test_scores_may_leave_the_unit_interval():
    result = scored(image([(0, 0, 7.0), (50, 0, -3.0)], [(0, 0)]))
    assert result.values["F1"].value == 1 and result.artefacts["F1"].span == (-3, 7)
    assert result.artefacts["classes"].rows[0][5] == 7


def test_a_confusion_counts_each_detection_and_each_object_once():
    labels, counts = confusion(*MIXED)
    #                 circle, square, background
    assert counts == [[2, 0, 1], [1, 1, 1], [1, 1, 0]] and labels == [0, 1]
    assert confusion(*MIXED, threshold=0.65)[1] == [[2, 0, 1], [0, 1, 2], [0, 0, 0]]


def test_its_diagonal_is_what_ap50_finds_and_the_own_class_comes_first():
    near = image([(2, 0, 0.9), (1, 1, 0.8)], [(0, 1), (4, 0)])
    assert confusion(near)[1] == [[1, 0, 0], [0, 1, 0], [0, 0, 0]], "although the other object is nearer to the first"
    duplicate = image([(0, 0, 0.9), (1, 0, 0.8)], [(0, 0)])
    assert confusion(duplicate)[1] == [[1, 0], [1, 0]]


@pytest.mark.parametrize("flag", ["crowd", "ignored"])
def test_what_lies_on_a_crowd_or_an_ignored_object_is_not_confused(flag):
    passed_over = image([(0, 0, 0.9), (50, 1, 0.8)], [(0, 0), (50, 0)], **{flag: [True, False]})
    assert confusion(passed_over) == ([0, 1], [[0, 1, 0], [0, 0, 0], [0, 0, 0]])
