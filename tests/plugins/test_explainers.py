"""Explanations by pixels and masks, against other libraries and by their definitions."""

import pytest
import torch
import torch.nn.functional as F
import torchcam.methods
import torchvision
from captum.attr import Deconvolution, GuidedBackprop, GuidedGradCam
from captum.attr import Occlusion as CaptumOcclusion
from captum.attr import Saliency as CaptumSaliency
from explained import InPlace, Scores, queried, traces, untrained
from torch import nn

from roibench.nn.images import batch_images
from roibench.plugins.cam.grad_cam_plus_plus import GradCAMPlusPlus
from roibench.plugins.cam.occlusion import Occlusion
from roibench.plugins.cam.pixels import ReLUsBackward, ask, deconvnet, evaluating, guided, pixel_gradients
from roibench.plugins.cam.saliency import GuidedGradCAM, RuledBackward, Saliency
from roibench.plugins.cam.score_cam import ScoreCAM
from roibench.structures import Input
from roibench.tasks.attribution import AttributionContract

KINDS = (
    Saliency,
    lambda model: RuledBackward(model, deconvnet),
    lambda model: RuledBackward(model, guided),
    GuidedGradCAM,
    GradCAMPlusPlus,
    ScoreCAM,
    Occlusion,
)


class TestSaliency(AttributionContract):
    model = "saliency@resnet_classifier"


class TestDeconvnet(AttributionContract):
    model = "deconvnet@resnet_classifier"


class TestGuidedBackprop(AttributionContract):
    model = "guided_backprop@fcn"


class TestGuidedGradCAM(AttributionContract):
    model = "guided_grad_cam@resnet_classifier"


class TestGradCAMPlusPlus(AttributionContract):
    model = "grad_cam_plus_plus@resnet_classifier"


class TestScoreCAM(AttributionContract):
    model = "score_cam@resnet_classifier"


class TestOcclusion(AttributionContract):
    model = "occlusion@resnet_classifier"


class Modules(nn.Module):
    """A classifier whose ReLUs are modules, as captum's hooks want them, with max pooling."""

    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.feature_layer = nn.Sequential(
            nn.Conv2d(3, 8, 3, 2, 1), nn.ReLU(), nn.MaxPool2d(2), nn.Conv2d(8, 8, 3, 1, 1)
        )
        self.rest = nn.Sequential(nn.ReLU(), nn.Conv2d(8, 8, 3, 1, 1), nn.ReLU())
        self.head = nn.Linear(8, 3)

    def batch(self, inputs):
        return batch_images(inputs, torch.device("cpu"), None, 1000, 4)

    def class_scores(self, batch):
        return self.head(self.rest(self.feature_layer(batch.pixels)).mean((2, 3)))

    def predict(self, inputs):
        raise NotImplementedError


class Functions(Modules):
    """The same network, whose ReLUs are functions and methods."""

    def class_scores(self, batch):
        first, _, pool, second = self.feature_layer
        _, third, _ = self.rest
        x = second(pool(F.relu(first(batch.pixels), inplace=True)))
        return self.head(torch.relu(third(x.relu())).mean((2, 3)))


def found(explainer, one):
    return explainer.predict([one])[0].get("attribution")


def asked(model, one):
    with evaluating(model):
        return ask(model, model.batch([one]), [one])


def theirs(method, model, one, **options):
    batch = model.batch([one])
    return method(Scores(model, batch)).attribute(batch.pixels.clone().requires_grad_(), one.query, **options).detach()


def close(one, other):
    return torch.allclose(one, other, rtol=1e-4, atol=1e-5 * float(other.abs().max()))


@pytest.mark.parametrize(("name", "config"), [("resnet_classifier", {}), ("retinanet", {}), ("fcn", {})])
def test_saliency_is_captums(name, config):
    model, [one] = untrained(name, **config), queried(1, size=(128, 128))
    expected = theirs(CaptumSaliency, model, one)[0].amax(0)
    assert expected.max() > 0 and close(found(Saliency(model), one), expected)


