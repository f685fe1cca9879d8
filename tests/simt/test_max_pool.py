"""max_pool.cu against the CPU operators roi_pool, spatial_pyramid_pool and roi_spatial_pyramid_pool: the same bits."""

import math
from itertools import chain

import pytest
import torch
from random_regions import random_map, random_rois
from torch import Tensor

import roibench.ops  # noqa: F401 - declares the operators
from simt import regions
from simt.kernels import NAMES
from simt.regions import CHANNELS_LAST, CONTIGUOUS, foreign_rois, in_memory, nasty_rois

each_format = pytest.mark.parametrize("memory_format", [CONTIGUOUS, CHANNELS_LAST], ids=["nchw", "nhwc"])
SMALL, LARGE, HALVED_FROM_2, HALVED_FROM_4 = range(4)  # BinsAre
each_sharing = pytest.mark.parametrize("bins", [SMALL, LARGE], ids=["by threads", "by warps"])
both_types = pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
each_type = pytest.mark.parametrize("dtype", [torch.float32, torch.float64, torch.float16, torch.bfloat16])
INTEGERS = {2: (torch.int16, "short"), 4: (torch.int32, "int"), 8: (torch.int64, "long")}
LEVELS = (4, 2, 1)


class Pooling:
    """Of RoIs, or without them of whole maps; into a map of one grid, or into the rows of a pyramid."""

    def __init__(self, kernels, features: Tensor, grids, rois: Tensor | None = None, scale=1.0, pyramid=True) -> None:
        self.kernels, self.features, self.grids, self.rois, self.scale = kernels, features, grids, rois, scale
        self.windows = regions.fill_windows(kernels, features, grids, rois, scale)
        size = (features.size(1), *grids[0]) if not pyramid else (features.size(1) * self.windows.bins,)
        self.size = (self.windows.count, *size)
        self.memory_format = CONTIGUOUS if pyramid else regions.format_of(features)

    def forward(self, bins: int, with_argmax: bool = True) -> tuple[Tensor, Tensor]:
        dtype, name = INTEGERS[self.features.element_size()]
        infinity = torch.tensor(math.inf, dtype=self.features.dtype).view(dtype).item()
        pooled = torch.full(self.size, 7, dtype=self.features.dtype).contiguous(memory_format=self.memory_format)
        argmax = torch.full((self.windows.count, self.windows.bins, self.features.size(1)), -7, dtype=torch.int32)
        self.kernels.max_pool[name](
            self.windows, bins, infinity, in_memory(self.features).view(dtype),
            self.memory_format == CHANNELS_LAST, in_memory(pooled).view(dtype), argmax if with_argmax else None,
        )  # fmt: skip
        return pooled, argmax

    def backward(self, grad: Tensor, argmax: Tensor, deterministic: bool) -> Tensor:
        if deterministic:
            launcher = self.kernels.max_pool_backward_deterministic[grad.dtype]
        else:
            launcher = self.kernels.max_pool_backward[f"{NAMES[grad.dtype]}, {NAMES[self.features.dtype]}"]
        input_grad = torch.full_like(self.features, math.nan if deterministic else 0)
        channels_last = regions.is_channels_last(grad)
        launcher(self.windows, in_memory(grad), channels_last, argmax, in_memory(input_grad))
        return input_grad

    def backward_on_cpu(self, grad: Tensor, argmax: Tensor, known=slice(None)) -> Tensor:
        return torch.ops.roibench.max_pool_backward(
            grad[known], argmax[known], None if self.rois is None else self.rois[known], self.scale,
            self.features.shape, [*chain(*self.grids)], regions.is_channels_last(self.features),
        )  # fmt: skip


def boxes(features: Tensor, scale: float = 1.0) -> Tensor:
    images, _, height, width = features.shape
    return torch.cat([random_rois(8, images, height / scale, width / scale), nasty_rois(images, 24)]).float()


def squares(levels) -> list[tuple[int, int]]:
    return [(level, level) for level in levels]


def assert_same(got, expected) -> None:
    """Bits, but for those inside a NaN."""
    for mine, theirs in zip(got, expected, strict=True):
        torch.testing.assert_close(mine, theirs, rtol=0, atol=0, equal_nan=True)
        assert torch.equal(mine.signbit() & (mine == 0), theirs.signbit() & (theirs == 0))


