"""Images in a plane, by the command that the plugin registers."""

import numpy as np
import pytest
from explained import untrained
from PIL import Image
from typer.testing import CliRunner

from roibench import cli
from roibench.metrics.representation import Plane
from roibench.plugins.representation.features import Features
from roibench.plugins.representation.tsne import draw_planes, represented
from roibench.structures import Sample, Target
from roibench.tasks.representation import RepresentationContract

CLASSES = ("circle", "square", "star")


def run(*typed):
    return CliRunner().invoke(cli.app, ["tsne", *map(str, typed)])


def test_the_command_is_there_and_draws_both(tmp_path):
    assert "tsne" in CliRunner().invoke(cli.app, ["--help"]).output
    out = tmp_path / "new" / "plane.png"
    found = run("resnet_classifier", "--images", 20, "--out", out)
    assert found.exit_code == 0, found.output
    features, pixels, wrote = found.output.splitlines()
    assert wrote == f"wrote {out}"
    trust = [float(line.partition(": trustworthiness ")[2]) for line in (features, pixels)]
    assert all(0 < one <= 1 for one in trust) and features.startswith("features: ") and pixels.startswith("pixels: ")
    with Image.open(out) as picture:
        assert picture.width > 1500 and picture.height > 800


@pytest.mark.parametrize(
    ("typed", "words"),
    [
        (("resnet_classifier", "--images", 14), "--images 14: want 15 to 2,000"),
        (("resnet_classifier", "--images", 2001), "--images 2001: want 15 to 2,000"),
        (("resnet_clasifier",), "did you mean 'resnet_classifier'"),
        (("selective_search", "--dataset", "scenes"), "goes around a model that is Explainable"),
    ],
)
def test_what_can_not_be_drawn_is_refused_in_words(typed, words):
    found = run(*typed)
    assert isinstance(found.exception, ValueError) and words in str(found.exception)


def test_each_class_has_a_colour_and_a_name_and_what_is_about_nothing_is_grey():
    points = np.random.default_rng(0).random((6, 2))
    planes = {"features": Plane(points, 0.9), "pixels": Plane(points[::-1], 0.5)}
    labels = [0, 2, 2, None, 0, 2]
    figure = draw_planes(planes, labels, CLASSES)
    first, second = figure.axes
    assert first.get_title() == "features: trustworthiness 0.900" and second.get_title().endswith("0.500")
    drawn = {group.get_label(): group.get_offsets().tolist() for group in first.collections}
    assert drawn == {
        "nothing": points[[3]].tolist(),
        "circle": points[[0, 4]].tolist(),
        "star": points[[1, 2, 5]].tolist(),
    }
    colours = {tuple(group.get_facecolor()[0]) for group in first.collections}
    assert len(colours) == 3
    assert [text.get_text() for text in figure.legends[0].get_texts()] == ["nothing", "circle", "star"]
    named = draw_planes(planes, [0, 1, 2, 0, 1, 2], CLASSES)
    assert [text.get_text() for text in named.legends[0].get_texts()] == list(CLASSES)


def test_very_many_classes_have_no_legend():
    plane = Plane(np.random.default_rng(0).random((60, 2)), 0.9)
    assert not draw_planes({"features": plane}, range(60), [f"class {i}" for i in range(60)]).legends


def test_features_are_the_models_own_image_by_image():
    model = Features(untrained("resnet_classifier"))
    inputs = RepresentationContract.noise(*[(64, 64)] * 20)
    found = represented(model, [Sample(one, Target()) for one in inputs])
    assert found.shape[0] == 20
    [last] = model.predict(inputs[-1:])
    assert found[-1] == pytest.approx(last.get("features").numpy(), abs=1e-4)
