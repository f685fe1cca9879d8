"""DETR through the doors that everybody uses; its matching and losses against plain loops in float64."""

import itertools
import math

import pytest
import torch
from torch import nn

from roibench.assemble import build_model
from roibench.contract import DetectorContract
from roibench.nn.images import batch_images
from roibench.nn.truth import Truth
from roibench.plugins.transformer.detr import (
    Config,
    DecoderLayer,
    Gaussians,
    Memory,
    _learned,
    assign,
    from_pixels,
    matching_cost,
    near_objects,
    set_losses,
    to_pixels,
)
from roibench.registry import installed
from roibench.tasks import DatasetInfo

INFO = DatasetInfo("scenes", "val", ("circle", "square", "triangle"), image_size=(128, 128))
CONFIG = Config()


class TestDETR(DetectorContract):
    model = "detr"


def untrained(**overrides):
    torch.manual_seed(0)
    return build_model(installed().models["detr"], INFO, overrides).eval()


def centre_boxes(*shape: int) -> torch.Tensor:
    return torch.cat([0.3 + 0.4 * torch.rand(*shape, 2), 0.05 + 0.3 * torch.rand(*shape, 2)], dim=-1)


# The reference: one query, one object, Python's floats.


def focal(logit: float, target: float) -> float:
    p = 1 / (1 + math.exp(-logit))
    right, weight = (p, 0.25) if target else (1 - p, 0.75)
    return -weight * (1 - right) ** 2 * math.log(right)


def corners(box):
    x, y, w, h = box
    return x - w / 2, y - h / 2, x + w / 2, y + h / 2


def giou(one, other) -> float:
    a, b = corners(one), corners(other)
    inner = [min(a[2], b[2]) - max(a[0], b[0]), min(a[3], b[3]) - max(a[1], b[1])]
    overlap = max(0.0, inner[0]) * max(0.0, inner[1])
    union = one[2] * one[3] + other[2] * other[3] - overlap
    hull = (max(a[2], b[2]) - min(a[0], b[0])) * (max(a[3], b[3]) - min(a[1], b[1]))
    return overlap / union - (hull - union) / hull


def l1(one, other) -> float:
    return sum(abs(p - q) for p, q in zip(one, other, strict=True))


def cost(logits, box, label, true_box) -> float:
    naming = focal(logits[label], 1) - focal(logits[label], 0)
    return 2 * naming + 5 * l1(box, true_box) - 2 * giou(box, true_box)


def test_the_matching_cost_is_the_papers():
    torch.manual_seed(0)
    logits, boxes = torch.randn(2, 1, 4, 3) * 2, centre_boxes(2, 1, 4)
    labels, true_boxes = torch.tensor([2, 0]), centre_boxes(2)
    table = matching_cost(logits, boxes, labels, true_boxes, CONFIG)
    assert table.shape == (2, 1, 4, 2)
    for layer, query, number in itertools.product(range(2), range(4), range(2)):
        wanted = cost(
            logits[layer, 0, query].tolist(),
            boxes[layer, 0, query].tolist(),
            int(labels[number]),
            true_boxes[number].tolist(),
        )
        assert table[layer, 0, query, number].item() == pytest.approx(wanted, abs=1e-4)


def test_the_matching_is_the_cheapest_of_all():
    torch.manual_seed(0)
    table = torch.randn(1, 2, 5, 3)
    found = assign(table)
    for group in range(2):
        _, _, query, number = found[:, found[1] == group]
        assert sorted(number.tolist()) == [0, 1, 2] and len(set(query.tolist())) == 3
        cheapest = min(
            sum(table[0, group, q, n].item() for n, q in enumerate(chosen))
            for chosen in itertools.permutations(range(5), 3)
        )
        assert table[0, group, query, number].sum().item() == pytest.approx(cheapest, abs=1e-5)


@pytest.mark.parametrize("objects", [0, 7])
def test_more_objects_than_queries_and_none(objects):
    found = assign(torch.rand(2, 2, 4, objects))
    assert found.shape == (4, 2 * 2 * min(4, objects))


def test_a_network_that_has_diverged_is_not_the_matchings_business():
    assert assign(torch.full((1, 1, 3, 2), math.nan)).shape == (4, 2)


