"""DeiT through the doors that everybody uses: its second token, its teacher, its two heads."""

from types import SimpleNamespace

import pytest
import torch
import torch.nn.functional as F

from roibench.assemble import build_model
from roibench.dataset import DatasetInfo
from roibench.registry import installed
from roibench.structures import Prediction
from roibench.tasks.classification import ClassifierContract

INFO = DatasetInfo("scenes", "val", ("circle", "square", "triangle"), image_size=(128, 128))


class TestDeiT(ClassifierContract):
    model = "deit"


@pytest.fixture
def model():
    torch.manual_seed(0)
    return build_model(installed().models["deit"], INFO).eval()


class Teacher(torch.nn.Module):
    """Calls every image a square, and remembers which it was asked of."""

    def __init__(self):
        super().__init__()
        self.weight = torch.nn.Parameter(torch.zeros(1))
        self.asked = []

    def predict(self, inputs):
        self.asked += [one.id for one in inputs]
        return [Prediction(class_scores=torch.tensor([0.2, 0.7, 0.1])) for _ in inputs]


def heads(model, inputs):
    """The logits of the class token's head, and of the distillation token's."""
    batch = model.batch(inputs)
    tokens = model.encode(model.tokens(batch.pixels), model.padding_bias(batch))
    return model.head(tokens[:, 0]), model.distillation_head(tokens[:, 1])


def test_the_distillation_token_learns_what_the_teacher_says_and_the_class_token_what_is_true(model):
    inputs, targets = ClassifierContract.noise((128, 128), (128, 70)), TestDeiT().targets()
    by_class, by_distillation = heads(model, inputs)
    true, taught = torch.tensor([0, 2]), torch.tensor([1, 1])
    for teacher, labels in ((None, true), (Teacher().predict, taught)):
        model.teacher = teacher
        losses = model.losses(inputs, targets)
        assert torch.allclose(losses["class"], F.cross_entropy(by_class, true) / 2)
        assert torch.allclose(losses["distillation"], F.cross_entropy(by_distillation, labels) / 2)


def test_the_teacher_is_asked_of_the_images_in_training_and_is_no_part_of_the_student(model):
    teacher, names, states = Teacher(), set(model.state_dict()), []
    inputs, targets = ClassifierContract.noise((128, 128), (128, 70)), TestDeiT().targets()

    def train(student, data):
        student.train().losses(inputs, targets)
        states.append(set(student.state_dict()))

    model.fit(None, SimpleNamespace(fit=train, teacher=teacher))
    assert teacher.asked == [one.id for one in inputs]
    assert states == [names] and "weight" not in names
    assert model.teacher is None, "what is kept or sent to another process is the student alone"


@torch.no_grad()
def test_probabilities_are_the_mean_of_both_heads(model):
    for head in (model.head, model.distillation_head):
        torch.nn.init.normal_(head.weight)
    inputs = ClassifierContract.noise((128, 128), (128, 70))
    mean = sum(logits.softmax(1) for logits in heads(model, inputs)) / 2
    for one, expected in zip(model.predict(inputs), mean, strict=True):
        assert torch.allclose(one.class_scores, expected, atol=1e-6)


@torch.no_grad()
def test_it_is_vit_but_for_one_token_and_its_head(model):
    vit = build_model(installed().models["vit"], INFO)
    more = {name: value.shape for name, value in model.state_dict().items() if name not in vit.state_dict()}
    assert more == {"distillation_token": (128,), "distillation_head.weight": (3, 128), "distillation_head.bias": (3,)}
    tokens = model.tokens(torch.randn(2, 3, 128, 128))
    assert tokens.shape == (2, 2 + 8 * 8, 128)
    assert torch.equal(tokens[:, :2], torch.stack([model.class_token, model.distillation_token]).expand(2, -1, -1))
    vit.load_state_dict({name: value for name, value in model.state_dict().items() if name in vit.state_dict()})
    assert not any(isinstance(layer, torch.nn.Conv2d) for layer in model.encoder.modules())
    pixels = torch.randn(1, 3, 128, 128)
    assert torch.equal(model.tokens(pixels)[:, 2:], vit.tokens(pixels)[:, 1:])