@each_format
@each_sharing
@each_type
def test_roi_pool_is_the_cpu_operator(kernels, memory_format, bins, dtype):
    features = random_map(2, 8, 9, 7, dtype=dtype, memory_format=memory_format)
    rois = boxes(features, 0.5)
    got = Pooling(kernels, features, [(3, 2)], rois, 0.5, pyramid=False).forward(bins)
    assert_same(got, torch.ops.roibench.roi_pool(features, rois, 0.5, 3, 2, True))


@each_format
@each_sharing
@pytest.mark.parametrize("channels", [1, 6, 36])
@pytest.mark.parametrize("levels", [LEVELS, (1,), (6, 1, 3)])
def test_pyramids_are_the_cpu_operators(kernels, memory_format, bins, channels, levels):
    features = random_map(2, channels, 5, 11, dtype=torch.float32, memory_format=memory_format)
    got = Pooling(kernels, features, squares(levels)).forward(bins)
    assert_same(got, torch.ops.roibench.spatial_pyramid_pool(features, levels, True))
    rois = random_rois(3, 2, 5, 11).float()
    got = Pooling(kernels, features, squares(levels), rois).forward(bins)
    assert_same(got, torch.ops.roibench.roi_spatial_pyramid_pool(features, rois, levels, 1.0, True))


@each_format
@each_type
@pytest.mark.parametrize("channels", [3, 8, 36])
@pytest.mark.parametrize("levels", [LEVELS, (4, 2), (2, 1)])
def test_grids_that_halve_are_pooled_in_one_pass(kernels, memory_format, dtype, channels, levels):
    features = random_map(2, channels, 9, 7, dtype=dtype, memory_format=memory_format)
    features[0, :, ::2] = 0.5  # equal numbers: the first pixel wins
    features[1, 0, 3, 3] = math.nan
    rois = boxes(features, 0.5)
    got = Pooling(kernels, features, squares(levels), rois, 0.5).forward(
        {4: HALVED_FROM_4, 2: HALVED_FROM_2}[levels[0]]
    )
    assert_same(got, torch.ops.roibench.roi_spatial_pyramid_pool(features, rois, levels, 0.5, True))


def test_a_pyramid_of_rois_of_no_image_is_nan(kernels):
    features = random_map(2, 4, 5, 6, dtype=torch.float32)
    pooled, argmax = Pooling(kernels, features, squares(LEVELS), foreign_rois(2).float()).forward(HALVED_FROM_4)
    assert pooled.isnan().all() and (argmax == -1).all()


@each_sharing
@each_type
def test_nan_is_the_maximum_and_of_equal_numbers_the_first_wins(kernels, bins, dtype):
    features = torch.tensor([0.0, -0.0, 1.0, math.nan, -math.inf, math.inf, -2.0])
    generator = torch.Generator().manual_seed(4)
    features = features[torch.randint(0, 7, (40, 4, 3, 5), generator=generator)].to(dtype)
    features[::3, :, 1:] = -math.inf
    got = Pooling(kernels, features, squares((2, 1))).forward(bins)
    assert_same(got, torch.ops.roibench.spatial_pyramid_pool(features, (2, 1), True))


def test_the_argmax_is_written_only_if_it_is_asked_for(kernels):
    features = random_map(1, 4, 5, 6, dtype=torch.float32)
    pooling = Pooling(kernels, features, squares(LEVELS))
    pooled, argmax = pooling.forward(LARGE, with_argmax=False)
    assert torch.equal(pooled, pooling.forward(LARGE)[0]) and (argmax == -7).all()


@each_format
@each_sharing
def test_rois_of_no_image_are_nan_and_have_no_gradient(kernels, memory_format, bins):
    features = random_map(2, 4, 5, 6, dtype=torch.float32, memory_format=memory_format)
    rois = torch.cat([random_rois(2, 2, 5, 6), foreign_rois(2).double(), random_rois(2, 2, 5, 6, seed=5)]).float()
    pooling, known = Pooling(kernels, features, [(2, 2)], rois, pyramid=False), [0, 1, -2, -1]
    pooled, argmax = pooling.forward(bins)
    assert pooled[2:-2].isnan().all() and (argmax[2:-2] == -1).all()
    assert_same((pooled[known], argmax[known]), torch.ops.roibench.roi_pool(features, rois[known], 1.0, 2, 2, True))
    grad = random_map(*pooled.shape, dtype=torch.float32, seed=2)
    expected = pooling.backward_on_cpu(grad, argmax, known)
    torch.testing.assert_close(pooling.backward(grad, argmax, deterministic=False), expected)
    if memory_format == CHANNELS_LAST:
        assert torch.equal(pooling.backward(grad, argmax, deterministic=True), expected)


