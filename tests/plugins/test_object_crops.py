"""Objects cropped from a batch."""

import dataclasses

import pytest
import torch
from torch import nn

from roibench.nn.images import batch_images
from roibench.plugins.transformer.object_crops import object_crops, unrecorded_statistics
from roibench.structures import Input, Target


def batch_of(*images, size=64):
    return batch_images([Input("", image) for image in images], torch.device("cpu"), None, 1000, size)


def target(*rows, **fields) -> Target:
    table = torch.tensor(rows, dtype=torch.float32).reshape(-1, 5)
    return Target(boxes=table[:, :4], labels=table[:, 4].to(torch.int64), **fields)


NOISE = torch.randint(0, 256, (3, 64, 64), dtype=torch.uint8, generator=torch.Generator().manual_seed(0))


def test_a_crop_is_a_square_around_its_object():
    ramp = 3 * torch.arange(64)[:, None] + torch.arange(64)  # which averaging leaves as it is
    batch = batch_of(ramp.to(torch.uint8).expand(3, -1, -1))
    crops, labels = object_crops(batch, [target((22, 12, 42, 32, 3), (22, 17, 42, 27, 1))], 24, 5)
    assert labels.tolist() == [3, 1]  # the largest first
    for crop in crops:  # 20 pixels and the margin are 24: no resizing
        assert torch.allclose(crop, batch.pixels[0, :, 10:34, 20:44], atol=1e-5)


def test_the_largest_objects_are_cut_out_and_what_is_ignored_is_not():
    rows = [(1, 1, 9, 9, 0), (10, 10, 40, 40, 1), (5, 5, 60, 60, 2), (20, 20, 36, 36, 3)]
    ignored = torch.tensor([False, False, True, False])
    crops, labels = object_crops(batch_of(NOISE, NOISE), [target(*rows, ignored=ignored), target(*rows)], 16, 2)
    assert labels.tolist() == [1, 3, 2, 1] and crops.shape == (4, 3, 16, 16)


def test_beyond_the_image_there_is_nothing():
    [crop], _ = object_crops(
        batch_of(torch.full((3, 64, 64), 255, dtype=torch.uint8)), [target((44, 0, 64, 20, 0))], 24, 1
    )
    assert crop[:, :1].abs().max() == 0 and crop[:, :, -1:].abs().max() == 0
    assert crop[:, 3:21, 3:21].min() > 1


@pytest.mark.parametrize("absent", ["boxes", "labels"])
def test_without_objects_there_are_no_crops(absent):
    whole = target((1, 1, 9, 9, 0))
    lacking = dataclasses.replace(whole, **{absent: None})
    assert object_crops(batch_of(NOISE, NOISE), [whole, lacking], 16, 2) == (None, None)
    assert object_crops(batch_of(NOISE), [target()], 16, 2) == (None, None)
    assert object_crops(batch_of(NOISE, NOISE), [whole, target()], 16, 2)[1].tolist() == [0]


def test_statistics_stay_as_they_are_even_after_an_error():
    network = nn.Sequential(nn.Conv2d(3, 4, 1), nn.BatchNorm2d(4, momentum=0.3))
    x = torch.randn(2, 3, 4, 4)
    network(x)
    before = {name: value.clone() for name, value in network.state_dict().items() if "running" in name}
    with pytest.raises(RuntimeError, match="broken"), unrecorded_statistics(network):
        assert torch.equal(network(x + 1), network[1].train()(network[0](x + 1)))
        raise RuntimeError("broken")
    assert all(torch.equal(value, network.state_dict()[name]) for name, value in before.items())
    assert network[1].momentum == 0.3
    network(x + 1)
    assert not torch.equal(before["1.running_mean"], network[1].running_mean)
