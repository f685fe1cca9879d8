"""Ways up: each is what it is called, and all else of the segmenters that are compared is the same."""

import pytest
import torch
import torch.nn.functional as F

from roibench.assemble import build_model
from roibench.dataset import DatasetInfo
from roibench.nn.backbones import SmallVGG
from roibench.plugins.segmentation import WAYS
from roibench.plugins.segmentation.upsampling import Pooled, RememberingVGG, Up
from roibench.registry import installed
from roibench.tasks.semantic_segmentation import SegmentationContract

INFO = DatasetInfo("noise", "train", ("first", "second", "third"), image_size=(128, 128))


class TestNearest(SegmentationContract):
    model = "upsampling_nearest"


class TestMaxUnpool(SegmentationContract):
    model = "upsampling_max_unpool"


class TestTransposed(SegmentationContract):
    model = "upsampling_transposed_3x3"


class TestDeconvNet(SegmentationContract):
    model = "deconvnet_segmenter"


def test_the_encoder_is_vgg_and_remembers_where_maxima_were():
    torch.manual_seed(0)
    ours, plain = RememberingVGG((8, 12, 16, 20), (1, 2, 1)).eval(), SmallVGG((8, 12, 16, 20), (1, 2, 1)).eval()
    plain.load_state_dict(ours.state_dict())
    pixels = torch.randn(2, 3, 32, 48)
    encoded = ours(pixels)
    assert encoded.features.equal(plain(pixels)[-1])
    assert [tuple(one.size) for one in encoded.poolings] == [(32, 48), (16, 24), (8, 12), (4, 6)]
    assert [one.places.shape[1] for one in encoded.poolings] == list(ours.pooled)
    before = plain.stem[2](plain.stem[1](plain.stem[0](pixels)))
    maxima = before.flatten(2).gather(2, encoded.poolings[0].places.flatten(2)).view(2, 4, 16, 24)
    assert maxima.equal(F.max_pool2d(before, 2))


@pytest.mark.parametrize("way", WAYS)
def test_every_way_doubles_a_map(way):
    torch.manual_seed(0)
    x = torch.randn(2, 3, 4, 5)
    _, places = F.max_pool2d(torch.randn(2, 3, 8, 10), 2, return_indices=True)
    y = Up(way, 3)(x, Pooled(places, torch.Size((8, 10))))
    assert y.shape == (2, 3, 8, 10)
    expected = {
        "nearest": lambda: F.interpolate(x, scale_factor=2, mode="nearest"),
        "bilinear": lambda: F.interpolate(x, scale_factor=2, mode="bilinear"),
        "max_unpool": lambda: F.max_unpool2d(x, places, 2),
        "bed_of_nails": lambda: torch.kron(x, torch.tensor([[1.0, 0.0], [0.0, 0.0]])),
    }
    if way in expected:
        assert y.allclose(expected[way]())


@pytest.mark.parametrize("way", WAYS)
def test_only_the_decoder_learns(way):
    spec = installed().models[f"upsampling_{way}"]
    model = build_model(spec, INFO).train()
    statistics = {name: value.clone() for name, value in model.backbone.named_buffers()}
    contract = SegmentationContract()
    inputs, targets = contract.noise((64, 64)), [contract.targets()[0]]
    targets[0].semantic_map.resize_(64, 64)
    sum(model.losses(inputs, targets).values()).backward()
    assert {name.split(".")[0] for name, p in model.named_parameters() if p.grad is not None} == {"decoder"}
    assert all(value.equal(statistics[name]) for name, value in model.backbone.named_buffers())


def test_decoders_differ_in_the_way_up_alone():
    sizes = {}
    for way in WAYS:
        model = build_model(installed().models[f"upsampling_{way}"], INFO)
        sizes[way] = sum(p.numel() for name, p in model.decoder.named_parameters() if ".convolution." not in name)
    assert len(set(sizes.values())) == 1
