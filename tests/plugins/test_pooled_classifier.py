"""The residual classifier through the doors that everybody uses, and what class activation mapping relies on."""

import pytest
import torch
import torch.nn.functional as F

from roibench.assemble import build_model
from roibench.dataset import DatasetInfo
from roibench.registry import installed
from roibench.structures import Target
from roibench.tasks.classification import ClassifierContract

INFO = DatasetInfo("scenes", "val", ("circle", "square", "triangle"), image_size=(128, 128))


class TestResNetClassifier(ClassifierContract):
    model = "resnet_classifier"


def untrained(**overrides):
    torch.manual_seed(0)
    return build_model(installed().models["resnet_classifier"], INFO, overrides).eval()


@torch.no_grad()
def test_a_classs_score_is_the_mean_of_its_map_also_beside_padding():
    """What class activation mapping rests on: nothing but a mean and one linear layer follows the last maps."""
    model = untrained()
    torch.nn.init.normal_(model.head.weight)
    torch.nn.init.normal_(model.head.bias)
    batch = model.batch(ClassifierContract.noise((128, 128), (128, 70), (9, 200)))
    seen = []
    with model.feature_layer.register_forward_hook(lambda _, __, output: seen.append(output)):
        scores = model.class_scores(batch)
    [features] = seen
    maps = torch.einsum("kd,bdhw->bkhw", model.head.weight, features)
    assert torch.allclose(scores, maps.mean((2, 3)) + model.head.bias, atol=1e-5)


@torch.no_grad()
def test_padding_does_not_count_in_the_mean():
    model = untrained()
    batch = model.batch(ClassifierContract.noise((128, 128), (128, 70), (9, 200)))
    maps, features = model.backbone(batch.pixels)[-1], model.features(batch)
    for own, feature, (rows, columns) in zip(maps, features, ((8, 8), (8, 5), (1, 8)), strict=True):
        assert torch.allclose(feature.mean((1, 2)), own[:, :rows, :columns].mean((1, 2)), atol=1e-5)
        assert feature[:, rows:].abs().sum() == feature[:, :, columns:].abs().sum() == 0


def test_the_loss_is_cross_entropy_of_the_images_class():
    model = untrained()
    inputs, targets = ClassifierContract.noise((128, 128), (128, 70)), TestResNetClassifier().targets()
    losses = model.losses(inputs, targets)
    expected = F.cross_entropy(model.class_scores(model.batch(inputs)), torch.tensor([0, 2]))
    assert set(losses) == {"class"} and torch.allclose(losses["class"], expected)


@pytest.mark.parametrize("name", ["resnet_classifier", "vit", "deit"])
def test_images_learned_by_heart_are_told_apart(name):
    """A classifier that can't is broken between labels, losses and scores; the images aren't square on purpose."""
    torch.manual_seed(0)
    model = build_model(installed().models[name], INFO).train()
    inputs = ClassifierContract.noise((96, 128), (128, 50), (30, 40))
    targets = [Target(image_label=label) for label in (2, 0, 2)]
    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-3)
    for _ in range(15):
        optimizer.zero_grad()
        sum(model.losses(inputs, targets).values()).backward()
        optimizer.step()
    labels = [int(one.class_scores.argmax()) for one in model.eval().predict(inputs)]
    assert labels == [2, 0, 2]
