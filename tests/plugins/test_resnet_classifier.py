"""The residual classifier through the doors that everybody uses, and what class activation mapping relies on."""

import dataclasses

import pytest
import torch
import torch.nn.functional as F

from roibench.assemble import build_model
from roibench.dataset import DatasetInfo
from roibench.registry import installed
from roibench.tasks.classification import ClassifierContract

INFO = DatasetInfo("scenes", "val", ("circle", "square", "triangle"), image_size=(128, 128))


class TestResNetClassifier(ClassifierContract):
    model = "resnet_classifier"


def untrained(**overrides):
    torch.manual_seed(0)
    return build_model(installed().models["resnet_classifier"], INFO, overrides).eval()


@torch.no_grad()
def test_a_classs_score_is_the_mean_of_its_map():
    """What class activation mapping rests on: nothing but a mean and one linear layer follows the last features."""
    model = untrained()
    batch = model.batch(ClassifierContract.noise((128, 128), (128, 70)))
    features, _ = model.features(model.backbone(batch.pixels), batch)
    torch.nn.init.normal_(model.head.weight)
    maps = torch.einsum("kc,bchw->bkhw", model.head.weight, features)
    assert torch.allclose(model.class_scores(batch), maps.mean((2, 3)) + model.head.bias, atol=1e-5)


@torch.no_grad()
def test_attention_goes_to_objects_and_never_to_padding():
    model = untrained()
    torch.nn.init.zeros_(model.attention[-1].weight)
    batch = model.batch(ClassifierContract.noise((128, 128), (128, 70)))
    features, parts = model.features(model.backbone(batch.pixels), batch)
    shares = F.avg_pool2d(parts.softmax(1), 4)
    objects = shares[:, 1:].sum(1, keepdim=True)
    objects[1, :, :, 18:] = 0
    mean = objects.mean((2, 3), keepdim=True)
    assert torch.allclose(features[:, -4:], shares * objects / mean, rtol=1e-3)  # by the objects' shares alone
    torch.nn.init.normal_(model.attention[-1].weight)
    learned, _ = model.features(model.backbone(batch.pixels), batch)
    weights = (learned / features)[:, -4:]
    assert weights[0].std() > 0.01
    assert torch.allclose(weights[0, :1].expand(4, -1, -1), weights[0], rtol=1e-3)  # one for all maps of a location
    assert learned[1, :, :, 18:].abs().max() == 0
    assert torch.allclose(learned[:, -4:].sum(1).mean((1, 2)), torch.ones(2))  # their mean is 1


@torch.no_grad()
def test_an_image_of_nothing_is_looked_at_evenly():
    model = untrained()
    model.decoder.scores[-1].bias[0] = 1e4  # background, beyond any doubt
    [one] = model.predict(ClassifierContract.noise((128, 128)))
    assert one.class_scores.isfinite().all()


def test_the_loss_is_cross_entropy_beside_that_of_pixels():
    model = untrained()
    inputs, targets = ClassifierContract.noise((128, 128), (128, 128)), TestResNetClassifier().targets()
    batch = model.batch(inputs)
    logits = model.class_scores(batch)
    losses = model.losses(inputs, targets)
    assert torch.allclose(losses["class"], 0.1 * F.cross_entropy(logits, torch.tensor([0, 2])))


@pytest.mark.parametrize("name", ["resnet_classifier", "vit"])
def test_images_learned_by_heart_are_told_apart(name):
    """A classifier that can't is broken between labels, losses and scores; the images aren't square on purpose."""
    torch.manual_seed(0)
    model = build_model(installed().models[name], INFO).train()
    inputs = ClassifierContract.noise((96, 128), (128, 50), (30, 40))
    [first, second] = TestResNetClassifier().targets()
    targets = [dataclasses.replace(one, semantic_map=None) for one in (second, first, second)]
    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-3)
    for _ in range(15):
        optimizer.zero_grad()
        sum(model.losses(inputs, targets).values()).backward()
        optimizer.step()
    labels = [int(one.class_scores.argmax()) for one in model.eval().predict(inputs)]
    assert labels == [2, 0, 2]
