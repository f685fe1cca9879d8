"""roi_pool against its definition, and against torchvision where that is right."""

import math

import pytest
import torch
import torchvision
from hypothesis import given
from hypothesis import strategies as st
from torch.autograd import gradcheck, gradgradcheck

from roibench.ops import roi_pool

CONTIGUOUS, CHANNELS_LAST = torch.contiguous_format, torch.channels_last
each_format = pytest.mark.parametrize("memory_format", [CONTIGUOUS, CHANNELS_LAST], ids=["nchw", "nhwc"])
DTYPES = [torch.float64, torch.float32, torch.float16, torch.bfloat16]


def rounded(x: float) -> int:
    return int(math.copysign(math.floor(abs(x) + 0.5), x))


def pixel_ranges(low: float, high: float, scale: float, bins: int, size: int) -> list[tuple[int, int]]:
    start = rounded(low * scale)
    length = max(rounded(high * scale) - start + 1, 1)
    return [
        (
            min(max(start + math.floor(i * (length / bins)), 0), size),
            min(max(start + math.ceil((i + 1) * (length / bins)), 0), size),
        )
        for i in range(bins)
    ]


def definition(features, rois, size, scale):
    """Fast R-CNN's definition with torchvision's rounding, one bin after another."""
    out = torch.zeros(len(rois), features.size(1), *size, dtype=features.dtype)
    for k, (image, x1, y1, x2, y2) in enumerate(rois.tolist()):
        for i, (top, bottom) in enumerate(pixel_ranges(y1, y2, scale, size[0], features.size(2))):
            for j, (left, right) in enumerate(pixel_ranges(x1, x2, scale, size[1], features.size(3))):
                if top < bottom and left < right:
                    out[k, :, i, j] = features[int(image), :, top:bottom, left:right].amax((1, 2))
    return out


@given(
    shape=st.tuples(st.integers(1, 3), st.integers(1, 5), st.integers(1, 9), st.integers(1, 9)),
    size=st.tuples(st.integers(1, 5), st.integers(1, 5)),
    scale=st.sampled_from([1.0, 0.5, 0.3]),
    dtype=st.sampled_from(DTYPES),
    memory_format=st.sampled_from([CONTIGUOUS, CHANNELS_LAST]),
    seed=st.integers(0, 99),
)
def test_is_its_definition(shape, size, scale, dtype, memory_format, seed, random_map, random_rois, ops):
    features = random_map(*shape, seed=seed, dtype=dtype)
    rois = random_rois(4, shape[0], shape[2] / scale, shape[3] / scale, seed).to(torch.float32)
    got = ops.roi_pool(features.contiguous(memory_format=memory_format), rois, size, scale)
    assert got.dtype == dtype
    arithmetic = torch.float64 if dtype == torch.float64 else torch.float32
    theirs = torchvision.ops.roi_pool(features.to(arithmetic), rois.to(arithmetic), size, scale)
    assert torch.equal(got.to(arithmetic), theirs)
    if dtype == torch.float64:
        assert torch.equal(got, definition(features, rois.double(), size, scale))


@each_format
@pytest.mark.parametrize("dtype", [torch.float64, torch.float32])
@pytest.mark.parametrize("channels", [1, 16, 83, 260])
@pytest.mark.parametrize("count", [6, 60], ids=["fewer numbers than pixels", "more"])
def test_agrees_with_torchvision_forward_and_backward(
    memory_format, dtype, channels, count, random_map, random_rois, ops
):
    ours = random_map(2, channels, 13, 21, dtype=dtype).contiguous(memory_format=memory_format).requires_grad_()
    theirs = ours.detach().contiguous().requires_grad_()
    rois = random_rois(count, 2, 26, 42).to(dtype)
    got, expected = ops.roi_pool(ours, rois, (5, 3), 0.5), torchvision.ops.roi_pool(theirs, rois, (5, 3), 0.5)
    assert torch.equal(got, expected)
    assert torch.equal(got, ops.roi_pool(ours.detach(), rois, (5, 3), 0.5)), "pooling without argmax differs"
    assert got.is_contiguous(memory_format=memory_format)
    weight = random_map(*got.shape, seed=2, dtype=dtype)
    for weights in (weight, weight.contiguous(memory_format=CHANNELS_LAST), weight[:1].expand_as(weight)):
        (grad,) = torch.autograd.grad(got, ours, weights, retain_graph=True)
        (grad_expected,) = torch.autograd.grad(expected, theirs, weights, retain_graph=True)
        torch.testing.assert_close(grad, grad_expected)
        assert grad.is_contiguous(memory_format=memory_format)


