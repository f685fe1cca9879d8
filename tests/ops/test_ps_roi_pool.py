"""ps_roi_pool against its definition, and against torchvision where that is right."""

import math

import pytest
import torch
import torchvision
from hypothesis import given
from hypothesis import strategies as st
from torch.autograd import gradcheck, gradgradcheck

from roibench.ops import ps_roi_pool

CONTIGUOUS, CHANNELS_LAST = torch.contiguous_format, torch.channels_last
each_format = pytest.mark.parametrize("memory_format", [CONTIGUOUS, CHANNELS_LAST], ids=["nchw", "nhwc"])


def rounded(x: float) -> int:
    return int(math.copysign(math.floor(abs(x) + 0.5), x))


def pixel_range(low: float, high: float, scale: float, index: int, bins: int, size: int) -> tuple[int, int]:
    """Bin `index` of `bins`; the map's last pixel is in none."""
    start = rounded(low * scale)
    step = max(rounded(high * scale) - start, 1) / bins
    begin, end = start + math.floor(index * step), start + math.ceil((index + 1) * step)
    return min(max(begin, 0), size - 1), min(max(end, 0), size - 1)


def definition(features, rois, size, scale):
    """R-FCN's definition with torchvision's rounding, one bin after another."""
    outputs = features.size(1) // (size[0] * size[1])
    out = torch.zeros(len(rois), outputs, *size, dtype=features.dtype)
    for k, (image, x1, y1, x2, y2) in enumerate(rois.tolist()):
        for i in range(size[0]):
            for j in range(size[1]):
                top, bottom = pixel_range(y1, y2, scale, i, size[0], features.size(2))
                left, right = pixel_range(x1, x2, scale, j, size[1], features.size(3))
                for c in range(outputs):
                    if top < bottom and left < right:
                        channel = (c * size[0] + i) * size[1] + j
                        out[k, c, i, j] = features[int(image), channel, top:bottom, left:right].mean()
    return out


@given(
    shape=st.tuples(st.integers(1, 3), st.integers(1, 3), st.integers(1, 9), st.integers(1, 9)),
    size=st.tuples(st.integers(1, 4), st.integers(1, 4)),
    scale=st.sampled_from([1.0, 0.5, 0.3]),
    memory_format=st.sampled_from([CONTIGUOUS, CHANNELS_LAST]),
    seed=st.integers(0, 99),
)
def test_is_its_definition(shape, size, scale, memory_format, seed, random_map, random_rois, ops):
    images, outputs, height, width = shape
    features = random_map(images, outputs * size[0] * size[1], height, width, seed=seed)
    rois = random_rois(4, images, height / scale, width / scale, seed)
    got = ops.ps_roi_pool(features.contiguous(memory_format=memory_format), rois, size, scale)
    torch.testing.assert_close(got, definition(features, rois, size, scale))


@each_format
@pytest.mark.parametrize("dtype", [torch.float64, torch.float32])
@pytest.mark.parametrize(("outputs", "size"), [(1, (1, 1)), (3, (5, 4)), (21, (7, 7))])
def test_is_torchvisions_to_the_last_bit(memory_format, dtype, outputs, size, random_map, random_rois, ops):
    features = random_map(2, outputs * size[0] * size[1], 13, 21, dtype=dtype)
    rois = random_rois(70, 2, 26, 42).to(dtype)
    got = ops.ps_roi_pool(features.contiguous(memory_format=memory_format), rois, size, 0.5)
    assert torch.equal(got, torchvision.ops.ps_roi_pool(features, rois, size, 0.5))


@each_format
def test_gradients_are_derivatives_also_at_the_border_where_torchvisions_are_not(
    memory_format, random_map, random_rois, ops
):
    features = random_map(2, 12, 6, 5).contiguous(memory_format=memory_format).requires_grad_()
    rois = torch.cat([random_rois(5, 2, 6, 5), torch.tensor([[0.0, 0, 0, 5, 6], [1, 3, 3, 9, 9]]).double()])

    def pool(x):
        return ops.ps_roi_pool(x, rois, (2, 3))

    assert gradcheck(pool, (features,))
    assert gradgradcheck(pool, (features,))
    (grad,) = torch.autograd.grad(pool(features).sum(), features)
    assert not grad[..., -1, :].any() and not grad[..., -1].any(), "the last row and column are in no bin"
    assert grad.is_contiguous(memory_format=memory_format)


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
@each_format
def test_half_types_are_float32_rounded_once(dtype, memory_format, random_map, random_rois, ops, device):
    features = random_map(2, 36, 9, 8, dtype=dtype).contiguous(memory_format=memory_format).requires_grad_()
    rois = random_rois(15, 2, 9, 8).float()
    wide = features.detach().float().requires_grad_()
    with torch.autocast(device, torch.bfloat16):
        got = ops.ps_roi_pool(features, rois, 3)
    expected = ops.ps_roi_pool(wide, rois, 3)
    assert torch.equal(got, expected.to(dtype))
    weight = random_map(*got.shape, dtype=dtype, seed=3)
    (grad,) = torch.autograd.grad(got, features, weight)
    (grad_expected,) = torch.autograd.grad(expected, wide, weight.float())
    torch.testing.assert_close(grad, grad_expected.to(dtype))