def test_the_losses_are_the_papers():
    """Two layers, two images, two groups: everything summed up in a loop."""
    torch.manual_seed(0)
    layers, groups, queries = 2, 2, 3
    logits = torch.randn(layers, 2, groups, queries, 3, dtype=torch.float64)
    boxes = centre_boxes(layers, 2, groups, queries).double()
    batch = batch_images(DetectorContract.noise((64, 128), (128, 64)), torch.device("cpu"), None, 512, 16)
    truths = [
        Truth(torch.tensor([[10.0, 5.0, 90.0, 60.0], [30.0, 20.0, 70.0, 50.0]]), torch.tensor([1, 2]), None),
        Truth(
            torch.tensor([[5.0, 9.0, 60.0, 99.0], [20.0, 30.0, 40.0, 50.0]]),
            torch.tensor([0, 1]),
            torch.tensor([False, True]),
        ),
    ]
    truths = [truth._replace(boxes=truth.boxes.double()) for truth in truths]
    learned = [_learned(truth, size) for truth, size in zip(truths, batch.sizes, strict=True)]
    found = set_losses(logits, boxes, learned, CONFIG)

    totals = [[0.0, 0.0, 0.0] for _ in range(layers)]
    for layer, image, group in itertools.product(range(layers), range(2), range(groups)):
        truth, (height, width) = truths[image], batch.sizes[image]
        own = []
        for box, label in zip(truth.boxes.tolist(), truth.labels.tolist(), strict=True):
            x1, y1, x2, y2 = box[0] / width, box[1] / height, box[2] / width, box[3] / height
            own.append((((x1 + x2) / 2, (y1 + y2) / 2, x2 - x1, y2 - y1), label))
        own = own[:1] if truth.ignored is not None else own
        rows, places = logits[layer, image, group].tolist(), boxes[layer, image, group].tolist()
        chosen = min(
            itertools.permutations(range(queries), len(own)),
            key=lambda qs, own=own, rows=rows, places=places: sum(
                cost(rows[q], places[q], label, box) for q, (box, label) in zip(qs, own, strict=True)
            ),
        )
        answers = dict(zip(chosen, own, strict=True))
        for query in range(queries):
            named = answers[query][1] if query in answers else None
            totals[layer][0] += 2 * sum(focal(rows[query][c], c == named) for c in range(3))
        for query, (box, _) in answers.items():
            totals[layer][1] += 5 * l1(places[query], box)
            totals[layer][2] += 2 * (1 - giou(places[query], box))
    count = 3 * groups  # objects that are learned, once per group
    wanted = [[value / count for value in row] for row in totals]
    for name, value in zip(("class", "l1", "giou"), wanted[-1], strict=True):
        assert found[name].item() == pytest.approx(value, rel=1e-4), name
    assert found["auxiliary"].item() == pytest.approx(sum(wanted[0]), rel=1e-4)


def test_boxes_come_back_from_units_of_the_image():
    boxes = torch.tensor([[10.0, 20.0, 110.0, 50.0]])
    units = from_pixels(boxes, (64, 128))
    assert torch.allclose(units, torch.tensor([[60 / 128, 35 / 64, 100 / 128, 30 / 64]]))
    assert torch.allclose(to_pixels(units, (64, 128)), boxes)


def test_the_gaussians_are_gaussians():
    torch.manual_seed(0)
    gaussians = Gaussians(8, 2)
    nn.init.normal_(gaussians.shape.weight, std=0.2)
    query, boxes, places = torch.randn(1, 3, 8), centre_boxes(1, 3), torch.rand(1, 5, 2)
    memory = Memory(torch.zeros(1, 5, 8), torch.zeros(1, 5, 8), places, torch.tensor([[False] * 4 + [True]]))
    bias = gaussians(query, boxes, memory)
    shape = gaussians.shape(query)[0].unflatten(-1, (2, 4)).tolist()
    for head, number, token in itertools.product(range(2), range(3), range(4)):
        (x, y, w, h), (dx, dy, log_w, log_h) = boxes[0, number].tolist(), shape[number][head]
        px, py = places[0, token].tolist()
        zx = (px - x - dx * w) / max(0.01, math.exp(log_w) * w)
        zy = (py - y - dy * h) / max(0.01, math.exp(log_h) * h)
        assert bias[0, head, number, token].item() == pytest.approx(-(zx**2 + zy**2) / 2, rel=1e-3, abs=1e-3)
    assert (bias[..., 4] < -1e8).all()