def test_the_argmax_is_the_first_largest_pixel_and_none_for_an_empty_bin(put):
    features = put(torch.tensor([[[[1.0, 5.0, 5.0], [5.0, 0.0, 2.0]]]]))
    rois = put(torch.tensor([[0.0, 0, 0, 2, 1], [0, 1, 1, 2, 1], [0, 9, 9, 12, 12]]))
    _, argmax = torch.ops.roibench.roi_pool(features, rois, 1.0, 1, 1, True)
    assert argmax.dtype == torch.int32
    assert argmax.flatten().tolist() == [1, 5, -1]
    assert torch.ops.roibench.roi_pool(features, rois, 1.0, 1, 1)[1].numel() == 0


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("channels", [1, 83])
@pytest.mark.parametrize("with_gradient", [False, True])
def test_nan_is_the_maximum_and_infinities_and_zeros_have_their_order(dtype, channels, with_gradient, ops):
    inf, nan = math.inf, math.nan
    cases = [[nan, nan], [nan, 1], [1, -nan], [-inf, -inf], [-inf, -3], [inf, nan], [inf, 1], [-0.0, -1], [-2, -1]]
    features = torch.tensor(cases, dtype=dtype).reshape(len(cases), 1, 1, 2).expand(-1, channels, -1, -1)
    rois = torch.tensor([[i, 0, 0, 1, 0] for i in range(len(cases))]).float()
    got = ops.roi_pool(features.clone().requires_grad_(with_gradient), rois, 1)
    expected = torch.tensor([nan, nan, nan, -inf, -3, nan, inf, 0, -1], dtype=dtype)
    assert torch.equal(got[..., 0, 0].nan_to_num(7e4), expected[:, None].expand(-1, channels).nan_to_num(7e4))


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
@each_format
def test_gradients_of_half_types_are_float32_rounded_once(
    dtype, memory_format, random_map, random_rois, ops, deterministic
):
    features = random_map(2, 20, 9, 8, dtype=dtype).contiguous(memory_format=memory_format).requires_grad_()
    rois = random_rois(15, 2, 9, 8).float()
    wide = features.detach().float().requires_grad_()
    got, expected = ops.roi_pool(features, rois, 3), ops.roi_pool(wide, rois, 3)
    assert torch.equal(got, expected.to(dtype))
    weight = random_map(*got.shape, dtype=dtype, seed=3)
    (grad,) = torch.autograd.grad(got, features, weight)
    (grad_expected,) = torch.autograd.grad(expected, wide, weight.float())
    assert torch.equal(grad, grad_expected.to(dtype))


def test_autocast_returns_the_inputs_dtype(random_map, random_rois, ops, device):
    features, rois = random_map(1, 8, 9, 8, dtype=torch.bfloat16), random_rois(5, 1, 9, 8).float()
    with torch.autocast(device, torch.bfloat16):
        got = ops.roi_pool(features, rois, 2)
    assert got.dtype == torch.bfloat16
    assert torch.equal(got, ops.roi_pool(features, rois, 2))


def test_strided_input_is_read_as_it_is(random_map, random_rois, ops):
    strided = random_map(2, 6, 9, 16)[:, ::2, :, ::2].transpose(2, 3)
    rois = random_rois(9, 2, 9, 8)
    assert torch.equal(ops.roi_pool(strided, rois, 3), ops.roi_pool(strided.contiguous(), rois, 3))


def test_gradients_are_derivatives_and_theirs_too(random_map, random_rois, ops):
    features = random_map(2, 2, 5, 4).requires_grad_()
    rois = random_rois(6, 2, 5, 4)
    assert gradcheck(lambda x: ops.roi_pool(x, rois, (2, 3)), (features,))
    assert gradgradcheck(lambda x: ops.roi_pool(x, rois, (2, 3)), (features,))


def test_a_list_of_boxes_is_one_tensor_per_image(random_map, random_rois, ops):
    features, rois = random_map(3, 2, 9, 8), random_rois(10, 3, 9, 8)
    rois = rois[rois[:, 0].argsort()]
    per_image = [rois[rois[:, 0] == i, 1:] for i in range(3)]
    assert torch.equal(ops.roi_pool(features, per_image, 2), ops.roi_pool(features, rois, 2))


any_number = st.floats(width=32) | st.sampled_from([0.0, 3.0, 1e9, -1e9, 3e38, -3e38, math.inf, -math.inf, math.nan])


@given(box=st.tuples(*[any_number] * 4), dtype=st.sampled_from([torch.float32, torch.float64]))
def test_any_box_returns_something_finite(box, dtype, ops):
    features = torch.ones(1, 3, 6, 5, dtype=dtype, requires_grad=True)
    pooled = ops.roi_pool(features, torch.tensor([[0.0, *box]], dtype=dtype), 2)
    pooled.sum().backward()
    assert ((pooled == 0) | (pooled == 1)).all()
    assert features.grad.sum() == pooled.sum()


def test_a_box_of_nan_or_infinity_takes_nothing_and_a_huge_one_takes_all(random_map, ops):
    features = random_map(1, 2, 6, 5)
    good, huge = [0.0, 1.0, 1.0, 4.0, 4.0], [0.0, -1e15, -1e15, 1e15, 1e15]
    rois = torch.tensor([good, [0, math.nan, 1, 4, 4], [0, -math.inf, 1, math.inf, 4], huge, good]).double()
    pooled = ops.roi_pool(features, rois, 1)
    assert torch.equal(pooled[0], pooled[4]) and pooled[0].all()
    assert not pooled[1:3].any()
    assert torch.equal(pooled[3].flatten(), features.amax((0, 2, 3)))


