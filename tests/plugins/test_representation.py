"""Features and pixels, through the doors that everybody uses."""

import torch
from explained import queried, untrained

from roibench.plugins.representation.features import Features, Pixels
from roibench.structures import Input
from roibench.tasks.representation import RepresentationContract


class TestFeatures(RepresentationContract):
    model = "features@resnet_classifier"


class TestFeaturesOfAPyramid(RepresentationContract):
    model = "features@retinanet"


class TestPixels(RepresentationContract):
    model = "pixels@resnet_classifier"


def test_a_classifiers_features_are_what_its_last_layer_sees():
    model, [one] = untrained("resnet_classifier"), queried(None, size=(128, 70))
    [found] = Features(model).predict([one])
    scores = model.class_scores(model.batch([one]))[0]
    assert torch.allclose(model.head(found.get("features")), scores, atol=1e-5)


def test_pixels_are_those_of_the_image():
    grey = torch.full((3, 40, 60), 51, dtype=torch.uint8)
    [found] = Pixels(untrained("resnet_classifier")).predict([Input("grey", grey)])
    assert found.get("features").shape == (768,) and torch.allclose(found.get("features"), torch.tensor(0.2))
