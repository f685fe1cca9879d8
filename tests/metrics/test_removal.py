"""What is left when pixels are taken away: by hand, and the imputation against its equations."""

import numpy as np
import pytest
import torch

from roibench.metrics.removal import NEIGHBOURS, average_drop, imputed, road
from roibench.model import Probe, Wrapper
from roibench.structures import Input, Prediction, Target

SIZE = 20


class Corner:
    """Class 0 is as likely as the upper left corner is bright."""

    def predict(self, inputs):
        bright = [one.image[:, :5, :5].double().mean() / 255 for one in inputs]
        return [Prediction(class_scores=torch.stack([one, 1 - one]).float()) for one in bright]


class Points(Wrapper):
    """Says that a corner counts: the right one, or the one across."""

    def __init__(self, inner, right=True):
        super().__init__(inner)
        self.corner = slice(0, 5) if right else slice(-5, None)

    def predict(self, inputs):
        maps = [torch.zeros(one.image.shape[1:]) for one in inputs]
        for one in maps:
            one[self.corner, self.corner] = 1
        return [Prediction(extra={"attribution": one}) for one in maps]


def measured(metric, explainer, image, count=3):
    inputs = [Input(f"image-{index}", image, 0) for index in range(count)]
    return metric(explainer.predict(inputs), [Target()] * count, Probe(explainer, inputs))


def picture():
    image = torch.full((3, SIZE, SIZE), 20, dtype=torch.uint8)
    image[:, :5, :5] = 250
    return image


def test_what_points_at_the_class_is_missed_most():
    right, wrong = (measured(road, Points(Corner(), one), picture()).values["ROAD"].value for one in (True, False))
    assert right > wrong + 0.1


def test_a_map_that_shows_what_counts_drops_nothing():
    found = measured(average_drop, Points(Corner()), picture()).values
    assert found["average_drop"].value == pytest.approx(0, abs=0.01) and found["average_increase"].value == 0
    found = measured(average_drop, Points(Corner(), right=False), picture()).values
    # The corner becomes grey.
    assert found["average_drop"].value == pytest.approx(1 - 0.4483 / (250 / 255), abs=0.01)


def test_confidence_may_rise():
    image = picture()
    image[:, :5, :5] = 60  # class 1 is predicted, and the more of it the darker the corner
    explainer = Points(Corner(), right=False)
    found = measured(average_drop, explainer, image).values
    assert found["average_increase"].value == 0 and found["average_drop"].value > 0
    image[:, :5, :5] = 120
    found = measured(average_drop, explainer, image).values
    assert found["average_increase"].value == 1 and found["average_drop"].value == 0


def test_removed_pixels_are_the_weighted_means_of_their_neighbours(monkeypatch):
    monkeypatch.setattr("roibench.metrics.removal.NOISE", 0.0)
    generator = np.random.default_rng(0)
    image = torch.from_numpy(generator.integers(0, 256, (3, 9, 7), dtype=np.uint8))
    removed = generator.random((9, 7)) < 0.5
    found = imputed(image, removed, torch.Generator()).double().numpy()
    assert (found[:, ~removed] == image.double().numpy()[:, ~removed]).all()
    for y, x in np.argwhere(removed):
        near = {(y + dy, x + dx): w for (dy, dx), w in NEIGHBOURS.items() if 0 <= y + dy < 9 and 0 <= x + dx < 7}
        mean = sum(w * found[:, v, u] for (v, u), w in near.items()) / sum(near.values())
        assert found[:, y, x] == pytest.approx(mean, abs=1.5), "but for rounding to bytes"


def test_noise_is_small_and_the_same_for_a_seed():
    image, removed = picture(), np.zeros((SIZE, SIZE), bool)
    removed[8:, 8:] = True
    one, same = (imputed(image, removed, torch.Generator().manual_seed(1)) for _ in range(2))
    assert one.equal(same) and 1 < one[:, 10:, 10:].float().std() < 5


def test_where_nothing_is_predicted_an_image_does_not_count():
    class Nothing:
        def predict(self, inputs):
            return [
                Prediction(boxes=torch.zeros(0, 4), labels=torch.zeros(0, dtype=torch.int64), scores=torch.zeros(0))
            ] * len(inputs)

    for metric in (road, average_drop):
        assert measured(metric, Points(Nothing()), picture()).values == {}
