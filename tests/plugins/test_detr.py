"""DETR through the doors that everybody uses; its layers against torch.nn's."""

import dataclasses
import itertools
import math

import pytest
import torch
from torch import nn
from torchvision.ops import sigmoid_focal_loss

from roibench.assemble import build_model
from roibench.dataset import DatasetInfo
from roibench.nn.images import batch_images
from roibench.nn.targets import BoxTargets
from roibench.plugins.transformer.detr import (
    DecoderLayer,
    Gaussians,
    Memory,
    near_objects,
)
from roibench.registry import installed
from roibench.tasks.detection import DetectorContract

INFO = DatasetInfo("scenes", "val", ("circle", "square", "triangle"), image_size=(128, 128))


class TestDETR(DetectorContract):
    model = "detr"


def untrained(**overrides):
    torch.manual_seed(0)
    return build_model(installed().models["detr"], INFO, overrides).eval()


def centre_boxes(*shape: int) -> torch.Tensor:
    return torch.cat([0.3 + 0.4 * torch.rand(*shape, 2), 0.05 + 0.3 * torch.rand(*shape, 2)], dim=-1)


def test_the_gaussians_are_gaussians():
    torch.manual_seed(0)
    gaussians = Gaussians(8, 2)
    nn.init.normal_(gaussians.shape.weight, std=0.2)
    query, boxes, locations = torch.randn(1, 3, 8), centre_boxes(1, 3), torch.rand(1, 5, 4)
    memory = Memory(torch.zeros(1, 5, 8), torch.zeros(1, 5, 8), locations, torch.tensor([[False] * 4 + [True]]))
    bias = gaussians(query, boxes, memory)
    shape = gaussians.shape(query)[0].unflatten(-1, (2, 4)).tolist()
    for head, number, token in itertools.product(range(2), range(3), range(4)):
        (x, y, w, h), (dx, dy, log_w, log_h) = boxes[0, number].tolist(), shape[number][head]
        px, py = locations[0, token, :2].tolist()
        zx = (px - x - dx * w) / max(0.01, math.exp(log_w) * w)
        zy = (py - y - dy * h) / max(0.01, math.exp(log_h) * h)
        assert bias[0, head, number, token].item() == pytest.approx(-(zx**2 + zy**2) / 2, rel=1e-3, abs=1e-3)
    assert (bias[..., 4] < -1e8).all()


def test_the_decoder_layer_is_torchs():
    torch.manual_seed(0)
    ours = DecoderLayer(16, 4, 32)
    reference = nn.TransformerDecoderLayer(16, 4, 32, dropout=0.0, batch_first=True, norm_first=True).eval()
    with torch.no_grad():
        for mine, theirs in (
            (ours.self_attention, reference.self_attn),
            (ours.cross_attention, reference.multihead_attn),
        ):
            projections = (mine.query, mine.key, mine.value)
            theirs.in_proj_weight.copy_(torch.cat([layer.weight for layer in projections]))
            theirs.in_proj_bias.copy_(torch.cat([layer.bias for layer in projections]))
            theirs.out_proj.load_state_dict(mine.output.state_dict())
    for mine, theirs in (
        (ours.self_norm, reference.norm1),
        (ours.cross_norm, reference.norm2),
        (ours.feed_forward_norm, reference.norm3),
        (ours.feed_forward[0], reference.linear1),
        (ours.feed_forward[2], reference.linear2),
    ):
        nn.init.normal_(mine.weight, 0.5, 0.2)
        theirs.load_state_dict(mine.state_dict())
    nn.init.constant_(ours.gaussian.shape.bias, 4.0)  # Gaussians so wide that they change nothing
    x, tokens = torch.randn(2, 5, 16), torch.randn(2, 7, 16)
    memory = Memory(tokens, torch.zeros_like(tokens), torch.rand(2, 7, 4), torch.zeros(2, 7, dtype=torch.bool))
    mine = ours(x, torch.zeros_like(x), 1000 * centre_boxes(2, 5), memory, groups=1)
    assert torch.allclose(mine, reference(x, tokens), atol=1e-4)


def test_groups_do_not_see_each_other():
    model = untrained()
    tokens = torch.randn(1, 12, model.config.dim)
    memory = Memory(tokens, torch.zeros_like(tokens), torch.rand(1, 12, 4), torch.zeros(1, 12, dtype=torch.bool))
    boxes = centre_boxes(1, 3, 25)
    together, _ = model.decoder(memory, boxes)
    assert together.shape[2] == 3
    alone, _ = model.decoder(memory, boxes[:, :1])
    assert torch.allclose(together[:, :, :1], alone, atol=1e-5)


def test_ignored_objects_are_as_if_they_were_not_there():
    two = DetectorContract.objects((10, 10, 60, 60, 0), (70, 40, 100, 110, 2))
    with_ignored = dataclasses.replace(two, ignored=torch.tensor([False, True]))
    one = DetectorContract.objects((10, 10, 60, 60, 0))
    found = []
    for target in (with_ignored, one, two):
        model = untrained().train()
        found.append(model.losses(DetectorContract.noise((128, 128)), [target]))
    assert found[0] == found[1]
    assert found[0] != found[2]


