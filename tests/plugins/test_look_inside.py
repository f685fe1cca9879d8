"""The poster of what is inside a model, by the command that the plugin registers."""

import pytest
import torch
from explained import untrained
from PIL import Image
from torch import nn
from typer.testing import CliRunner

from roibench import cli
from roibench.dataset import DatasetInfo
from roibench.plugins.cam.filters import first_filters, second_filters
from roibench.plugins.cam.units import look_at_units
from roibench.structures import Input, Sample, Target


class Bright:
    """Images of 64 x 64 that are grey but for a bright square, at another place in each."""

    info = DatasetInfo("bright", "val", ("first", "second", "third"), image_size=(64, 64))
    hash, unbounded = "0" * 64, False

    def __len__(self):
        return 12

    def __getitem__(self, index):
        image = torch.full((3, 64, 64), 100, dtype=torch.uint8)
        image[:, 4 * index : 4 * index + 8, 40:48] = 255 if index != 5 else 100
        return Sample(Input(f"bright-{index}", image), Target(image_label=index % 3))


class Counting(nn.Module):
    def __init__(self):
        super().__init__()
        self.feature_layer = nn.Conv2d(3, 2, 8, 4)
        with torch.no_grad():
            self.feature_layer.weight[0], self.feature_layer.weight[1] = 1.0, -1.0
        self.batch = untrained("fcn").batch

    def class_scores(self, batch):
        return self.feature_layer(batch.pixels).mean((2, 3))


def test_a_units_patches_are_what_it_sees_where_it_fires_most():
    bright, _ = look_at_units(Counting(), Bright(), 12, [0, 1])
    assert len(bright.patches) == len(bright.masked) == 6 and 5 % 3 in bright.labels
    for patch in bright.patches:
        assert patch.size == (8, 8) and patch.getextrema()[0][1] == 255
        assert sum(one == 255 for one in patch.convert("L").tobytes()) == 64, "all of the square, and nothing else"
    for masked in bright.masked:
        assert masked.size == (64, 64) and masked.getpixel((0, 0))[0] < 30 and masked.getextrema()[0][1] > 200


def test_a_unit_that_is_not_there_is_named():
    with pytest.raises(ValueError, match="unit 2: want 0 to 1"):
        look_at_units(Counting(), Bright(), 3, [2])


def test_filters_are_those_of_the_first_layer_that_sees_colours():
    model = Counting()
    with torch.no_grad():
        model.feature_layer.weight[0, 0, :4] = -1.0
    first, flat = first_filters(model)
    assert first.shape == (8, 8, 3) and first[0, 0].tolist() == [0, 1, 1] and first[7, 0].tolist() == [1, 1, 1]
    assert (flat == 0).all()
    assert first_filters(nn.Linear(2, 2)) == []


def test_deeper_filters_are_channel_by_channel_on_one_scale():
    model = nn.Sequential(nn.Conv2d(3, 4, 3), nn.Conv2d(4, 4, 1), nn.Conv2d(4, 2, 3))
    with torch.no_grad():
        model[2].weight.zero_()
        model[2].weight[1, 2, 0, 0] = 2.0
    black, one = second_filters(model, 5, 3)
    assert len(one) == 3 and all((channel == 0).all() for channel in black)
    assert [channel.max() for channel in one] == [0, 0, 1] and one[2][0, 0] == 1
    assert second_filters(model[:2], 5, 3) == []


def test_the_command_is_there_and_draws(tmp_path):
    runner, out = CliRunner(), tmp_path / "inside.png"
    assert "look-inside" in runner.invoke(cli.app, ["--help"]).output
    typed = ["look-inside", "resnet_classifier", "--images", "8", "--units", "0,3"]
    typed += ["--methods", "grad_cam,saliency", "--out", str(out)]
    found = runner.invoke(cli.app, typed)
    assert found.exit_code == 0 and f"wrote {out}" in found.output, found.output
    with Image.open(out) as picture:
        assert picture.width > 1000 and picture.height > 300
    wrong = runner.invoke(cli.app, ["look-inside", "resnet_classifier", "--units", "first"])
    assert isinstance(wrong.exception, ValueError) and "want whole numbers" in str(wrong.exception)
    assert runner.invoke(cli.app, ["look-outside"]).exit_code == 2