def test_strided_input_is_read_as_it_is(random_map, random_rois, ops):
    strided = random_map(2, 8, 9, 16)[:, ::2, :, ::2].transpose(2, 3)
    rois = random_rois(9, 2, 9, 8)
    assert torch.equal(ops.ps_roi_pool(strided, rois, 2), ops.ps_roi_pool(strided.contiguous(), rois, 2))


any_number = st.floats(width=32) | st.sampled_from([0.0, 3.0, 1e9, -1e9, 3e38, -3e38, math.inf, -math.inf, math.nan])


@given(box=st.tuples(*[any_number] * 4), dtype=st.sampled_from([torch.float32, torch.float64]))
def test_any_box_returns_something_finite(box, dtype, ops):
    features = torch.ones(1, 8, 6, 5, dtype=dtype, requires_grad=True)
    pooled = ops.ps_roi_pool(features, torch.tensor([[0.0, *box]], dtype=dtype), 2)
    pooled.sum().backward()
    assert ((pooled == 0) | (pooled == 1)).all()
    torch.testing.assert_close(features.grad.sum(), pooled.sum())


def test_a_box_of_nan_or_infinity_takes_nothing(random_map, ops):
    rois = torch.tensor([[0, math.nan, 1, 4, 4], [0, -math.inf, 1, math.inf, 4], [0, 1, 1, 4, 4]]).double()
    pooled = ops.ps_roi_pool(random_map(1, 4, 6, 5), rois, 2)
    assert not pooled[:2].any() and pooled[2].all()


@pytest.mark.parametrize("index", [-1.0, 2.0, 1e30, math.nan])
def test_a_batch_index_out_of_range_is_refused(index):
    rois = torch.tensor([[0.0, 0, 0, 3, 3], [index, 0, 0, 3, 3]])
    with pytest.raises(IndexError, match=r"ps_roi_pool: rois\[1, 0\] must be a batch index below 2, got"):
        ps_roi_pool(torch.rand(2, 4, 4, 4), rois, 2)
    with pytest.raises(IndexError, match=r"ps_roi_pool_backward: rois\[1, 0\] must be a batch index below 2, got"):
        torch.ops.roibench.ps_roi_pool_backward(torch.rand(2, 1, 2, 2), rois, (2, 4, 4, 4), 1.0, False)


@each_format
@pytest.mark.parametrize(
    ("shape", "count"), [((0, 4, 4, 5), 0), ((2, 0, 4, 5), 3), ((2, 4, 0, 5), 3), ((2, 4, 4, 5), 0)]
)
def test_empty_input_gives_zeros_or_nothing(shape, count, memory_format, ops):
    features = torch.ones(shape).contiguous(memory_format=memory_format).requires_grad_()
    pooled = ops.ps_roi_pool(features, torch.zeros(count, 5), 2)
    assert pooled.shape == (count, shape[1] // 4, 2, 2) and not pooled.any()
    pooled.sum().backward()
    assert torch.equal(features.grad, torch.zeros(shape))


def test_channels_that_are_no_multiple_of_the_bins_are_refused(ops):
    with pytest.raises(ValueError, match=r"ps_roi_pool: .*must be a multiple of.*2 \* 2 bins, got 5"):
        ops.ps_roi_pool(torch.rand(1, 5, 4, 4), torch.zeros(2, 5), 2)


@each_format
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_keeps_the_rules_for_operators(memory_format, dtype, random_map, random_rois, put):
    features = random_map(2, 12, 6, 5, dtype=dtype).contiguous(memory_format=memory_format).requires_grad_()
    features, rois = put((features, random_rois(4, 2, 6, 5).float()))
    torch.library.opcheck(torch.ops.roibench.ps_roi_pool.default, (features, rois, 0.5, 2, 3))
    grad = put(random_map(4, 2, 2, 3, dtype=dtype)).requires_grad_()
    arguments = (grad, rois, features.shape, 0.5, memory_format == CHANNELS_LAST)
    torch.library.opcheck(torch.ops.roibench.ps_roi_pool_backward.default, arguments)


def test_compiles_as_one_graph_for_any_number_of_rois(random_map, random_rois, ops):
    features = random_map(2, 12, 6, 5).requires_grad_()

    def head(x, rois):
        return (ops.ps_roi_pool(x * 2, rois, (2, 3), 0.5) ** 2).sum()

    compiled = torch.compile(head, fullgraph=True, dynamic=True, backend="aot_eager")
    for n in (4, 9):
        rois = random_rois(n, 2, 12, 10)
        (eager,) = torch.autograd.grad(head(features, rois), features)
        (graph,) = torch.autograd.grad(compiled(features, rois), features)
        torch.testing.assert_close(graph, eager)
