"""Calibration errors: the formula in plain loops, and what has no calibration."""

import numpy as np
import pytest
import torch

from roibench.metrics.calibration import BINS, classification_calibration, detection_calibration
from roibench.structures import Prediction, Target


def plain_error(confidence, right):
    """Guo et al. 2017, equation 3: sum over bins of |B| / n * |accuracy - confidence|, bins (low, high]."""
    error = 0.0
    for b in range(BINS):
        low, high = b / BINS, (b + 1) / BINS
        inside = [i for i, c in enumerate(confidence) if low < c <= high or (b == 0 and c == 0)]
        if inside:
            accuracy = sum(right[i] for i in inside) / len(inside)
            error += len(inside) / len(confidence) * abs(accuracy - sum(confidence[i] for i in inside) / len(inside))
    return error


def classified(scores, labels):
    predictions = [Prediction(class_scores=torch.tensor(row, dtype=torch.float64)) for row in scores]
    return classification_calibration(predictions, [Target(image_label=label) for label in labels])


def detected(*images):
    """Of each image: boxes as (x, label, score), and objects as (x, label), all 10 pixels wide."""
    predictions, targets = [], []
    for found, true in images:
        table = torch.tensor(found, dtype=torch.float64).reshape(-1, 3)
        other = torch.tensor(true, dtype=torch.float64).reshape(-1, 2)
        predictions.append(Prediction(boxes_at(table[:, 0]), table[:, 2], table[:, 1].long()))
        targets.append(Target(boxes=boxes_at(other[:, 0]), labels=other[:, 1].long()))
    return detection_calibration(predictions, targets)


def boxes_at(x):
    return torch.stack([x, torch.zeros_like(x), x + 10, torch.full_like(x, 10)], 1)


def test_of_images_it_is_the_formula():
    rng = np.random.default_rng(0)
    scores = rng.dirichlet([0.4] * 5, 300)
    labels = [int(label) for label in np.where(rng.random(300) < 0.6, scores.argmax(1), rng.integers(0, 5, 300))]
    result = classified(scores.tolist(), labels)
    one = result.values["ECE"]
    assert one.value == pytest.approx(plain_error(scores.max(1), scores.argmax(1) == labels)) and one.value > 0.05
    assert one.low < one.value < one.high
    bins = result.artefacts["reliability"].bins
    assert sum(one.count for one in bins) == 300
    again = sum(one.count * abs(one.accuracy - one.confidence) for one in bins) / 300
    assert again == pytest.approx(one.value)


def test_of_detections_it_is_the_formula_over_what_has_found_an_object():
    images = [
        ([(0, 0, 0.9), (1, 0, 0.8), (50, 1, 0.55)], [(0, 0), (50, 0)]),
        ([(0, 0, 1.0), (50, 1, 0.2), (80, 1, 1 / BINS)], [(0, 0), (52, 1), (90, 1)]),
        ([], [(0, 0)]),
    ]
    confidence, right = [0.9, 0.8, 0.55, 1.0, 0.2, 1 / BINS], [1, 0, 0, 1, 1, 0]
    assert detected(*images).values["D_ECE"].value == pytest.approx(plain_error(confidence, right))


def test_confidences_on_an_edge_belong_to_the_bin_below():
    [one] = detected(([(0, 0, 3 / BINS)], [(0, 0)])).artefacts["reliability"].bins
    assert (one.low, one.high, one.count, one.accuracy) == (2 / BINS, 3 / BINS, 1, 1)


def test_what_is_right_as_often_as_it_believes_is_calibrated():
    images = [([(0, 0, 0.5)], [(0, 0)]), ([(0, 0, 0.5)], [])]
    assert detected(*images * 10).values["D_ECE"].value == pytest.approx(0)
    assert detected(*images[1:] * 20).values["D_ECE"].value == pytest.approx(0.5)


def test_a_detection_on_a_crowd_or_an_ignored_object_does_not_count():
    prediction = Prediction(boxes_at(torch.tensor([0.0, 50])), torch.tensor([0.9, 0.3]), torch.tensor([0, 0]))
    for flag in ("crowd", "ignored"):
        true = Target(boxes=boxes_at(torch.tensor([0.0])), labels=torch.tensor([0]), **{flag: torch.tensor([True])})
        assert detection_calibration([prediction], [true]).values["D_ECE"].value == pytest.approx(0.3)


def test_without_detections_or_probabilities_there_is_none():
    nothing = detected(([], [(0, 0)]))
    assert nothing.values == {} and nothing.artefacts == {} and nothing.warnings == ()
    margins = classified([[3.5, -1], [0.2, 0.1]], [0, 1])
    assert margins.values == {} and margins.warnings == (), "which don't put its accuracy in doubt"
    why = "Scores from 0.2 to 3.5 are no probabilities, and have no calibration error."
    assert margins.artefacts["reliability"].about == why


def test_rounding_beyond_1_is_forgiven():
    assert classified([[1 + 1e-7, 0]], [0]).values["ECE"].value == pytest.approx(0, abs=1e-6)
