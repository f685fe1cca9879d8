"""Explanations through the doors that everybody uses, against other libraries, and without a trace on the model."""

import gc
from contextlib import contextmanager

import numpy as np
import pytest
import torch
import torchcam.methods
from captum.attr import LayerGradCam
from explained import InPlace, Scores, queried, traces, untrained
from torch import nn

from roibench.metrics.faithfulness import parameter_randomization
from roibench.model import Probe
from roibench.plugins.cam.baselines import Center, Edges, Random
from roibench.plugins.cam.cam import CAM
from roibench.plugins.cam.grad_cam import GradCAM, activation_maps
from roibench.structures import Input, Target
from roibench.tasks.attribution import AttributionContract

# The other libraries look at a layer that is called once.
ONE_LEVEL = {"widths": (32, 48), "blocks": (2,), "strides": (4,)}
EXPLAINED = [("resnet_classifier", {}), ("retinanet", ONE_LEVEL), ("fcn", {})]


class TestCAM(AttributionContract):
    model = "cam@resnet_classifier"


class TestGradCAM(AttributionContract):
    model = "grad_cam@resnet_classifier"


class TestGradCAMOfADetection(AttributionContract):
    model = "grad_cam@retinanet"


class TestGradCAMOfASegmentation(AttributionContract):
    model = "grad_cam@fcn"


class TestCenter(AttributionContract):
    model = "center@resnet_classifier"
    looks_at_the_class = False


class TestRandom(AttributionContract):
    model = "random@resnet_classifier"
    looks_at_the_class = False


class TestEdges(AttributionContract):
    model = "edges@resnet_classifier"
    looks_at_the_class = False


def coarse_map(explainer, one):
    """Grad-CAM's map before it is enlarged, [h, w], and what other libraries need to make theirs."""
    model = explainer.inner
    batch = model.batch([one])
    maps = []
    resize = type(batch).to_images
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(type(batch), "to_images", lambda self, found: maps.append(found) or resize(self, found))
        explainer.predict([one])
    return maps[0][0], Scores(model, batch), batch.pixels.clone()


@pytest.mark.parametrize(("name", "config"), EXPLAINED)
@pytest.mark.parametrize("query", [0, 2])
def test_grad_cam_is_captums(name, config, query):
    [one] = queried(query)
    found, scores, pixels = coarse_map(GradCAM(untrained(name, **config)), one)
    theirs = LayerGradCam(scores, scores.model.feature_layer).attribute(pixels, query, relu_attributions=True)
    assert found.max() > 0
    theirs = theirs.detach()
    assert torch.allclose(found, theirs[0, 0], rtol=1e-4, atol=1e-4 * float(theirs.max()))


@pytest.mark.parametrize(("name", "config"), EXPLAINED)
def test_grad_cam_is_torchcams(name, config):
    [one] = queried(1)
    found, scores, pixels = coarse_map(GradCAM(untrained(name, **config)), one)
    with torchcam.methods.GradCAM(scores, scores.model.feature_layer) as extractor:
        [theirs] = extractor(1, scores(pixels.requires_grad_()), normalized=False)
    assert torch.allclose(found, theirs[0], rtol=1e-4, atol=1e-4 * float(theirs.max()))


def test_cam_is_torchcams():
    [one] = queried(1)
    found, scores, pixels = coarse_map(CAM(untrained("resnet_classifier")), one)
    with torchcam.methods.CAM(scores, scores.model.feature_layer, fc_layer=scores.model.head) as extractor:
        scores(pixels)
        [theirs] = extractor(1, normalized=False)
    assert torch.allclose(found, theirs[0], rtol=1e-4, atol=1e-4 * float(theirs.max()))


def test_a_detection_is_explained_on_its_own_level():
    model = untrained("retinanet")
    inputs = queried(0, 2)
    found = torch.stack([one.get("attribution") for one in GradCAM(model).predict(inputs)])
    batch = model.batch(inputs)
    activations = []
    with model.class_subnet.last.register_forward_hook(lambda _, __, out: activations.append(out)):
        logits = model.class_subnet(model.pyramid(model.backbone(batch.pixels)))
    levels = [torch.stack([level[i, :, c].max() for level in logits]).argmax() for i, c in enumerate((0, 2))]
    for i, (level, label) in enumerate(zip(levels, (0, 2), strict=True)):
        [gradient] = torch.autograd.grad(logits[level][i, :, label].max(), activations[level], retain_graph=True)
        weights = gradient[i].mean((1, 2))
        own = (weights[:, None, None] * activations[level][i]).sum(0).relu().detach()[None, None]
        own = nn.functional.interpolate(own, (64, 64), mode="bilinear", align_corners=False)[0, 0]
        assert own.max() > 0
        assert torch.allclose(found[i], own, rtol=1e-4, atol=1e-4 * float(own.max()))