def test_tokens_learn_the_smallest_object_that_covers_them():
    model = untrained()
    locations = torch.tensor([[[0.5, 0.5, 0.1, 0.1], [0.2, 0.5, 0.1, 0.1], [0.9, 0.9, 0.1, 0.1]]])
    memory = Memory(torch.zeros(1, 3, 96), torch.zeros(1, 3, 96), locations, torch.zeros(1, 3, dtype=torch.bool))
    objects = BoxTargets(torch.tensor([[0.4, 0.5, 0.6, 0.6], [0.5, 0.5, 0.2, 0.2]]), torch.tensor([0, 2]), None)
    class_targets = torch.tensor([[[0.0, 0, 1], [1, 0, 0], [0, 0, 0]]])
    bias = torch.tensor([0.3, -0.2, 0.1])
    with torch.no_grad():
        model.token_logits.bias.copy_(bias)
    expected = sigmoid_focal_loss(bias.expand(1, 3, 3), class_targets, reduction="sum") / 2
    assert torch.allclose(model._token_loss(memory, [objects]), expected, rtol=1e-4)
    nothing = BoxTargets(torch.zeros(0, 4), torch.zeros(0, dtype=torch.int64), None)
    expected = sigmoid_focal_loss(bias.expand(1, 3, 3), torch.zeros(1, 3, 3), reduction="sum")
    assert torch.allclose(model._token_loss(memory, [nothing]), expected, rtol=1e-4)


@pytest.mark.parametrize("objects", [0, 1, 9, 40])
def test_denoising_starts_near_every_object_and_inside_the_image(objects):
    torch.manual_seed(0)
    boxes = centre_boxes(objects)
    starts = near_objects(boxes, (2, 25), noise=0.1)
    assert starts.shape == (2, 25, 4) and (starts > 0).all() and (starts < 1).all()
    count = min(objects, 25)
    shift = (starts[:, :count] - boxes[:count]).abs()
    assert (shift[..., :2] <= 0.1 * boxes[:count, 2:] + 1e-6).all()
    if objects:
        assert shift.max() > 0


def test_padding_is_not_attended_to():
    """A small image beside a large one gives what it gives alone, but for the convolutions at its border."""
    model = untrained(score_threshold=0.0)
    batch = batch_images(DetectorContract.noise((32, 32), (64, 64)), torch.device("cpu"), None, 512, 16)
    features = [torch.randn(2, channels, 64 // stride, 64 // stride) for channels, stride in ((96, 8), (128, 16))]
    memory = model._encode(features, batch)
    starts = model._best(memory, *model._propose(memory))
    logits, boxes = model.decoder(memory, starts[:, None])
    memory.tokens[0, memory.padding[0]] += 100
    assert torch.equal(starts[0, :12], model._best(memory, *model._propose(memory))[0, :12])
    again, same = model.decoder(memory, starts[:, None])
    assert torch.equal(logits[:, 0], again[:, 0]) and torch.equal(boxes[:, 0], same[:, 0])
    assert memory.padding[0].sum() == 48 + 12 and not memory.padding[1].any()


def test_queries_start_from_the_highest_scoring_tokens():
    model = untrained(queries=2)
    locations = torch.tensor([[[0.5, 0.5, 0.1, 0.1], [0.2, 0.5, 0.1, 0.1], [0.9, 0.9, 0.1, 0.2], [0.3, 0.3, 0.1, 0.1]]])
    padding = torch.tensor([[False, False, False, True]])
    memory = Memory(torch.zeros(1, 4, 96), torch.zeros(1, 4, 96), locations, padding)
    _, boxes = model._propose(memory)
    assert torch.allclose(boxes, locations * torch.tensor([1, 1, 2, 2]), atol=5e-3)
    logits = torch.tensor([[[-3.0, -2, -9], [-4, -4, -4], [-9, -9, 1], [5, 5, 5]]])
    assert torch.equal(model._best(memory, logits, boxes), boxes[:, [2, 0]])


def test_nothing_is_suppressed():
    """Two queries that predict the same are two detections: not to do so is what training teaches."""
    model = untrained()
    logits = torch.full((1, 3, 3), -9.0)
    logits[0, :2, 1] = 2.0
    boxes = torch.tensor([[[0.5, 0.5, 0.2, 0.2], [0.5, 0.5, 0.2, 0.2], [0.1, 0.1, 0.1, 0.1]]])
    batch = batch_images(DetectorContract.noise((128, 128)), torch.device("cpu"), None, 512, 16)
    [prediction] = model._detect(logits, boxes, batch)
    assert prediction.labels.tolist() == [1, 1]
    assert torch.equal(prediction.boxes[0], prediction.boxes[1])


def test_predict_may_stop_after_the_first_layers():
    inputs = DetectorContract.noise((128, 128))
    one = untrained(layers_used=1, score_threshold=0.0)
    first = untrained(decoder_layers=1, score_threshold=0.0)
    first.load_state_dict({name: one.state_dict()[name] for name in first.state_dict()})
    [found], [expected], [all_of_them] = (model.predict(inputs) for model in (one, first, untrained(score_threshold=0)))
    assert torch.equal(found.boxes, expected.boxes) and torch.equal(found.scores, expected.scores)
    assert not torch.equal(found.boxes, all_of_them.boxes)
