"""Receptive fields against what layers' sizes and strides give."""

import pytest
import torch
from torch import nn

from roibench.nn.backbones import SmallResNet, SmallVGG
from roibench.nn.receptive_field import receptive_field


def layers(*described):
    """(kernel, stride, padding) of convolutions, or ("pool", kernel, stride)."""
    built = []
    for one in described:
        built.append(nn.MaxPool2d(*one[1:]) if one[0] == "pool" else nn.Conv2d(3 if not built else 2, 2, *one))
        built.append(nn.ReLU())
    return nn.Sequential(*built).eval()


@pytest.mark.parametrize(
    ("described", "width", "step"),
    [
        (((3, 1, 0),), 3, 1),
        (((3, 2, 0), (3, 1, 0)), 7, 2),
        (((5, 1, 0), ("pool", 2, 2), (3, 1, 0), ("pool", 2, 2)), 5 + 1 + 4 + 2, 4),
    ],
)
def test_it_is_what_kernels_and_strides_make(described, width, step):
    field = receptive_field(layers(*described), (40, 52))
    for lines in field:
        assert set((lines[:, 1] - lines[:, 0] + 1).tolist()) == {width}
        assert lines[:, 0].diff().unique().tolist() == [step] and lines[0, 0] == 0
    assert field.box(1, 2) == (2 * step, step, 2 * step + width, step + width)


def test_padding_cuts_it_at_the_border():
    field = receptive_field(layers((3, 1, 1), (3, 1, 1)), (9, 7))
    assert field.rows.tolist()[:3] == [[0, 2], [0, 3], [0, 4]] and field.columns.tolist()[-1] == [4, 6]


@pytest.mark.parametrize("kind", [SmallResNet, SmallVGG])
def test_nothing_beyond_it_changes_a_backbones_map(kind):
    torch.manual_seed(0)
    backbone = kind((8, 12), (1,)).eval()
    field = receptive_field(lambda pixels: backbone(pixels)[-1], (64, 80))
    left, top, right, bottom = field.box(8, 10)
    assert 0 < top < bottom < 64 and 0 < left < right < 80
    pixels = torch.randn(1, 3, 64, 80)
    inside = torch.zeros_like(pixels)
    inside[..., top:bottom, left:right] = pixels[..., top:bottom, left:right]
    with torch.no_grad():
        assert torch.allclose(backbone(pixels)[-1][..., 8, 10], backbone(inside)[-1][..., 8, 10], atol=1e-6)


def test_attention_sees_all_and_a_constant_nothing():
    mean = receptive_field(lambda pixels: pixels.mean((2, 3), keepdim=True).expand(-1, -1, 2, 2), (5, 6))
    assert mean.rows.tolist() == [[0, 4]] * 2 and mean.columns.tolist() == [[0, 5]] * 2
    nothing = receptive_field(lambda pixels: torch.zeros(len(pixels), 1, 2, 2), (5, 6))
    assert nothing.rows.tolist() == [[-1, -1]] * 2
