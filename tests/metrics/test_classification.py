from dataclasses import replace

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from roibench.metrics.classification import top_k_accuracy
from roibench.structures import Prediction, Target


def data(scores, labels):
    return [Prediction(class_scores=torch.tensor(s, dtype=torch.float32)) for s in scores], [
        Target(image_label=label) for label in labels
    ]


def values(scores, labels):
    return {name: estimate.value for name, estimate in top_k_accuracy(*data(scores, labels)).values.items()}


@st.composite
def guesses(draw):
    """Few different scores, so that ties are common."""
    classes, images = draw(st.integers(6, 9)), draw(st.integers(1, 6))
    scores = [draw(st.lists(st.integers(-2, 2), min_size=classes, max_size=classes)) for _ in range(images)]
    return scores, [draw(st.integers(0, classes - 1)) for _ in range(images)]


@settings(max_examples=60, deadline=None)
@given(guesses())
def test_the_numbers_are_those_of_sorting_by_score_then_index(guesses):
    scores, labels = guesses
    expected = {}
    for k in (1, 5):
        best = [sorted(range(len(row)), key=lambda c, row=row: (-row[c], c))[:k] for row in scores]
        expected[f"top{k}"] = np.mean([label in row for label, row in zip(labels, best, strict=True)])
    assert values(scores, labels) == pytest.approx(expected)


def test_scores_without_ties_agree_with_torch():
    scores, labels = torch.rand(200, 12, generator=torch.Generator().manual_seed(0)), torch.arange(200) % 12
    hits = scores.topk(5).indices == labels[:, None]
    expected = {"top1": hits[:, 0].double().mean().item(), "top5": hits.any(1).double().mean().item()}
    assert values(scores.tolist(), labels.tolist()) == pytest.approx(expected)


def test_a_model_that_cannot_decide_says_class_0():
    assert values([[0.5] * 6] * 6, range(6)) == pytest.approx({"top1": 1 / 6, "top5": 5 / 6})


def test_with_five_classes_top5_says_nothing():
    assert values([[1, 2, 3, 4, 5]], [4]) == {"top1": 1}


def test_per_image_and_per_class():
    result = top_k_accuracy(*data([[2, 1], [1, 2], [2, 1]], [0, 0, 1]))
    assert result.per_image["top1"].tolist() == [1, 0, 0]
    assert result.artefacts["top1 per class"] == {0: 0.5, 1: 0}


def test_the_interval_is_that_of_a_proportion():
    right = [[1.0, 0.0]] * 300 + [[0.0, 1.0]] * 100
    top1 = top_k_accuracy(*data(right, [0] * 400)).values["top1"]
    half_width = 1.96 * np.sqrt(0.75 * 0.25 / 400)
    assert (top1.low, top1.value, top1.high) == pytest.approx((0.75 - half_width, 0.75, 0.75 + half_width), abs=0.006)


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        (None, "prediction of image 1: no class_scores"),
        (torch.tensor([0.0, float("nan"), 1.0]), "prediction of image 1: NaN or infinite class_scores"),
        (torch.zeros(1, 3), r"prediction of image 1: class_scores are \[1, 3\], want \[classes\]"),
        (torch.zeros(2), "prediction of image 1: 2 class_scores, but the true class has index 2"),
        (torch.zeros(4), "class_scores of 3 and 4 classes"),
    ],
)
def test_a_broken_prediction_is_named(wrong, message):
    predictions, targets = data([[0, 0, 1]] * 2, [2] * 2)
    with pytest.raises(ValueError, match=message):
        top_k_accuracy([predictions[0], replace(predictions[1], class_scores=wrong)], targets)


def test_an_image_without_a_label_is_named():
    with pytest.raises(ValueError, match="target of image 0: no image_label"):
        top_k_accuracy(*data([[0, 1]], [None]))
