"""The pyramid poolings: of whole maps against adaptive pooling, of RoIs against roi_pool."""

import math

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch.autograd import gradcheck, gradgradcheck
from torch.nn.functional import adaptive_avg_pool2d, adaptive_max_pool2d

from roibench.ops import roi_pool, roi_spatial_pyramid_pool

CONTIGUOUS, CHANNELS_LAST = torch.contiguous_format, torch.channels_last
each_format = pytest.mark.parametrize("memory_format", [CONTIGUOUS, CHANNELS_LAST], ids=["nchw", "nhwc"])
each_kind = pytest.mark.parametrize("kind", ["max", "avg"])


def of_adaptive_pooling(features, levels, kind="max"):
    pool = adaptive_max_pool2d if kind == "max" else adaptive_avg_pool2d
    return torch.cat([pool(features, level).flatten(1) for level in levels], 1)


def of_roi_pool(features, rois, levels, scale=1.0):
    return torch.cat([roi_pool(features, rois, level, scale).flatten(1) for level in levels], 1)


@given(
    shape=st.tuples(st.integers(1, 3), st.integers(1, 40), st.integers(1, 15), st.integers(1, 15)),
    levels=st.lists(st.integers(1, 6), min_size=1, max_size=4),
    dtype=st.sampled_from([torch.float64, torch.float32, torch.float16, torch.bfloat16]),
    memory_format=st.sampled_from([CONTIGUOUS, CHANNELS_LAST]),
    kind=st.sampled_from(["max", "avg"]),
)
def test_each_level_is_adaptive_pooling(shape, levels, dtype, memory_format, kind, random_map, ops):
    features = random_map(*shape, dtype=dtype).contiguous(memory_format=memory_format)
    got = ops.spatial_pyramid_pool(features, levels, kind)
    assert got.dtype == dtype
    torch.testing.assert_close(got, of_adaptive_pooling(features, levels, kind))


@given(
    shape=st.tuples(st.integers(1, 3), st.integers(1, 40), st.integers(1, 15), st.integers(1, 15)),
    levels=st.lists(st.integers(1, 6), min_size=1, max_size=4),
    dtype=st.sampled_from([torch.float64, torch.float32, torch.float16, torch.bfloat16]),
    memory_format=st.sampled_from([CONTIGUOUS, CHANNELS_LAST]),
)
def test_each_level_over_a_box_is_roi_pool(shape, levels, dtype, memory_format, random_map, random_rois, ops):
    features = random_map(*shape, dtype=dtype).contiguous(memory_format=memory_format)
    rois = random_rois(7, shape[0], shape[2] * 2, shape[3] * 2)
    got = ops.roi_spatial_pyramid_pool(features, rois, levels, 0.5)
    assert got.dtype == dtype
    assert torch.equal(got, of_roi_pool(features, rois, levels, 0.5))


@each_format
@pytest.mark.parametrize("dtype", [torch.float64, torch.float32, torch.bfloat16])
@pytest.mark.parametrize("channels", [3, 300])
def test_gradients_are_those_of_the_levels(memory_format, dtype, channels, random_map, random_rois, ops):
    features = random_map(2, channels, 13, 11, dtype=dtype).contiguous(memory_format=memory_format).requires_grad_()
    wide = features.detach().to(torch.promote_types(dtype, torch.float32)).requires_grad_()
    rois, levels = random_rois(9, 2, 13, 11), (4, 2, 1)
    for got, expected in [
        (ops.spatial_pyramid_pool(features), of_adaptive_pooling(wide, levels)),
        (ops.roi_spatial_pyramid_pool(features, rois), of_roi_pool(wide, rois, levels)),
    ]:
        weight = random_map(*got.shape, dtype=dtype, seed=2)
        (grad,) = torch.autograd.grad(got, features, weight)
        (grad_expected,) = torch.autograd.grad(expected, wide, weight.to(wide.dtype))
        torch.testing.assert_close(grad, grad_expected.to(dtype))
        assert grad.is_contiguous(memory_format=memory_format)


@each_kind
def test_gradients_are_derivatives_and_theirs_too(kind, random_map, ops):
    features = random_map(2, 2, 5, 4).requires_grad_()
    assert gradcheck(lambda x: ops.spatial_pyramid_pool(x, (3, 2, 1), kind), (features,))
    assert gradgradcheck(lambda x: ops.spatial_pyramid_pool(x, (3, 2, 1), kind), (features,))


def test_gradients_over_boxes_are_derivatives_and_theirs_too(random_map, random_rois, ops):
    features, rois = random_map(2, 2, 5, 4).requires_grad_(), random_rois(5, 2, 5, 4)
    assert gradcheck(lambda x: ops.roi_spatial_pyramid_pool(x, rois, (2, 1)), (features,))
    assert gradgradcheck(lambda x: ops.roi_spatial_pyramid_pool(x, rois, (2, 1)), (features,))


def test_nan_is_the_maximum(random_map, ops):
    features = random_map(1, 3, 8, 8)
    features[0, 1, 2, 5] = math.nan
    got = ops.spatial_pyramid_pool(features)
    torch.testing.assert_close(got, of_adaptive_pooling(features, (4, 2, 1)), equal_nan=True)
    assert got.isnan().sum() == 3


def test_strided_input_is_read_as_it_is(random_map, random_rois, ops):
    strided = random_map(2, 6, 9, 16)[:, ::2, :, ::2].transpose(2, 3)
    rois = random_rois(9, 2, 9, 8)
    assert torch.equal(ops.spatial_pyramid_pool(strided), ops.spatial_pyramid_pool(strided.contiguous()))
    assert torch.equal(
        ops.roi_spatial_pyramid_pool(strided, rois), ops.roi_spatial_pyramid_pool(strided.contiguous(), rois)
    )


