"""Ways up without weights, against their definitions and against torch's transposed convolution."""

import pytest
import torch
import torch.nn.functional as F
from hypothesis import given, settings
from hypothesis import strategies as st

LAYOUTS = (torch.contiguous_format, torch.channels_last)


@st.composite
def maps(draw):
    """A map, and whole factors (y, x)."""
    shape = [draw(st.integers(0, 3)), *(draw(st.integers(1, 4)) for _ in range(3))]
    made = torch.randn(shape, generator=torch.Generator().manual_seed(draw(st.integers(0, 99))), dtype=torch.float64)
    return made.to(memory_format=draw(st.sampled_from(LAYOUTS))), (draw(st.integers(1, 3)), draw(st.integers(1, 3)))


@settings(max_examples=50, deadline=None)
@given(maps())
def test_each_value_goes_where_it_should(ops, case):
    x, (fy, fx) = case
    repeated, nails = ops.nearest_unpool(x, (fy, fx)), ops.bed_of_nails(x, (fy, fx))
    assert repeated.shape == nails.shape == (*x.shape[:2], x.shape[2] * fy, x.shape[3] * fx)
    for row in range(fy):
        for column in range(fx):
            assert repeated[..., row::fy, column::fx].equal(x)
            assert nails[..., row::fy, column::fx].equal(x if (row, column) == (0, 0) else torch.zeros_like(x))


@settings(max_examples=30, deadline=None)
@given(maps())
def test_a_convolution_after_a_bed_of_nails_is_a_transposed_one(ops, case):
    x, (fy, fx) = case
    weight = torch.randn(x.shape[1], 2, 3, 3, generator=torch.Generator().manual_seed(0), dtype=x.dtype)
    nails = ops.bed_of_nails(x, (fy, fx))
    found = F.conv2d(nails, weight.transpose(0, 1).flip(2, 3), padding=1)
    expected = F.conv_transpose2d(x, weight, stride=(fy, fx), padding=1, output_padding=(fy - 1, fx - 1))
    assert torch.allclose(found, expected)


@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize("size", [(6, 8), (7, 9)])
def test_max_unpooling_puts_maxima_back(ops, layout, size):
    x = torch.randn(2, 3, *size, generator=torch.Generator().manual_seed(0)).to(memory_format=layout)
    pooled, indices = F.max_pool2d(x, 2, return_indices=True)
    back = ops.max_unpool(pooled, indices, size)
    assert back.equal(F.max_unpool2d(pooled, indices, 2, output_size=size))
    assert F.max_pool2d(back.clamp(min=0), 2).equal(pooled.clamp(min=0))
    assert ((back == x) | (back == 0)).all() and (back != 0).sum() == pooled.numel()


@pytest.mark.parametrize("layout", LAYOUTS)
def test_the_memory_format_stays(ops, layout):
    x = torch.randn(2, 3, 4, 5).to(memory_format=layout)
    pooled, indices = F.max_pool2d(x, 2, return_indices=True)
    for y in (ops.nearest_unpool(x, 2), ops.bed_of_nails(x, 2), ops.max_unpool(pooled, indices, (4, 5))):
        assert y.is_contiguous(memory_format=layout)


@pytest.mark.parametrize("name", ["nearest_unpool", "bed_of_nails"])
@pytest.mark.parametrize("layout", LAYOUTS)
def test_derivatives_are_those_of_what_it_computes(ops, name, layout):
    x = torch.randn(2, 2, 3, 2, dtype=torch.float64).to(memory_format=layout).requires_grad_()
    op = getattr(ops, name)
    assert torch.autograd.gradcheck(lambda x: op(x, (2, 3)), x, check_forward_ad=True, check_batched_grad=True)
    assert torch.autograd.gradgradcheck(lambda x: op(x, (2, 3)), x)


def test_the_gradient_of_max_unpooling_is_read_where_the_maxima_were(ops):
    x = torch.randn(2, 2, 4, 6, dtype=torch.float64)
    pooled, indices = F.max_pool2d(x, 2, return_indices=True)
    assert torch.autograd.gradcheck(lambda p: ops.max_unpool(p, indices, (4, 6)), pooled.requires_grad_())


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float32])
def test_all_floating_dtypes_are_taken(ops, dtype):
    x = torch.randn(1, 2, 4, 4).to(dtype)
    pooled, indices = F.max_pool2d(x, 2, return_indices=True)
    for y in (ops.nearest_unpool(x, 2), ops.bed_of_nails(x, 2), ops.max_unpool(pooled, indices, (4, 4))):
        assert y.dtype == dtype


def test_it_compiles_without_a_break(ops):
    def up(x):
        pooled, indices = F.max_pool2d(ops.bed_of_nails(x, 2), 2, return_indices=True)
        return ops.nearest_unpool(ops.max_unpool(pooled, indices, (8, 8)), 2)

    x = torch.rand(1, 2, 4, 4)
    assert torch.compile(up, fullgraph=True, backend="aot_eager")(x).equal(up(x))


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda ops: ops.bed_of_nails(torch.zeros(2, 3, 3), 2), r"want \[N, C, H, W\], got \[2, 3, 3\]"),
        (lambda ops: ops.bed_of_nails(torch.zeros(1, 1, 2, 2), 0), "factor 0: want 1 or more"),
        (lambda ops: ops.nearest_unpool(torch.zeros(1, 1, 2, 2), (1, 0)), r"factor \(1, 0\): want 1 or more"),
        (
            lambda ops: ops.max_unpool(torch.zeros(1, 1, 2, 2), torch.zeros(1, 1, 2, 1, dtype=torch.int64), (4, 4)),
            r"indices: want the input's shape \[1, 1, 2, 2\], got \[1, 1, 2, 1\]",
        ),
    ],
)
def test_wrong_arguments_are_named(ops, call, message):
    with pytest.raises(ValueError, match=message):
        call(ops)


def test_a_place_beyond_the_map_is_refused():
    from roibench import ops

    with pytest.raises(RuntimeError, match="index"):
        ops.max_unpool(torch.ones(1, 1, 1, 1), torch.tensor([[[[99]]]]), (2, 2))