def test_the_decoder_layer_is_torchs():
    torch.manual_seed(0)
    ours = DecoderLayer(16, 4, 32)
    peer = nn.TransformerDecoderLayer(16, 4, 32, dropout=0.0, batch_first=True, norm_first=True).eval()
    with torch.no_grad():
        for mine, theirs in ((ours.self_attention, peer.self_attn), (ours.cross_attention, peer.multihead_attn)):
            projections = (mine.query, mine.key, mine.value)
            theirs.in_proj_weight.copy_(torch.cat([layer.weight for layer in projections]))
            theirs.in_proj_bias.copy_(torch.cat([layer.bias for layer in projections]))
            theirs.out_proj.load_state_dict(mine.output.state_dict())
    for mine, theirs in (
        (ours.self_norm, peer.norm1),
        (ours.cross_norm, peer.norm2),
        (ours.feed_forward_norm, peer.norm3),
        (ours.feed_forward[0], peer.linear1),
        (ours.feed_forward[2], peer.linear2),
    ):
        nn.init.normal_(mine.weight, 0.5, 0.2)
        theirs.load_state_dict(mine.state_dict())
    nn.init.constant_(ours.gaussian.shape.bias, 4.0)  # Gaussians so wide that they say nothing
    x, tokens = torch.randn(2, 5, 16), torch.randn(2, 7, 16)
    memory = Memory(tokens, torch.zeros_like(tokens), torch.rand(2, 7, 2), torch.zeros(2, 7, dtype=torch.bool))
    mine = ours(x, torch.zeros_like(x), 1000 * centre_boxes(2, 5), memory, groups=1)
    assert torch.allclose(mine, peer(x, tokens), atol=1e-4)


def test_groups_do_not_see_each_other():
    model = untrained()
    tokens = torch.randn(1, 12, model.config.dim)
    memory = Memory(tokens, torch.zeros_like(tokens), torch.rand(1, 12, 2), torch.zeros(1, 12, dtype=torch.bool))
    together, _ = model.decoder(memory, centre_boxes(1, 2, 25))
    assert together.shape[2] == 3
    alone, _ = model.decoder(memory)
    assert torch.allclose(together[:, :, :1], alone, atol=1e-5)


@pytest.mark.parametrize("objects", [0, 1, 9, 40])
def test_denoising_starts_near_every_object_and_inside_the_image(objects):
    torch.manual_seed(0)
    boxes = centre_boxes(objects)
    starts = near_objects(boxes, (2, 25), noise=0.1)
    assert starts.shape == (2, 25, 4) and (starts > 0).all() and (starts < 1).all()
    count = min(objects, 25)
    moved = (starts[:, :count] - boxes[:count]).abs()
    assert (moved[..., :2] <= 0.1 * boxes[:count, 2:] + 1e-6).all()
    if objects:
        assert moved.max() > 0


def test_padding_is_not_looked_at():
    """A small image beside a large one gives what it gives alone, but for the convolutions at its border."""
    model = untrained(score_threshold=0.0)
    batch = batch_images(DetectorContract.noise((32, 32), (64, 64)), torch.device("cpu"), None, 512, 16)
    features = [torch.randn(2, channels, 64 // stride, 64 // stride) for channels, stride in ((80, 8), (96, 16))]
    memory = model._encode(features, batch)
    logits, boxes = model.decoder(memory)
    memory.tokens[0, memory.hidden[0]] += 100
    again, same = model.decoder(memory)
    assert torch.equal(logits[:, 0], again[:, 0]) and torch.equal(boxes[:, 0], same[:, 0])
    assert memory.hidden[0].sum() == 48 + 12 and not memory.hidden[1].any()


def test_nothing_is_suppressed():
    """Two queries that say the same are two detections: not saying it twice is what training teaches."""
    model = untrained()
    logits = torch.full((1, 3, 3), -9.0)
    logits[0, :2, 1] = 2.0
    boxes = torch.tensor([[[0.5, 0.5, 0.2, 0.2], [0.5, 0.5, 0.2, 0.2], [0.1, 0.1, 0.1, 0.1]]])
    batch = batch_images(DetectorContract.noise((128, 128)), torch.device("cpu"), None, 512, 16)
    [prediction] = model._detect(logits, boxes, batch)
    assert prediction.labels.tolist() == [1, 1]
    assert torch.equal(prediction.boxes[0], prediction.boxes[1])