@pytest.mark.parametrize(("rule", "method"), [(deconvnet, Deconvolution), (guided, GuidedBackprop)])
@pytest.mark.parametrize("kind", [Modules, Functions])
def test_rules_of_relus_are_captums_whether_modules_or_functions(rule, method, kind):
    model, [one] = kind().eval(), queried(2)
    expected = theirs(method, Modules().eval(), one)[0]
    ours = pixel_gradients(model, asked(model, one), model.batch([one]).pixels, rule)[0]
    plain = pixel_gradients(model, asked(model, one), model.batch([one]).pixels)[0]
    assert close(ours, expected) and not close(ours, plain)
    assert close(found(RuledBackward(model, rule), one), expected.abs().amax(0))


def test_relu6_is_a_relu_with_an_upper_end():
    x = torch.tensor([-1.0, 1.0, 5.0, 7.0], requires_grad=True)
    for call in (nn.ReLU6(), F.relu6, nn.ReLU6(inplace=True)):
        with ReLUsBackward(guided):
            y = call(x.clone())
        assert y.tolist() == [0, 1, 5, 6]
        [gradient] = torch.autograd.grad(y, x, torch.tensor([1.0, -1.0, 2.0, 1.0]))
        assert gradient.tolist() == [0, 0, 2, 0]


def test_torchvisions_networks_follow_the_rules_too():
    torch.manual_seed(0)
    network = torchvision.models.mobilenet_v2(weights=None).eval()
    pixels = torch.randn(1, 3, 64, 64, requires_grad=True)
    with ReLUsBackward(deconvnet):
        score = network(pixels)[0, 5]
    [ours] = torch.autograd.grad(score, pixels)
    [plain] = torch.autograd.grad(network(pixels)[0, 5], pixels)
    assert ours.abs().sum() > 0 and not close(ours, plain)


def test_guided_grad_cam_is_guided_backpropagation_times_grad_cam():
    model, [one] = Modules().eval(), queried(1)
    batch = model.batch([one])
    scores = Scores(model, batch)
    method = GuidedGradCam(scores, model.feature_layer)
    expected = method.attribute(batch.pixels.clone().requires_grad_(), 1, interpolate_mode="bilinear")[0].detach()
    assert expected.abs().max() > 0
    assert close(found(GuidedGradCAM(model), one), expected.abs().amax(0))


@pytest.mark.parametrize(("name", "config"), [("resnet_classifier", {}), ("fcn", {})])
def test_score_cam_is_torchcams(name, config):
    model, [one] = untrained(name, **config), queried(1)
    batch = model.batch([one])
    scores = Scores(model, batch)
    with torchcam.methods.ScoreCAM(scores, model.feature_layer) as extractor, torch.no_grad():
        scores(batch.pixels.clone())
        [expected] = extractor(1, normalized=False)
    expected = F.interpolate(expected[None], (64, 64), mode="bilinear", align_corners=False)[0, 0]
    assert expected.max() > 0 and close(found(ScoreCAM(model, masks=7), one), expected)


def test_grad_cam_plus_plus_weighs_by_derivatives_of_the_exponential():
    """Equation 10 with derivatives of exp(score), taken by autograd."""
    torch.manual_seed(0)
    features = torch.rand(1, 2, 2, 2, dtype=torch.float64).requires_grad_()
    weight = torch.randn(2, 2, 2, dtype=torch.float64)
    score = (features[0] * weight).sum() / 4
    first = torch.autograd.grad(score.exp(), features, create_graph=True)[0]

    def again(gradient):
        """The derivative of each number by the location that it is of."""
        rows = [
            torch.autograd.grad(one, features, create_graph=True)[0].flatten()[i]
            for i, one in enumerate(gradient.flatten())
        ]
        return torch.stack(rows).view_as(features)

    second = again(first)
    third = again(second)
    alpha = second / (2 * second + features.sum((2, 3), keepdim=True) * third)
    weights = (alpha * first.relu()).sum((2, 3)) / score.exp()
    expected = (weights[:, :, None, None] * features).sum(1).relu().detach()
    gradient = torch.autograd.grad(score, features)[0]
    ours = GradCAMPlusPlus.maps(features.detach(), gradient)
    assert close(ours.double(), expected)


