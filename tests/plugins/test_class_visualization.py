"""Gradient ascent on the score of a class, and the command around it."""

import pytest
import torch
from explained import untrained
from PIL import Image
from torch import nn
from typer.testing import CliRunner

from roibench import cli
from roibench.plugins.cam.class_visualization import Ascent, visualize

SHORT = Ascent(steps=20, blur=0.0, jitter=0)


class Red(nn.Module):
    """Class 0 is the more red, class 1 the less."""

    def __init__(self):
        super().__init__()
        self.batch = untrained("fcn").batch

    def class_scores(self, batch):
        red = batch.pixels[:, 0].mean((1, 2))
        return torch.stack([red, -red], 1)


def test_the_image_is_what_raises_the_score():
    grey, red = visualize(Red(), 0, 16, Ascent(steps=0)), visualize(Red(), 0, 16, Ascent(steps=200, l2=0.0))
    assert red.score > grey.score + 1 and red.probability > 0.9
    assert (red.image[0] > 240).all() and (red.image[1:].int() - grey.image[1:].int()).abs().max() <= 2
    assert (visualize(Red(), 1, 16, Ascent(steps=200, l2=0.0)).image[0] < 15).all()


def test_lambda_keeps_it_grey():
    free, bound = (visualize(Red(), 0, 16, Ascent(steps=100, l2=l2)) for l2 in (0.0, 5.0))
    assert bound.score < free.score and bound.image[0].float().mean() < free.image[0].float().mean() - 50


def test_a_seed_gives_the_same_image_and_starts_differ():
    model = untrained("resnet_classifier")
    noisy = Ascent(steps=5, noise=0.3)
    one, same, other = (visualize(model, 1, 128, noisy, seed) for seed in (1, 1, 2))
    assert one.image.equal(same.image) and not one.image.equal(other.image)
    assert one.image.shape == (3, 128, 128) and one.image.dtype == torch.uint8


def test_the_model_is_left_as_it_was():
    model = untrained("resnet_classifier").train()
    before = {name: value.clone() for name, value in model.state_dict().items()}
    visualize(model, 0, 32, SHORT)
    assert model.training and all(value.equal(before[name]) for name, value in model.state_dict().items())
    assert all(parameter.grad is None for parameter in model.parameters())


def test_what_is_no_class_is_named():
    with pytest.raises(ValueError, match="class 3: want 0 to 2"):
        visualize(untrained("resnet_classifier"), 3, 32, SHORT)


def test_the_command_says_whether_another_network_agrees(tmp_path):
    out = tmp_path / "images.png"
    typed = ["class-images", "resnet_classifier", "--judge", "vit", "--classes", "star,ring", "--starts", "1"]
    found = CliRunner().invoke(cli.app, [*typed, "--steps", "3", "--out", str(out)])
    assert found.exit_code == 0, found.output
    assert (
        "star, start 0: score " in found.output and "vit agrees on " in found.output and f"wrote {out}" in found.output
    )
    with Image.open(out) as picture:
        assert picture.width > 2 * 128 and picture.height > 128
    wrong = CliRunner().invoke(cli.app, [*typed[:4], "--classes", "unicorn"])
    assert isinstance(wrong.exception, ValueError) and "--classes 'unicorn': want some of " in str(wrong.exception)
