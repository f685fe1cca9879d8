"""Neighbours by hand and by scikit-learn, and how far a plane of them can be trusted."""

import numpy as np
import pytest
import torch
from sklearn.neighbors import KNeighborsClassifier

from roibench.metrics.representation import nearest_neighbours
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


def test_features_of_another_length_are_named():
    with pytest.raises(ValueError, match=r"prediction of image 1: features \[2\], those of the first image have \[1\]"):
        scored([[0.0], [0.0, 1.0]], [0, 0])