@pytest.mark.parametrize(("patch", "step"), [(16, 8), (20, 20)])
def test_occlusion_is_captums(patch, step):
    model, [one] = untrained("fcn"), queried(1)
    batch = model.batch([one])
    options = {"sliding_window_shapes": (3, patch, patch), "strides": (3, step, step), "baselines": 0}
    with torch.no_grad():
        expected = CaptumOcclusion(Scores(model, batch)).attribute(batch.pixels.clone(), target=1, **options)[0, 0]
    assert expected.abs().max() > 0 and close(found(Occlusion(model, patch, step), one), expected)


def test_a_patch_over_the_object_costs_the_most():
    model = InPlace().eval()
    model.feature_layer, model.rest, model.head = nn.AvgPool2d(4), nn.ReLU(), nn.Linear(3, 3)
    nn.init.constant_(model.head.weight, 1.0)
    image = torch.full((3, 64, 96), 110, dtype=torch.uint8)
    image[:, 8:24, 60:80] = 255
    relevance = found(Occlusion(model, 8, 4), Input("bright", image, 0))
    y, x = divmod(int(relevance.argmax()), 96)
    assert 8 <= y < 24 and 60 <= x < 80 and relevance.shape == (64, 96)


def test_smooth_grad_is_the_mean_over_noise_and_the_same_every_time():
    model, [one] = untrained("resnet_classifier"), queried(1)
    plain, smooth = found(Saliency(model), one), found(Saliency(model, samples=4), one)
    assert smooth.equal(found(Saliency(model, samples=4), one)) and not close(plain, smooth)
    assert close(found(Saliency(model, samples=3, sigma=0.0), one), plain)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("mode", [torch.enable_grad, torch.no_grad, torch.inference_mode])
def test_an_explanation_leaves_no_trace_also_where_it_fails(kind, mode, monkeypatch):
    torch.manual_seed(0)
    model = InPlace().train()
    next(model.parameters()).requires_grad_(False)
    before = traces(model)
    with mode():
        assert found(kind(model), queried(1)[0]).abs().max() > 0
        assert traces(model)[:4] == before[:4]
        with monkeypatch.context() as patch:
            patch.setattr(model.rest, "forward", lambda *_: 1 / 0)
            with pytest.raises(ZeroDivisionError):
                kind(model).predict(queried(1))
    assert traces(model) == before


@pytest.mark.parametrize("kind", KINDS)
def test_black_tiny_and_grey_images_have_maps_without_nan(kind):
    model = untrained("resnet_classifier")
    images = [torch.zeros(3, 30, 30), torch.full((3, 1, 1), 128), torch.full((3, 40, 7), 128)]
    for one in images:
        relevance = found(kind(model), Input("flat", one.to(torch.uint8), 0))
        assert relevance.isfinite().all() and relevance.shape == one.shape[1:]


@pytest.mark.parametrize("kind", [kind for kind in KINDS if kind is not ScoreCAM])  # whose maps all weigh alike then
def test_where_nothing_speaks_for_a_class_the_map_is_zero(kind):
    model = InPlace().eval()
    nn.init.zeros_(model.head.weight)
    assert found(kind(model), queried(1)[0]).abs().max() == 0


@pytest.mark.parametrize("kind", KINDS)
def test_images_in_a_batch_are_explained_as_if_alone(kind):
    explainer = kind(untrained("resnet_classifier"))
    inputs = [*queried(0, 2), *queried(1, size=(50, 90))]
    for one, together in zip(inputs, explainer.predict(inputs), strict=True):
        assert torch.allclose(
            together.get("attribution"), found(explainer, one), atol=1e-3 * float(found(explainer, one).abs().max())
        )
