"""SCOUTER: what its scores are made of, and what they say."""

import pytest
import torch
import torch.nn.functional as F

from roibench.assemble import build_model
from roibench.dataset import DatasetInfo
from roibench.plugins.classification.scouter import SlotAttention
from roibench.registry import installed
from roibench.tasks.attribution import AttributionContract
from roibench.tasks.classification import ClassifierContract

INFO = DatasetInfo("noise", "val", ("first", "second", "third"), image_size=(128, 128))


class TestScouter(ClassifierContract):
    model = "scouter"


class TestScouterNegative(ClassifierContract):
    model = "scouter_negative"


class TestOwnMaps(AttributionContract):
    model = "own_maps@scouter"


def untrained(**config):
    torch.manual_seed(0)
    return build_model(installed().models["scouter"], INFO, config).eval()


@torch.no_grad()
def test_a_score_is_the_sum_of_what_is_attended_to():
    """Over channels, of the values at each location, as much as the class's slot attends to it."""
    model = untrained()
    batch = model.batch(ClassifierContract.noise((128, 128), (128, 70)))
    maps, values = model.class_maps(batch), model._values(batch)
    locations = values.sum(1)[:, None]
    expected = model.gain.exp() * (maps * locations).sum((2, 3)) / (values.shape[2] * values.shape[3])
    assert torch.allclose(model.class_scores(batch), expected, rtol=1e-4, atol=1e-6)
    assert maps.min() >= 0 and maps.max() < 1 and maps[1, :, :, 5:].abs().max() == 0, "nothing is seen in the padding"


@torch.no_grad()
def test_a_negative_slot_takes_from_its_class():
    batch = untrained().batch(ClassifierContract.noise((128, 128)))
    assert untrained().class_scores(batch).equal(-untrained(positive=False).class_scores(batch))


@torch.no_grad()
def test_attention_may_be_everywhere_or_nowhere():
    slots = SlotAttention(2, 8, 1)
    slots.query.weight.zero_(), slots.query.bias.fill_(1.0), slots.key.weight.zero_()
    for bias, expected in ((9.0, 1.0), (-9.0, 0.0)):
        slots.key.bias.fill_(bias)
        attention, _ = slots(torch.rand(1, 5, 8), torch.zeros(5, 8))
        assert torch.allclose(attention, torch.full((1, 2, 5), expected), atol=1e-4)


@torch.no_grad()
def test_keys_know_where_they_are_and_values_do_not():
    torch.manual_seed(0)
    slots = SlotAttention(2, 8, 1)
    values, positions = torch.rand(1, 5, 8), torch.randn(5, 8)
    attention, gathered = slots(values, positions)
    moved, _ = slots(values, positions.flip(0))
    assert not torch.allclose(attention, moved)
    assert torch.allclose(gathered, attention @ values / 5)


def test_the_area_is_learned_by_its_power():
    inputs, targets = ClassifierContract.noise((128, 128), (128, 128)), TestScouter().targets()
    losses = untrained(area_weight=3.0, area_power=2.0).losses(inputs, targets)
    model = untrained()
    batch = model.batch(inputs)
    assert torch.allclose(losses["area"], 3 * model.class_maps(batch).mean() ** 2)
    expected = F.cross_entropy(model.class_scores(batch), torch.tensor([one.image_label for one in targets]))
    assert torch.allclose(losses["class"], expected)


def test_another_classifier_has_no_maps_of_its_own():
    with pytest.raises(TypeError, match=r"goes around a model that is ExplainsItself; PooledClassifier lacks"):
        build_model(installed().model("own_maps@resnet_classifier"), INFO)
