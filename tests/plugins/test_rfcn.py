"""R-FCN through the doors that everybody uses, and its votes against torchvision's."""

import torch
import torch.nn.functional as F
import torchvision

from roibench.assemble import build_model
from roibench.dataset import DatasetInfo
from roibench.registry import installed
from roibench.tasks.detection import DetectorContract

INFO = DatasetInfo("scenes", "val", ("circle", "square", "triangle"), image_size=(128, 128))


class TestRFCN(DetectorContract):
    model = "rfcn"


def untrained():
    torch.manual_seed(0)
    model = build_model(installed().models["rfcn"], INFO).eval()
    torch.nn.init.normal_(model.score_maps.maps.weight)
    torch.nn.init.normal_(model.score_maps.maps.bias)
    return model


@torch.no_grad()
def test_its_votes_are_means_of_what_torchvision_pools():
    """From score maps and box maps that are made apart, beside which lie the locations that pooling leaves out."""
    model = untrained()
    pyramid = [torch.randn(2, 64, 128 // stride, 96 // stride) for stride in model.config.strides]
    corner = torch.rand(2, 40, 2) * 60
    boxes = list(torch.cat([corner, corner + 3 + torch.rand(2, 40, 2) * 60], dim=2).clamp(max=96))
    logits, deltas, _ = model.second_stage(pyramid, boxes)

    hidden = model.score_maps.hidden(pyramid[0])
    parts = model.config.parts**2
    weights, biases = (one.split(((3 + 1) * parts, 4 * parts)) for one in model.score_maps.maps.parameters())
    votes = []
    for weight, bias in zip(weights, biases, strict=True):
        maps = F.interpolate(F.conv2d(hidden, weight, bias), scale_factor=2, mode="bilinear")
        pooled = torchvision.ops.ps_roi_pool(F.pad(maps, (0, 1, 0, 1)), boxes, model.config.parts, 1 / 2)
        votes.append(pooled.mean((2, 3)))
    assert torch.allclose(logits, votes[0], atol=1e-4)
    assert deltas.shape == (80, 3, 4)
    assert all(torch.allclose(deltas[:, label], votes[1], atol=1e-4) for label in range(3)), "all classes share the box"


@torch.no_grad()
def test_each_part_is_looked_up_where_it_should_be():
    """A map that is 1 in one corner of a box alone: only the part of that corner sees it."""
    model = untrained()
    maps = torch.zeros(1, 8 * 9, 66, 66)
    maps[..., 20:24, 20:24] = 1
    part, inside = torch.eye(9), torch.tensor([[40.0, 40.0, 64.0, 64.0]])  # locations 20 to 32
    model.score_maps.forward = lambda _: maps * part[index].repeat(8)[None, :, None, None]
    for index in range(9):
        logits, *_ = model.second_stage([torch.empty(0)], [inside])
        assert torch.allclose(logits, torch.tensor(1 / 9 if index == 0 else 0.0)), index


@torch.no_grad()
def test_regions_at_the_border_are_seen_to_the_end():
    model = untrained()
    model.score_maps.hidden = torch.nn.Identity()
    torch.nn.init.ones_(model.score_maps.maps.weight)
    feature = torch.zeros(1, 96, 32, 32)
    corner = [torch.tensor([[122.0, 122.0, 128.0, 128.0]])]
    before, *_ = model.second_stage([feature], corner)
    feature[..., -1] = 1
    after, *_ = model.second_stage([feature], corner)
    # Of its three columns the bilinear weights of the last location are 1/4, 3/4 and 1.
    assert torch.allclose(after - before, torch.tensor(96 * (1 / 4 + 3 / 4 + 1) / 3), rtol=1e-4)


def test_without_objects_no_box_is_learned():
    losses = untrained().train().losses(DetectorContract.noise((64, 64)), [DetectorContract.objects()])
    assert losses["rpn_box"] == 0 and losses["head_box"] == 0