def test_a_map_by_hand():
    features = torch.tensor([[[1.0, 2.0], [0.0, 4.0]], [[3.0, 0.0], [1.0, 1.0]]])[None]
    gradient = torch.tensor([[[1.0, 1.0], [1.0, 1.0]], [[-4.0, 0.0], [0.0, 0.0]]])[None]  # weights 1 and -1
    assert activation_maps(features, gradient)[0].tolist() == [[0, 2], [0, 3]]


@pytest.mark.parametrize("size", [(128, 128), (128, 72), (50, 90), (300, 20)])
def test_cams_mean_is_the_score(size):
    model = untrained("resnet_classifier")
    nn.init.normal_(model.head.bias)
    [one] = queried(2, size=size)
    found, scores, pixels = coarse_map(CAM(model), one)
    assert torch.allclose(found.mean() + model.head.bias[2], scores(pixels)[0, 2], atol=1e-5)


def test_grad_cam_of_a_linear_head_is_the_positive_part_of_cam():
    model = untrained("resnet_classifier")
    inputs = queried(0, 1, size=(128, 128))
    _, cam = (kind(model) for kind in (GradCAM, CAM))
    for one in inputs:
        linear, _, _ = coarse_map(cam, one)
        positive, _, _ = coarse_map(GradCAM(model), one)
        assert torch.allclose(positive / positive.max(), linear.relu() / linear.max(), atol=1e-4)


def test_without_a_query_the_highest_scoring_class_is_explained():
    model = untrained("resnet_classifier")
    [one] = queried(None)
    highest = int(model.class_scores(model.batch([one])).argmax())
    same, named = GradCAM(model).predict([one, Input(one.id, one.image, highest)])
    assert torch.equal(same.get("attribution"), named.get("attribution"))


@pytest.mark.parametrize("query", [3, -1, "first", 0.5])
def test_what_is_no_class_is_named(query):
    with pytest.raises(ValueError, match=r"input 'noise-0': query: want a class index from 0 to 2, got"):
        GradCAM(untrained("resnet_classifier")).predict(queried(query))


@pytest.mark.parametrize(("kind", "name"), [(CAM, "retinanet"), (GradCAM, "detr"), (CAM, "vit")])
def test_what_can_not_be_explained_is_refused(kind, name):
    with pytest.raises(TypeError, match="goes around a model that is"):
        kind(untrained(name))


@contextmanager
def bystanders(model):
    """A model halfway through a training, with flags and hooks of its owner."""
    model.train()
    next(model.parameters()).requires_grad_(False)
    model.head.eval()
    model.feature_layer.register_forward_hook(lambda *_: None)
    before = traces(model)
    yield
    assert traces(model) == before


@pytest.mark.parametrize("kind", [CAM, GradCAM])
@pytest.mark.parametrize("mode", [torch.enable_grad, torch.no_grad, torch.inference_mode])
def test_an_explanation_leaves_no_trace(kind, mode):
    torch.manual_seed(0)
    model = InPlace()
    with bystanders(model), mode():
        [prediction] = kind(model).predict(queried(1))
        assert prediction.get("attribution").std() > 0


@pytest.mark.parametrize("kind", [CAM, GradCAM])
def test_nor_does_one_that_fails(kind, monkeypatch):
    model = InPlace()
    explainer = kind(model)
    for broken in ("rest", "feature_layer"):
        with monkeypatch.context() as patch, bystanders(model):
            patch.setattr(getattr(model, broken), "forward", lambda *_: 1 / 0)
            with pytest.raises(ZeroDivisionError):
                explainer.predict(queried(1))
    with bystanders(model), pytest.raises(ValueError, match="query"):
        explainer.predict(queried(7))


def test_an_in_place_relu_leaves_the_features_as_they_were():
    torch.manual_seed(0)
    model = InPlace().eval()
    [one] = queried(1)
    found = GradCAM(model).predict([one])[0].get("attribution")
    for module in model.modules():
        if isinstance(module, nn.ReLU):
            module.inplace = False
    assert torch.equal(found, GradCAM(model).predict([one])[0].get("attribution"))


def test_a_thousand_explanations_keep_nothing():
    torch.manual_seed(0)
    explainer = GradCAM(InPlace())
    inputs = queried(*[1] * 10, size=(16, 16))

    def tensors():
        gc.collect()
        return sum(type(one) is torch.Tensor for one in gc.get_objects())

    explainer.predict(inputs)
    before = tensors()
    for _ in range(100):
        explainer.predict(inputs)
    assert tensors() <= before