@each_sharing
def test_maps_without_pixels_give_zeros(kernels, bins):
    features = torch.empty(2, 4, 0, 6)
    pooled, argmax = Pooling(kernels, features, squares(LEVELS), random_rois(3, 2, 5, 6)).forward(bins)
    assert not pooled.any() and (argmax == -1).all()


@each_format
@both_types
@pytest.mark.parametrize("grad_format", [CONTIGUOUS, CHANNELS_LAST])
def test_gradients_of_roi_pool_are_the_cpus(kernels, memory_format, dtype, grad_format):
    features = random_map(2, 35, 6, 7, dtype=dtype, memory_format=memory_format)
    pooling = Pooling(kernels, features, [(3, 2)], boxes(features), pyramid=False)
    _, argmax = pooling.forward(SMALL)
    grad = random_map(*pooling.size, dtype=dtype, seed=2).contiguous(memory_format=grad_format)
    expected = pooling.backward_on_cpu(grad, argmax)
    torch.testing.assert_close(pooling.backward(grad, argmax, deterministic=False), expected)
    if memory_format == CHANNELS_LAST:
        assert torch.equal(pooling.backward(grad, argmax, deterministic=True), expected)


@each_format
@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_gradients_of_half_types_are_summed_in_float32(kernels, memory_format, dtype):
    features = random_map(2, 35, 6, 7, dtype=torch.float32, memory_format=memory_format)
    pooling = Pooling(kernels, features, [(3, 2)], boxes(features), pyramid=False)
    _, argmax = pooling.forward(SMALL)
    grad = random_map(*pooling.size, dtype=dtype, seed=2)
    expected = pooling.backward_on_cpu(grad.float(), argmax)
    torch.testing.assert_close(pooling.backward(grad, argmax, deterministic=False), expected)


@each_format
@both_types
@pytest.mark.parametrize("of_rois", [False, True], ids=["maps", "rois"])
def test_gradients_of_pyramids_are_the_cpus(kernels, memory_format, dtype, of_rois):
    features = random_map(2, 6, 6, 7, dtype=dtype, memory_format=memory_format)
    rois = random_rois(40, 2, 6, 7) if of_rois else None
    pooling = Pooling(kernels, features, squares(LEVELS), rois)
    _, argmax = pooling.forward(LARGE)
    grad = torch.randn(pooling.size, generator=torch.Generator().manual_seed(2), dtype=dtype)
    expected = pooling.backward_on_cpu(grad, argmax)
    torch.testing.assert_close(pooling.backward(grad[:, :, None, None], argmax, deterministic=False), expected)
    if memory_format == CHANNELS_LAST:
        assert torch.equal(pooling.backward(grad[:, :, None, None], argmax, deterministic=True), expected)


def test_a_foreign_argmax_is_read_safely(kernels):
    features = random_map(1, 4, 3, 3, dtype=torch.float32)
    pooling = Pooling(kernels, features, [(1, 1)], torch.tensor([[0.0, 0, 0, 9, 9]]), pyramid=False)
    argmax = torch.tensor([9, -1, 2**31 - 1, -(2**31)], dtype=torch.int32).reshape(1, 1, 4)
    assert not pooling.backward(torch.ones(1, 4, 1, 1), argmax, deterministic=False).any()


def test_more_bins_than_a_warp_has_lanes(kernels):
    features = random_map(1, 4, 4, 3, dtype=torch.float64, memory_format=CHANNELS_LAST)
    pooling = Pooling(kernels, features, [(35, 37)], random_rois(3, 1, 4, 3), pyramid=False)
    pooled, argmax = pooling.forward(SMALL)
    grad = random_map(*pooled.shape, dtype=torch.float64, seed=2)
    got = pooling.backward(grad, argmax, deterministic=True)
    assert torch.equal(got, pooling.backward_on_cpu(grad, argmax))
