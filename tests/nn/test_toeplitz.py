"""Matrices of convolutions, against torch's convolutions."""

import pytest
import torch
import torch.nn.functional as F
from hypothesis import given, settings
from hypothesis import strategies as st

from roibench import ops
from roibench.nn.toeplitz import contributions, convolution_matrix


@st.composite
def convolutions(draw):
    """A weight, a map [C, *size], stride and padding."""
    axes = draw(st.integers(1, 2))
    channels, into = draw(st.integers(1, 2)), draw(st.integers(1, 3))
    sides = [draw(st.integers(1, 4)) for _ in range(axes)]
    size = [side + draw(st.integers(0, 5)) for side in sides]
    seed = torch.Generator().manual_seed(draw(st.integers(0, 99)))
    weight = torch.randn(into, channels, *sides, generator=seed, dtype=torch.float64)
    return (
        weight,
        torch.randn(channels, *size, generator=seed, dtype=torch.float64),
        draw(st.integers(1, 2)),
        draw(st.integers(0, min(sides) // 2)),
    )


@settings(max_examples=60, deadline=None)
@given(convolutions())
def test_the_matrix_is_the_convolution_and_its_transpose_the_transposed_one(case):
    weight, a, stride, padding = case
    size = a.shape[1:]
    x = convolution_matrix(weight, size, stride, padding)
    convolve = F.conv1d if len(size) == 1 else F.conv2d
    expected = convolve(a[None], weight, stride=stride, padding=padding)
    assert torch.allclose(x @ a.flatten(), expected.flatten())
    above = torch.randn(expected.shape, dtype=a.dtype, generator=torch.Generator().manual_seed(1))
    back = (x.T @ above.flatten()).view(a.shape)
    upward = F.conv_transpose1d if len(size) == 1 else ops.conv_transpose2d
    more = [
        length - (outputs - 1) * stride - side + 2 * padding
        for length, outputs, side in zip(size, expected.shape[2:], weight.shape[2:], strict=True)
    ]
    found = upward(above, weight, stride=stride, padding=padding, output_padding=more)[0]
    assert torch.allclose(back, found)


def test_with_one_channel_and_stride_1_its_diagonals_are_constant():
    x = convolution_matrix(torch.tensor([[[1.0, 2.0, 3.0]]]), [5])
    assert x.tolist() == [[1, 2, 3, 0, 0], [0, 1, 2, 3, 0], [0, 0, 1, 2, 3]]


def test_a_stride_leaves_rows_out():
    full, strided = (convolution_matrix(torch.rand(1, 1, 3), [7], stride) for stride in (1, 2))
    assert strided.shape == (3, 7)
    assert torch.equal(
        convolution_matrix(torch.ones(1, 1, 3), [7], 2), convolution_matrix(torch.ones(1, 1, 3), [7])[::2]
    )
    assert full.shape == (5, 7)


@pytest.mark.parametrize(
    ("side", "stride", "padding", "inside"),
    [(3, 2, 1, {1.0, 2.0}), (4, 2, 1, {2.0}), (2, 2, 0, {1.0}), (3, 1, 1, {3.0})],
)
def test_outputs_are_reached_by_unequally_many_inputs_where_the_stride_does_not_divide_the_kernel(
    side, stride, padding, inside
):
    assert set(contributions(side, stride, 8, padding)[2:-2].tolist()) == inside


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ((torch.zeros(1, 1, 3, 3), [5]), "want one or two axes, of both the same"),
        ((torch.zeros(1, 1, 1, 1, 1), [1, 1, 1]), "want one or two axes"),
        ((torch.zeros(1, 1, 3), [5], 0), "stride 0, padding 0: want a stride of 1 or more"),
        ((torch.zeros(1, 1, 3), [2]), r"size \[2\] with padding 0: want at least the kernel's \[3\]"),
    ],
)
def test_what_is_no_convolution_is_refused(arguments, message):
    with pytest.raises(ValueError, match=message):
        convolution_matrix(*arguments)