@pytest.mark.parametrize("index", [-1.0, 2.0, 1e30, math.nan])
def test_a_batch_index_out_of_range_is_refused(index):
    rois = torch.tensor([[0.0, 0, 0, 3, 3], [index, 0, 0, 3, 3]])
    with pytest.raises(IndexError, match=r"roi_pool: rois\[1, 0\] must be a batch index below 2, got"):
        roi_pool(torch.rand(2, 1, 4, 4), rois, 2)
    argmax = torch.zeros(2, 4, 1, dtype=torch.int32)
    with pytest.raises(IndexError, match=r"max_pool_backward: rois\[1, 0\] must be a batch index below 2, got"):
        torch.ops.roibench.max_pool_backward(torch.rand(2, 1, 2, 2), argmax, rois, 1.0, (2, 1, 4, 4), (2, 2), False)


@each_format
@pytest.mark.parametrize("shape", [(0, 3, 4, 5), (2, 0, 4, 5), (2, 3, 0, 5)])
def test_empty_input_gives_zeros_or_nothing(shape, memory_format, ops):
    rois = torch.zeros(0 if shape[0] == 0 else 3, 5)
    features = torch.ones(shape).contiguous(memory_format=memory_format).requires_grad_()
    pooled = ops.roi_pool(features, rois, 2)
    assert pooled.shape == (len(rois), shape[1], 2, 2) and not pooled.any()
    (grad,) = torch.autograd.grad(pooled.sum(), features, create_graph=True)
    assert grad.shape == shape
    torch.autograd.grad(grad.sum() + 0 * pooled.sum(), features, allow_unused=True)


def test_a_map_of_too_many_pixels_is_refused():
    with pytest.raises(ValueError, match=r"roi_pool: .*fewer than 2\^31 pixels"):
        roi_pool(torch.zeros(1).expand(1, 1, 65536, 65536), torch.zeros(2, 5), 2)


def test_a_foreign_argmax_is_refused_or_read_safely(put):
    def backward(*arguments):
        return torch.ops.roibench.max_pool_backward(*put(arguments))

    grad, rois, size = torch.ones(1, 1, 1, 1), torch.tensor([[0.0, 0, 0, 9, 9]]), (1, 1, 4, 4)
    with pytest.raises(ValueError, match=r"argmax must have the shape \[1, 1, 1\], got \[1, 1, 2\]"):
        backward(grad, torch.zeros(1, 1, 2, dtype=torch.int32), rois, 1.0, size, (1, 1), False)
    with pytest.raises(TypeError, match="argmax must be int32, got Long"):
        backward(grad, torch.zeros(1, 1, 1, dtype=torch.int64), rois, 1.0, size, (1, 1), False)
    with pytest.raises(ValueError, match="grad must have a number for each of argmax"):
        backward(torch.ones(1, 2, 1, 1), torch.zeros(1, 1, 1, dtype=torch.int32), rois, 1.0, size, (1, 1), False)
    far = torch.full((1, 1, 1), 2**31 - 1, dtype=torch.int32)
    assert not backward(grad, far, rois, 1.0, size, (1, 1), False).any()


@each_format
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_keeps_the_rules_for_operators(memory_format, dtype, random_map, random_rois, put):
    features = random_map(2, 3, 6, 5, dtype=dtype).contiguous(memory_format=memory_format).requires_grad_()
    features, rois = put((features, random_rois(4, 2, 6, 5).float()))
    for with_argmax in (False, True):
        torch.library.opcheck(torch.ops.roibench.roi_pool.default, (features, rois, 0.5, 2, 3, with_argmax))
    grad, argmax = torch.ops.roibench.roi_pool(features, rois, 0.5, 2, 3, True)
    torch.library.opcheck(
        torch.ops.roibench.max_pool_backward.default,
        (
            grad.detach().requires_grad_(), argmax, rois, 0.5, features.shape, (2, 3), memory_format == CHANNELS_LAST,
        ),
    )  # fmt: skip


def test_compiles_as_one_graph_for_any_number_of_rois(random_map, random_rois, ops):
    features = random_map(2, 3, 6, 5).requires_grad_()

    def head(x, rois):
        return (ops.roi_pool(x * 2, rois, (2, 3), 0.5) ** 2).sum()

    compiled = torch.compile(head, fullgraph=True, dynamic=True, backend="aot_eager")
    for n in (4, 9):
        rois = random_rois(n, 2, 12, 10)
        (eager,) = torch.autograd.grad(head(features, rois), features)
        (graph,) = torch.autograd.grad(compiled(features, rois), features)
        torch.testing.assert_close(graph, eager)
