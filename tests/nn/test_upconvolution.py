import pytest
import torch
import torch.nn.functional as F
from hypothesis import given, settings
from hypothesis import strategies as st

from roibench.nn.upconvolution import BilinearUpsampling, UpConvolution


@pytest.fixture
def called(monkeypatch):
    """The shapes that roibench.ops.conv_transpose2d was called with."""
    from roibench import ops

    shapes, own = [], ops.conv_transpose2d
    monkeypatch.setattr(ops, "conv_transpose2d", lambda x, *rest: (shapes.append(tuple(x.shape)), own(x, *rest))[1])
    return shapes


@settings(max_examples=20)
@given(st.integers(1, 8), st.integers(1, 3), st.integers(1, 9), st.integers(1, 9))
def test_bilinear_upsampling_begins_as_interpolation_inside(factor, channels, height, width):
    layer = BilinearUpsampling(channels, factor)
    x = torch.randn(2, channels, height, width)
    ours = layer(x)
    theirs = F.interpolate(x, scale_factor=factor, mode="bilinear", align_corners=False)
    assert ours.shape == theirs.shape
    border = factor // 2  # half an input pixel, where interpolation repeats the outermost value
    inside = (..., slice(border, height * factor - border), slice(border, width * factor - border))
    assert torch.allclose(ours[inside], theirs[inside], atol=1e-5)


def test_bilinear_upsampling_fades_towards_the_border_in_all_channels_alike():
    enlarged = BilinearUpsampling(3, 4)(torch.ones(1, 3, 5, 5))
    assert (enlarged[0, :, 0, 0] == enlarged[0, 0, 0, 0]).all() and 0 < enlarged[0, 0, 0, 0] < 1
    assert (enlarged[0, :, 2:-2, 2:-2] == 1).all()


def test_it_learns_between_channels_too():
    layer = BilinearUpsampling(2, 2)
    layer(torch.randn(1, 2, 3, 3)).square().sum().backward()
    assert (layer.weight.grad[0, 1] != 0).any()


@pytest.mark.parametrize(
    "arguments",
    [
        {"kernel_size": 2, "stride": 2},
        {"kernel_size": 3, "stride": 2, "padding": 1, "output_padding": 1, "groups": 2, "bias": False},
        {"kernel_size": (3, 4), "stride": (1, 2), "dilation": 2},
    ],
)
def test_an_up_convolution_is_torchs_layer_on_our_operator(arguments, called):
    torch.manual_seed(0)
    layer = UpConvolution(4, 6, **arguments)
    reference = torch.nn.ConvTranspose2d(4, 6, **arguments)
    reference.load_state_dict(layer.state_dict())
    x = torch.randn(2, 4, 5, 7)
    assert torch.allclose(layer(x), reference(x), atol=1e-5)
    assert called == [(2, 4, 5, 7)]


def test_an_exported_layer_is_torchs_operator():
    """What reads exported graphs knows that one."""
    layer, x = UpConvolution(3, 2, 4, stride=2, padding=1), torch.randn(1, 3, 5, 6)
    program = torch.export.export(layer, (x,))
    called = {str(node.target) for node in program.graph.nodes if node.op == "call_function"}
    assert any("conv_transpose2d" in name for name in called) and not any("roibench" in name for name in called)
    assert torch.allclose(program.module()(x), layer(x), atol=1e-6)
