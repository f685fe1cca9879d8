"""Neighbours by hand and by scikit-learn, and how far a plane of them can be trusted."""

import numpy as np
import pytest
import torch
from sklearn.neighbors import KNeighborsClassifier

from roibench.metric import cost_of
from roibench.metrics.representation import lay_out, nearest_neighbours
from roibench.structures import Prediction, Target


def scored(features, labels):
    predictions = [Prediction(extra={"features": torch.tensor(one, dtype=torch.float32)}) for one in features]
    return nearest_neighbours(predictions, [Target(image_label=int(one)) for one in labels])


def test_a_row_of_images_by_hand():
    features = [[0.0], [1.0], [2.1], [10.0], [11.0], [12.1], [30.0]]
    found = scored(features, [0, 0, 1, 2, 2, 2, 2])
    values = {name: one.value for name, one in found.values.items()}
    assert values["neighbour_1"] == pytest.approx(6 / 7) and values["neighbour_5"] == pytest.approx(6 / 7)
    assert found.per_image["neighbour_1"].tolist() == [1, 1, 0, 1, 1, 1, 1]
    assert found.per_image[cost_of("neighbour_1")].tolist() == pytest.approx([-1 / 42] * 2 + [1 / 7] + [-1 / 42] * 4)
    assert "trustworthiness" not in values, "too few for a plane"


def test_equal_images_are_not_their_own_neighbours():
    found = scored([[0.0]] * 8, [0, 1, 1, 1, 1, 1, 1, 1])
    assert found.per_image["neighbour_5"][0] == 0
    assert found.per_image["neighbour_5"][1:].tolist() == [1] * 7


def test_majorities_are_scikit_learns():
    generator = np.random.default_rng(0)
    labels = generator.integers(0, 3, 60)
    features = generator.normal(size=(60, 4)) + labels[:, None]
    found = scored(features, labels)
    expected = []
    for index in range(60):
        others = np.arange(60) != index
        model = KNeighborsClassifier(5).fit(np.float32(features)[others], labels[others])
        near = labels[others][model.kneighbors(np.float32(features)[[index]], return_distance=False)[0]]
        counts = [(near == one).sum() for one in near]
        expected.append(float(near[int(np.argmax(counts))] == labels[index]))
    assert found.per_image["majority_5"].tolist() == pytest.approx(expected)
    plane = found.artefacts["plane"]
    assert len(plane["x"]) == len(plane["y"]) == 60 and plane["label"] == labels.tolist()
    assert 0.7 < found.values["trustworthiness"].value <= 1
    assert found.values["neighbour_1"].low < found.values["neighbour_1"].value < found.values["neighbour_1"].high


def test_too_few_images_have_no_neighbours():
    assert scored([[0.0]] * 5, [0] * 5).values == {}


def test_of_many_images_the_first_make_the_plane_and_all_have_neighbours(monkeypatch):
    """How far a plane can be trusted compares each image with each: its memory must not grow with all of them."""
    monkeypatch.setattr("roibench.metrics.representation.MOST", 20)
    features, labels = np.random.default_rng(0).normal(size=(70, 4)), np.arange(70) % 3
    found, first = scored(features, labels), scored(features[:20], labels[:20])
    assert found.artefacts["plane"] == first.artefacts["plane"] and len(found.artefacts["plane"]["label"]) == 20
    assert found.values["trustworthiness"].value == first.values["trustworthiness"].value
    assert len(found.per_image["neighbour_1"]) == 70


def test_a_plane_that_keeps_neighbours_can_be_trusted_and_the_same_features_give_the_same_one():
    line = np.linspace(0, 1, 40)[:, None] * np.ones(6)
    plane = lay_out(line)
    assert plane.points.shape == (40, 2) and plane.trustworthiness > 0.95
    assert np.array_equal(lay_out(line).points, plane.points)
    noise = np.random.default_rng(0).normal(size=(40, 500))
    assert lay_out(noise).trustworthiness < plane.trustworthiness
    with pytest.raises(ValueError, match="a plane of 14 images says nothing; want 15 or more"):
        lay_out(line[:14])


def test_features_of_another_length_are_named():
    with pytest.raises(ValueError, match=r"prediction of image 1: features \[2\], those of the first image have \[1\]"):
        scored([[0.0], [0.0, 1.0]], [0, 0])
