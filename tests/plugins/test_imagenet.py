"""ImageNet's own network under a dataset's names."""

import os
from pathlib import Path

import pytest
import torch
import torch.nn.functional as F

from roibench.assemble import build_model
from roibench.dataset import DatasetInfo
from roibench.measure.plan import Options, PlanError, make_plan
from roibench.metrics.faithfulness import insertion_deletion
from roibench.model import Probe
from roibench.nn.backbones import imagenet_mobilenet_v2
from roibench.plugins.classification.imagenet import efficientnet_lite_weights
from roibench.plugins.classification.imagenet_classes import _NAMES, CATEGORIES, imagenet_members
from roibench.predict import read_image
from roibench.registry import installed
from roibench.structures import Input, Target
from roibench.tasks.attribution import AttributionContract, ModelContract

INFO = DatasetInfo("photos", "val", ("dog", "person", "Zebra"))


MODELS = ("imagenet_mobilenet", "imagenet_efficientnet_lite")


@pytest.fixture(autouse=True)
def weights():
    try:
        imagenet_mobilenet_v2(download=False)
        efficientnet_lite_weights()
    except FileNotFoundError as reason:
        pytest.skip(str(reason))


class TestImageNetMobileNet(ModelContract):
    model = "imagenet_mobilenet"
    info = INFO


class TestEfficientNetLite(ModelContract):
    model = "imagenet_efficientnet_lite"
    info = INFO


class TestGradCAMOfImageNet(AttributionContract):
    model = "grad_cam@imagenet_mobilenet"
    info = INFO


def test_classes_are_found_by_coco_names_and_by_imagenets_own():
    dog, person, zebra, owl = imagenet_members(["dog", "person", "Zebra", "great_grey_owl"])
    assert CATEGORIES[dog[0]] == "Chihuahua" and CATEGORIES[dog[-1]] == "Mexican hairless" and len(dog) == 118
    assert person == [] and [CATEGORIES[i] for i in zebra] == ["zebra"]
    assert [CATEGORIES[i] for i in owl] == ["great grey owl"]


def test_every_name_in_the_table_is_imagenets():
    assert {name for names in _NAMES.values() for name in names} <= set(CATEGORIES)
    members = imagenet_members(list(_NAMES))
    assert [len(found) for found in members] == [len(names) for names in _NAMES.values()]


@pytest.mark.parametrize("name", MODELS)
def test_a_class_is_as_likely_as_its_members_together(name):
    model = build_model(installed().models[name], INFO).eval()
    inputs = ModelContract.noise((224, 224), (100, 180))
    with torch.no_grad():
        probabilities = model.logits(model.batch(inputs)).softmax(1)
    for one, prediction in zip(probabilities, model.predict(inputs), strict=True):
        dog, person, zebra = prediction.class_scores.tolist()
        assert dog == pytest.approx(float(one[151:269].sum()), rel=1e-4)
        assert (person, zebra) == (0, pytest.approx(float(one[340]), rel=1e-4))


def test_a_dataset_that_imagenet_knows_nothing_of_is_skipped():
    with pytest.raises(PlanError, match="ImageNet has none of the classes of dataset 'scenes': circle"):
        make_plan(Options(models=["imagenet_mobilenet", "grad_cam@imagenet_mobilenet"]), installed())


@pytest.fixture
def photographs():
    """Four of ImageNet's own photographs: name of the class, image."""
    data = os.environ.get("ROIBENCH_DATA")
    folder = Path(data or "") / "imagenet_samples"
    if not data or not folder.is_dir():
        pytest.skip(f"ImageNet's samples are not at {folder}" if data else "ROIBENCH_DATA is not set")
    files = sorted(folder.glob("*.JPEG"))[::13]
    return [(file.stem.partition("_")[2].replace("_", " "), read_image(file)) for file in files]


@pytest.mark.parametrize("model", MODELS)
def test_photographs_are_recognised_and_what_speaks_for_them_is_what_counts(photographs, model):
    names = tuple(name for name, _ in photographs)
    info = DatasetInfo("samples", "val", names)
    explainer = build_model(installed().model(f"grad_cam@{model}"), info).eval()
    inputs = [
        Input(name, F.interpolate(image[None], (224, 224), mode="bilinear", antialias=True)[0], index)
        for index, (name, image) in enumerate(photographs)
    ]
    top = [int(one.class_scores.argmax()) for one in explainer.inner.predict(inputs)]
    assert sum(label == index for index, label in enumerate(top)) >= 3
    targets = [Target(image_label=index) for index in range(len(names))]
    values = insertion_deletion(explainer.predict(inputs), targets, Probe(explainer, inputs)).values
    assert values["insertion"].value > values["deletion"].value + 0.1
