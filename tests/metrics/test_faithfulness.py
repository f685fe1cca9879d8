"""Insertion, deletion and parameter randomisation: by hand, and against a second implementation."""

from dataclasses import replace

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import nn

from roibench.metrics.faithfulness import (
    PROBED,
    area,
    blurred,
    insertion_deletion,
    parameter_randomization,
    rank_correlation,
)
from roibench.model import Probe, Wrapper
from roibench.structures import Input, Prediction, Target

SIZE = (46, 50)


class Brightness(nn.Module):
    """Class 0 is as likely as its region is bright and rich in contrast."""

    def __init__(self) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.tensor([0.1, 0.2, 0.3, 0.4]))

    def predict(self, inputs):
        found = []
        for one in inputs:
            bright = (one.image[:, :10, :10].double() / 255).square().mean()
            found.append(Prediction(class_scores=torch.stack([bright, 1 - bright]).float()))
        return found


class Region(Wrapper):
    """Says that the bright region is what counts, and how the parameters are ordered."""

    stages = ("map",)

    def predict(self, inputs):
        return [Prediction(extra={"attribution": self._map(one)}) for one in inputs]

    def _map(self, one):
        relevance = torch.zeros(one.image.shape[1:])
        relevance[:10, :10] = 1
        relevance[:2, 12:14] = self.inner.weight.detach().view(2, 2)
        return relevance


def picture(index):
    generator = torch.Generator().manual_seed(index)
    image = 255 * (torch.rand(3, *SIZE, generator=generator) < 0.75).to(torch.uint8)  # bright: class 0 is predicted
    return Input(f"picture-{index}", image, 0)


def explained(explainer, count=1):
    inputs = [picture(index) for index in range(count)]
    return explainer.predict(inputs), [Target(image_label=0)] * count, Probe(explainer, inputs)