@each_kind
@each_format
@pytest.mark.parametrize("shape", [(0, 3, 4, 5), (2, 0, 4, 5), (2, 3, 0, 5)])
def test_empty_maps_give_zeros_or_nothing(shape, memory_format, kind, ops):
    features = torch.ones(shape).contiguous(memory_format=memory_format).requires_grad_()
    pooled = ops.spatial_pyramid_pool(features, (2, 1), kind)
    assert pooled.shape == (shape[0], 5 * shape[1]) and not pooled.any()
    pooled.sum().backward()
    assert features.grad.shape == shape


@pytest.mark.parametrize(
    ("shape", "count"), [((0, 3, 4, 5), 0), ((2, 0, 4, 5), 3), ((2, 3, 0, 5), 3), ((2, 3, 4, 5), 0)]
)
def test_empty_maps_and_no_boxes_give_zeros_or_nothing(shape, count, ops):
    features = torch.ones(shape, requires_grad=True)
    pooled = ops.roi_spatial_pyramid_pool(features, torch.zeros(count, 5), (2, 1))
    assert pooled.shape == (count, 5 * shape[1]) and not pooled.any()
    pooled.sum().backward()
    assert torch.equal(features.grad, torch.zeros(shape))


@each_format
def test_the_number_of_threads_changes_no_bit(memory_format, threads, random_map, random_rois, ops):
    features = random_map(2, 270, 20, 20, dtype=torch.float32).contiguous(memory_format=memory_format).requires_grad_()
    rois = random_rois(50, 2, 20, 20).float()

    def run():
        pooled = torch.cat([ops.spatial_pyramid_pool(features), ops.roi_spatial_pyramid_pool(features, rois)])
        return pooled, *torch.autograd.grad(pooled, features, torch.cos(pooled.detach() * 9))

    first, *others = [threads(n, run) for n in (1, 2, 3)]
    for other in others:
        assert all(torch.equal(x, y) for x, y in zip(first, other, strict=True))


MAP, ROIS = torch.rand(1, 3, 4, 4), torch.zeros(2, 5)


@each_kind
@pytest.mark.parametrize(
    ("features", "levels", "error", "message"),
    [
        (
            MAP[0],
            (1,),
            ValueError,
            r"spatial_pyramid\w*_pool: input must have the shape \[N, C, H, W\], got \[3, 4, 4\]",
        ),
        (MAP.int(), (1,), TypeError, r"spatial_pyramid\w*_pool: input must be float32.*got Int"),
        (MAP, (), ValueError, r"spatial_pyramid\w*_pool: levels must hold at least one, got none"),
        (MAP, (2, 0), ValueError, r"spatial_pyramid\w*_pool: levels must be from 1 to 32768, got \[2, 0\]"),
    ],
)
def test_wrong_arguments_are_named(features, levels, error, message, kind, ops):
    with pytest.raises(error, match=message):
        ops.spatial_pyramid_pool(features, levels, kind)


def test_an_unknown_kind_is_refused(ops):
    with pytest.raises(ValueError, match="kind must be 'max' or 'avg', got 'sum'"):
        ops.spatial_pyramid_pool(MAP, kind="sum")


@pytest.mark.parametrize(
    ("features", "rois", "levels", "error", "message"),
    [
        (MAP[0], ROIS, (1,), ValueError, r"roi_spatial_pyramid_pool: input must have the shape \[N, C, H, W\]"),
        (MAP, ROIS[:, 1:], (1,), ValueError, r"roi_spatial_pyramid_pool: rois must have the shape \[K, 5\]"),
        (MAP, ROIS.int(), (1,), TypeError, "roi_spatial_pyramid_pool: rois must be float32.*got Int"),
        (MAP, ROIS, (-1,), ValueError, "roi_spatial_pyramid_pool: levels must be from 1 to"),
    ],
)
def test_wrong_arguments_of_the_one_over_boxes_are_named(features, rois, levels, error, message, ops):
    with pytest.raises(error, match=message):
        ops.roi_spatial_pyramid_pool(features, rois, levels)


def test_a_batch_index_out_of_range_is_refused():
    with pytest.raises(
        IndexError, match=r"roi_spatial_pyramid_pool: rois\[0, 0\] must be a batch index below 1, got 1"
    ):
        roi_spatial_pyramid_pool(MAP, ROIS + 1, (1,))


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
@pytest.mark.parametrize("with_argmax", [False, True])
def test_keeps_the_rules_for_operators(dtype, with_argmax, random_map, random_rois, put):
    features, rois = put((random_map(2, 3, 6, 5, dtype=dtype).requires_grad_(), random_rois(4, 2, 6, 5).float()))
    torch.library.opcheck(torch.ops.roibench.spatial_pyramid_pool.default, (features, [2, 1], with_argmax))
    arguments = (features, rois, [2, 1], 0.5, with_argmax)
    torch.library.opcheck(torch.ops.roibench.roi_spatial_pyramid_pool.default, arguments)


@each_kind
def test_compiles_as_one_graph_for_any_batch(kind, random_map, random_rois, ops):
    def head(x, rois):
        pooled = ops.roi_spatial_pyramid_pool(x * 2, rois, (2, 1), 0.5)
        return (pooled**2).sum() + (ops.spatial_pyramid_pool(x, (2, 1), kind) ** 2).sum()

    compiled = torch.compile(head, fullgraph=True, dynamic=True, backend="aot_eager")
    for n in (4, 9):
        features, rois = random_map(n, 3, 6, 5).requires_grad_(), random_rois(n, n, 12, 10)
        (eager,) = torch.autograd.grad(head(features, rois), features)
        (graph,) = torch.autograd.grad(compiled(features, rois), features)
        torch.testing.assert_close(graph, eager)