def test_images_in_a_batch_are_explained_as_if_alone():
    explainer = GradCAM(untrained("resnet_classifier"))
    inputs = [*queried(0, 2), *queried(1, size=(50, 90))]
    for one, together in zip(inputs, explainer.predict(inputs), strict=True):
        alone = explainer.predict([one])[0].get("attribution")
        assert torch.allclose(together.get("attribution"), alone, atol=1e-4 * float(alone.max()))


def test_the_map_lies_where_the_class_is():
    """The logit counts bright locations: the map must be bright there, also in an image that was resized and padded."""
    model = InPlace().eval()
    model.feature_layer = nn.AvgPool2d(4)
    model.rest, model.head = nn.ReLU(), nn.Linear(3, 3)
    nn.init.constant_(model.head.weight, 1.0)
    image = torch.zeros(3, 50, 90, dtype=torch.uint8)
    image[:, 10:20, 60:80] = 255
    for kind in (CAM, GradCAM):
        relevance = kind(model).predict([Input("bright", image, 0)])[0].get("attribution")
        y, x = divmod(int(relevance.argmax()), 90)
        assert relevance.shape == (50, 90) and 10 <= y < 20 and 60 <= x < 80
        assert relevance[30:, :40].max() <= 0


def test_a_segments_score_is_its_mean_over_the_pixels_named_so():
    model = untrained("fcn")
    batch = model.batch(queried(0, size=(64, 64)))
    scores = model.scores(batch.pixels).detach()
    named = scores[0].argmax(0)
    for label, score in enumerate(model.class_scores(batch)[0].detach()):
        own = scores[0, label + 1]
        region = named == label + 1
        assert torch.allclose(score, own[region].mean() if region.any() else own.mean(), atol=1e-4)


def test_a_detections_score_is_that_of_the_highest_scoring_box():
    model = untrained("retinanet")
    inputs = queried(0, size=(64, 64))
    model.config = model.config.__class__(score_threshold=0.0)
    [prediction] = model.predict(inputs)
    scores = model.class_scores(model.batch(inputs))[0].detach().sigmoid()
    for label, score in enumerate(scores):
        assert prediction.scores[prediction.labels == label].max() == pytest.approx(float(score), abs=1e-5)


def test_weights_are_those_of_the_explained_model(tmp_path):
    explainer, other = untrained("grad_cam@resnet_classifier"), untrained("resnet_classifier")
    assert set(explainer.state_dict()) == set(other.state_dict())
    nn.init.ones_(other.head.bias)
    explainer.load_state_dict(other.state_dict())
    assert (explainer.inner.head.bias == 1).all()


def test_the_centre_is_the_middle_and_falls_off():
    relevance = Center(InPlace()).predict(queried(None, size=(31, 51)))[0].get("attribution")
    assert divmod(int(relevance.argmax()), 51) == (15, 25)
    assert relevance[0, 0] < relevance[0, 25] < relevance[15, 25] == 1
    # A quarter of each side is one standard deviation.
    large = Center(InPlace()).predict(queried(None, size=(400, 800)))[0].get("attribution")
    for one in (large[100, 400], large[200, 200]):
        assert float(one) == pytest.approx(np.exp(-0.5), rel=0.01)


def test_random_depends_on_the_image_alone():
    inputs = queried(0, 1)
    again = Random(InPlace()).predict(inputs[::-1])[::-1]
    for one, other in zip(Random(InPlace()).predict(inputs), again, strict=True):
        assert torch.equal(one.get("attribution"), other.get("attribution"))
    assert not torch.equal(again[0].get("attribution"), again[1].get("attribution"))


@pytest.mark.parametrize(
    ("kind", "looks"), [(CAM, True), (GradCAM, True), (Center, False), (Random, False), (Edges, False)]
)
def test_of_what_does_not_look_at_the_model_a_score_tells(kind, looks):
    explainer = kind(untrained("resnet_classifier"))
    inputs = queried(0, 1, 2)
    result = parameter_randomization(explainer.predict(inputs), [Target()] * 3, Probe(explainer, inputs))
    assert (result.values["randomization"].value == pytest.approx(1)) != looks
    assert (result.warnings == ()) == looks
    if kind is Center:  # nor at the image
        assert result.values["null"].value == pytest.approx(1)


def test_edges_lie_where_the_grey_changes():
    image = torch.zeros(3, 40, 40, dtype=torch.uint8)
    image[:, :, 20:] = 200
    relevance = Edges(InPlace()).predict([Input("step", image)])[0].get("attribution")
    assert relevance[:, 19:21].min() > 0
    assert relevance[:, :19].max() == relevance[:, 21:].max() == 0