def by_hand(predict, whole, relevance, label):
    """Both areas, from the definition: pixel by pixel, one image at a time."""
    height, width = relevance.shape
    order = sorted(range(height * width), key=lambda i: (-float(relevance.flatten()[i]), i))
    sigma = 5 / 224 * min(height, width)
    radius = round(sigma)
    taps = np.exp(-(np.arange(-radius, radius + 1) ** 2) / (2 * sigma**2))
    kernel = torch.tensor(np.outer(taps, taps) / taps.sum() ** 2)
    padded = F.pad(whole[None].double(), (radius,) * 4, mode="reflect")[0][:, None]
    blur = F.conv2d(padded, kernel[None, None])[:, 0].round().to(torch.uint8)
    grey = torch.tensor([0.485, 0.456, 0.406]).mul(255).round().to(torch.uint8)
    areas = []
    for start, end in ((blur, whole), (whole, grey[:, None, None].repeat(1, height, width))):
        image, heights = start.clone(), []
        for step in range(21):
            for i in order[round((step - 1) * len(order) / 20) if step else 0 : round(step * len(order) / 20)]:
                image[:, i // width, i % width] = end[:, i // width, i % width]
            heights.append(predict(image, label))
        areas.append((sum(heights) - heights[0] / 2 - heights[-1] / 2) / 20)
    return areas


def test_insertion_and_deletion_agree_with_the_definition_written_plainly():
    explainer = Region(Brightness())
    predictions, targets, probe = explained(explainer, 3)
    noise = torch.Generator().manual_seed(5)
    predictions[1] = Prediction(extra={"attribution": torch.rand(SIZE, generator=noise)})
    predictions[2] = Prediction(extra={"attribution": torch.randint(0, 4, SIZE, generator=noise).float()})  # many ties
    result = insertion_deletion(predictions, targets, probe)

    def predict(image, label):
        return float(explainer.inner.predict([Input("", image)])[0].class_scores[label])

    for index, (prediction, one) in enumerate(zip(predictions, probe.inputs, strict=True)):
        expected = by_hand(predict, one.image, prediction.get("attribution"), 0)
        found = [float(result.per_image[name][index]) for name in ("insertion", "deletion")]
        assert found == pytest.approx(expected, abs=2e-3)  # of the blur's rounding to whole grey levels
    both = result.values["insertion"].value - result.values["deletion"].value
    assert result.values["faithfulness"].value == pytest.approx(both)
    assert result.values["faithfulness"].low <= result.values["faithfulness"].value


def test_the_right_map_beats_the_wrong_one():
    explainer = Region(Brightness())
    [right], targets, probe = explained(explainer)
    wrong = Prediction(extra={"attribution": 1 - right.get("attribution")})
    good, bad = (insertion_deletion([one], targets, probe).values for one in (right, wrong))
    assert good["insertion"].value > bad["insertion"].value
    assert good["deletion"].value < bad["deletion"].value
    assert good["faithfulness"].value > 0 > bad["faithfulness"].value


def test_curves_begin_and_end_where_the_images_do():
    explainer = Region(Brightness())
    predictions, targets, probe = explained(explainer)
    curves = insertion_deletion(predictions, targets, probe).artefacts["curves"]
    whole = float(explainer.inner.predict(probe.inputs)[0].class_scores[0])
    assert curves["insertion"][-1] == curves["deletion"][0] == pytest.approx(whole)
    assert curves["deletion"][-1] == pytest.approx((124**2 + 116**2 + 104**2) / 3 / 255**2, abs=1e-4)


def test_the_area_is_that_of_trapezoids():
    heights = np.random.default_rng(0).random((3, 21))
    assert area(heights) == pytest.approx(np.trapezoid(heights, dx=1 / 20, axis=1))
    assert area(np.ones(21)) == pytest.approx(1)


def test_the_blur_is_in_proportion_to_the_image_and_leaves_the_tiniest_alone():
    for side in (1, 2, 50, 224):
        image = torch.randint(0, 256, (3, side, 2 * side), dtype=torch.uint8)
        assert blurred(image).shape == image.shape
    dot = torch.zeros(3, 224, 224, dtype=torch.uint8)
    dot[:, 100, 100] = 255
    spread = blurred(dot)[0].nonzero()
    assert spread.min(0).values.tolist() == [95, 95] and spread.max(0).values.tolist() == [105, 105]


class Says(nn.Module):
    """A detector or a segmenter that finds class 1 above all as long as the image's upper left corner is bright."""

    def __init__(self, what) -> None:
        super().__init__()
        self.what = what

    def predict(self, inputs):
        return [self._say(bool(one.image[0, 0, 0] > 200)) for one in inputs]

    def _say(self, found):
        if self.what == "boxes":
            labels = torch.tensor([0, 1, 1] if found else [0])
            scores = torch.tensor([0.5, 0.75, 0.25] if found else [0.5])
            return Prediction(boxes=torch.zeros(len(labels), 4), scores=scores, labels=labels)
        named = torch.zeros(SIZE, dtype=torch.uint8)
        named[:5] = 2
        named[5:9] = 1
        named[:, 5:] *= 1 if found else 0
        return Prediction(semantic_map=named)


@pytest.mark.parametrize(("what", "lost", "kept"), [("boxes", 0.0, 0.75), ("map", 5 / SIZE[1], 1.0)])
def test_detectors_and_segmenters_are_scored_by_the_class(what, lost, kept):
    image = torch.full((3, *SIZE), 250, dtype=torch.uint8)
    relevance = torch.arange(SIZE[0] * SIZE[1], 0, -1.0).view(SIZE)  # the corner first
    probe = Probe(Region(Says(what)), [Input("bright", image, 1)])
    result = insertion_deletion([Prediction(extra={"attribution": relevance})], [Target(image_label=1)], probe)
    assert result.artefacts["curves"]["deletion"] == pytest.approx([kept] + [lost] * 20)
    assert result.artefacts["curves"]["insertion"] == pytest.approx([kept] * 21)


class Asked(Region):
    """Says of class 0 that the bright region counts, of any other the opposite."""

    def _map(self, one):
        return super()._map(one) if one.query == 0 else -super()._map(one)


@pytest.mark.parametrize("query", [1, None])
def test_map_and_curves_are_about_the_class_that_is_predicted_whatever_was_queried(query):
    explainer = Asked(Brightness())
    predictions, targets, probe = explained(explainer, 2)
    expected = insertion_deletion(predictions, targets, probe)
    inputs = [replace(one, query=query) for one in probe.inputs]
    found = insertion_deletion(explainer.predict(inputs), [Target(image_label=1)] * 2, Probe(explainer, inputs))
    assert not torch.equal(explainer.predict(inputs)[0].get("attribution"), predictions[0].get("attribution"))
    assert found.artefacts == expected.artefacts and found.values == expected.values


NOTHING = torch.zeros(0)


@pytest.mark.parametrize(
    "nothing",
    [
        Prediction(boxes=torch.zeros(0, 4), scores=NOTHING, labels=NOTHING.long()),
        Prediction(semantic_map=torch.zeros(SIZE, dtype=torch.uint8)),
        Prediction(boxes=torch.zeros(1, 4), scores=torch.ones(1)),
    ],
    ids=["no detection", "background alone", "no class"],
)
def test_an_image_of_which_nothing_is_predicted_does_not_count(nothing, monkeypatch):
    model = Says("boxes")
    monkeypatch.setattr(model, "predict", lambda inputs: [nothing] * len(inputs))
    probe = Probe(Region(model), [picture(0)])
    result = insertion_deletion([Prediction(extra={"attribution": torch.rand(SIZE)})], [Target(image_label=0)], probe)
    assert result.values == {} and result.per_image["insertion"].isnan().all()


def test_images_beyond_the_first_hundred_are_left_out():
    explainer = Region(Brightness())
    predictions, targets, probe = explained(explainer)
    perturbed = []

    class Watched(list):
        def __getitem__(self, index):
            perturbed.append(index)
            return super().__getitem__(index)

    inputs = Watched(probe.inputs * (PROBED + 2))
    result = insertion_deletion(predictions * (PROBED + 2), targets * (PROBED + 2), Probe(explainer, inputs))
    assert perturbed == list(range(PROBED))
    assert result.per_image["insertion"].isnan().nonzero().flatten().tolist() == [PROBED, PROBED + 1]


def test_a_model_that_explains_none_is_named():
    model = Brightness()
    with pytest.raises(TypeError, match="Brightness goes around no other model"):
        insertion_deletion(
            [Prediction(extra={"attribution": torch.rand(SIZE)})], [Target(image_label=0)], Probe(model, [picture(0)])
        )


class Weights(Wrapper):
    """A map that is its model's parameters."""

    def predict(self, inputs):
        return [Prediction(extra={"attribution": self.inner.weight.detach().clone()}) for _ in inputs]


class Fixed(Weights):
    def predict(self, inputs):
        return [Prediction(extra={"attribution": torch.arange(12.0).view(3, 4)}) for _ in inputs]


@pytest.mark.parametrize(("kind", "low", "high"), [(Weights, 0.0, 0.2), (Fixed, 1.0, 1.0)])
def test_a_map_that_does_not_look_at_the_parameters_is_found_out(kind, low, high):
    explained = nn.Linear(40, 40)
    before = explained.weight.detach().clone()
    explainer = kind(explained)
    predictions = explainer.predict([picture(0)] * 2)
    probe = Probe(explainer, [picture(0)] * 2)
    result = parameter_randomization(predictions, [Target(image_label=0)] * 2, probe)
    assert low <= result.values["randomization"].value <= high
    assert any("of 2 attributions none changes" in one for one in result.warnings) == (kind is Fixed)
    assert torch.equal(explained.weight, before), "the model itself was changed"


class PerImage(Weights):
    """The maps that it is given, in turn."""

    def __init__(self, inner, *maps) -> None:
        super().__init__(inner)
        self.maps = [Prediction(extra={"attribution": one}) for one in maps]

    def predict(self, inputs):
        return [self.maps[int(one.id)] for one in inputs]


def randomized(*maps, shuffled=None):
    """The result for images with these maps, and those of the shuffled model."""
    inputs = [Input(str(index), None) for index in range(len(maps))]
    probe = Probe(PerImage(nn.Linear(2, 2), *(shuffled or maps)), inputs)
    given = [Prediction(extra={"attribution": one}) for one in maps]
    return parameter_randomization(given, [Target()] * len(maps), probe)


def test_the_null_is_the_correlation_with_the_map_of_the_image_before():
    from scipy.stats import spearmanr

    maps = torch.rand(3, 5, 6, generator=torch.Generator().manual_seed(1))
    expected = [abs(spearmanr(maps[i].flatten(), maps[i - 1].flatten()).statistic) for i in range(3)]
    result = randomized(*maps, shuffled=[*maps.flip(0)])
    assert result.per_image["null"].tolist() == pytest.approx(expected)
    assert result.values["null"].value == pytest.approx(np.mean(expected))
    assert result.values["randomization"].value != pytest.approx(np.mean(expected))


def test_maps_of_other_sizes_share_their_places():
    def slope(height, width):
        return torch.outer(torch.arange(height) + 0.5, torch.arange(width) + 0.5) / height / width

    result = randomized(slope(20, 30), slope(40, 25), slope(60, 60))
    assert result.values["null"].value == pytest.approx(1, abs=0.01)


def test_of_one_image_there_is_no_null():
    result = randomized(torch.rand(4, 4))
    assert set(result.values) == {"randomization", "constant"} and result.per_image["null"].isnan().all()


def test_constant_maps_are_counted_whichever_model_gave_them():
    flat, rising = torch.full((4, 4), 0.5), torch.arange(16.0).view(4, 4)
    result = randomized(flat, rising, rising, flat, shuffled=[rising, flat, rising.T, flat])
    assert result.per_image["constant"].tolist() == [1, 1, 0, 1]
    assert result.values["constant"].value == 0.75
    assert result.per_image["randomization"].tolist() == [0, 0, pytest.approx(8 / 17), 1]


def test_shuffling_keeps_a_parameters_numbers(monkeypatch):
    seen, predict = [], Weights.predict
    monkeypatch.setattr(Weights, "predict", lambda self, inputs: seen.append(self.inner) or predict(self, inputs))
    explained = nn.Linear(40, 40)
    probe = Probe(Weights(explained), [picture(0)])
    parameter_randomization([Prediction(extra={"attribution": explained.weight})], [Target()], probe)
    [shuffled] = seen
    assert not torch.equal(shuffled.weight, explained.weight)
    assert torch.equal(shuffled.weight.flatten().sort().values, explained.weight.flatten().sort().values)
    assert torch.equal(shuffled.bias.sort().values, explained.bias.sort().values)


def test_the_rank_correlation_is_scipys():
    from scipy.stats import spearmanr

    generator = np.random.default_rng(0)
    one, other = generator.random((9, 7)), generator.integers(0, 5, (9, 7)).astype(float)
    assert rank_correlation(one, other) == pytest.approx(spearmanr(one.ravel(), other.ravel()).statistic)
    flat = np.zeros((9, 7))
    assert (rank_correlation(flat, flat + 1), rank_correlation(flat, one)) == (1, 0)
