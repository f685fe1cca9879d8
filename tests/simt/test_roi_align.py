"""roi_align.cu against the CPU operator: the same taps in the same order, and so the same bits."""

import ctypes
import math
from ctypes import c_bool, c_int, c_int64, c_void_p

import pytest
import torch
from random_regions import random_map, random_rois
from torch import Tensor

from roibench import ops
from simt import regions
from simt.kernels import NAMES
from simt.regions import CHANNELS_LAST, CONTIGUOUS, foreign_rois, in_memory, nasty_rois

each_format = pytest.mark.parametrize("memory_format", [CONTIGUOUS, CHANNELS_LAST], ids=["nchw", "nhwc"])
each_ratio = pytest.mark.parametrize("ratio", [-1, 1, 2, 9])
each_alignment = pytest.mark.parametrize("aligned", [False, True])
both_types = pytest.mark.parametrize("dtype", [torch.float32, torch.float64])


class Taps(ctypes.Structure):
    _fields_ = (
        [("capacity_y", c_int), ("capacity_x", c_int)]
        + [(name, c_void_p) for name in ("taps", "bins", "covered", "image")]
    )  # fmt: skip


class Align:
    """The shape and the taps of one call."""

    def __init__(self, kernels, features: Tensor, rois: Tensor, size, scale=1.0, ratio=-1, aligned=False) -> None:
        self.kernels, self.dtype, self.features, self.n = kernels, regions.coordinates_of(features), features, len(rois)
        self.size = (len(rois), features.size(1), *size)

        class Shape(ctypes.Structure):
            _fields_ = [
                ("map", regions.FeatureMap), ("bins_y", c_int), ("bins_x", c_int), ("aligned", c_bool),
                ("ratio", c_int64), ("scale", regions.scalar_of(self.dtype)),
            ]  # fmt: skip

        self.shape = Shape(regions.feature_map(features), *size, aligned, ratio, scale)
        capacities = [self.capacity(bins, pixels, ratio) for bins, pixels in zip(size, features.shape[2:], strict=True)]
        words = 4 if self.dtype == torch.float64 else 2
        sizes = (words * self.n * sum(capacities), 2 * self.n * sum(size), 4 * self.n, self.n)
        self.tables = [torch.full((n,), -7, dtype=torch.int32) for n in sizes]
        self.taps = Taps(*capacities, *(table.data_ptr() for table in self.tables))
        self.taps.tensors = self.tables
        kernels.roi_align_taps[self.dtype](self.shape, rois.to(self.dtype).contiguous(), self.n, self.taps)

    @staticmethod
    def capacity(bins: int, pixels: int, ratio: int) -> int:
        by_pixels = pixels + 6 * bins
        return 2 * ratio * bins if 0 < ratio < by_pixels // (2 * bins) else by_pixels

    def forward(self) -> Tensor:
        pooled = torch.empty(self.size, dtype=self.features.dtype, memory_format=regions.format_of(self.features))
        pooled.fill_(7)
        types = f"{NAMES[self.features.dtype]}, {NAMES[self.dtype]}"
        self.kernels.roi_align[types](self.shape, self.taps, self.n, in_memory(self.features), in_memory(pooled))
        return pooled

    def backward(self, grad: Tensor, deterministic: bool) -> Tensor:
        if deterministic:
            launcher = self.kernels.roi_align_backward_deterministic[self.dtype]
        else:
            launcher = self.kernels.roi_align_backward[f"{NAMES[grad.dtype]}, {NAMES[self.dtype]}"]
        fresh = math.nan if deterministic else 0
        input_grad = torch.full_like(self.features, fresh, dtype=self.dtype)
        grad = grad.contiguous(memory_format=regions.format_of(self.features))
        launcher(self.shape, self.taps, self.n, in_memory(grad), in_memory(input_grad))
        return input_grad


def boxes(features: Tensor, scale: float = 1.0) -> Tensor:
    images, _, height, width = features.shape
    return torch.cat([random_rois(12, images, height / scale, width / scale), nasty_rois(images, 30)]).float()


@each_format
@each_ratio
@each_alignment
@both_types
def test_is_the_cpu_operator(kernels, memory_format, ratio, aligned, dtype):
    features = random_map(2, 8, 9, 7, dtype=dtype, memory_format=memory_format)
    rois = boxes(features, 0.5)
    got = Align(kernels, features, rois, (2, 3), 0.5, ratio, aligned).forward()
    assert torch.equal(got, ops.roi_align(features, rois, (2, 3), 0.5, ratio, aligned))


@each_format
@pytest.mark.parametrize("dtype", [torch.float32, torch.float16, torch.bfloat16])
@pytest.mark.parametrize("channels", [1, 6, 40])
@pytest.mark.parametrize("size", [(7, 7), (1, 1), (40, 2)])
def test_is_the_cpu_operator_for_any_type_number_of_channels_and_of_bins(kernels, memory_format, dtype, channels, size):
    features = random_map(2, channels, 5, 6, dtype=dtype, memory_format=memory_format)
    rois = random_rois(4, 2, 5, 6).float()
    assert torch.equal(Align(kernels, features, rois, size).forward(), ops.roi_align(features, rois, size))


@each_alignment
def test_the_tables_have_space_where_coordinates_are_so_large_that_samples_are_rounded_to_whole_pixels(
    kernels, aligned
):
    features = random_map(1, 1, 17, 40, dtype=torch.float32)
    generator = torch.Generator().manual_seed(4)
    reach = 10 ** (torch.rand(40, 4, generator=generator) * 7 + 1)
    rois = torch.cat([torch.zeros(40, 1), reach * torch.tensor([-1.0, -1, 1, 1])], dim=1)
    size = (33, 64)
    expected = ops.roi_align(features, rois, size, aligned=aligned)
    assert torch.equal(Align(kernels, features, rois, size, aligned=aligned).forward(), expected)


@each_format
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64, torch.float16])
def test_rois_of_no_image_are_nan_and_have_no_gradient(kernels, memory_format, dtype):
    features = random_map(2, 4, 5, 6, dtype=dtype, memory_format=memory_format)
    rois = torch.cat([random_rois(2, 2, 5, 6), foreign_rois(2).double(), random_rois(2, 2, 5, 6, seed=5)])
    align = Align(kernels, features, rois, (2, 2))
    pooled, known = align.forward(), [0, 1, -2, -1]
    assert pooled[2:-2].isnan().all()
    assert torch.equal(pooled[known], ops.roi_align(features, rois[known], 2))
    if dtype in (torch.float32, torch.float64):
        grad = random_map(*pooled.shape, dtype=dtype, seed=2)
        expected = backward_on_cpu(features, rois[known], grad[known], 1.0, -1, False)
        torch.testing.assert_close(align.backward(grad, deterministic=False), expected)


def test_a_map_without_pixels_gives_zeros(kernels):
    for shape in ((2, 4, 0, 6), (2, 4, 5, 0)):
        features = torch.empty(shape)
        assert not Align(kernels, features, random_rois(3, 2, 5, 6), (2, 2)).forward().any()


def backward_on_cpu(features, rois, grad, scale, ratio, aligned) -> Tensor:
    return torch.ops.roibench.roi_align_backward(
        grad, rois, features.shape, scale, ratio, aligned, regions.is_channels_last(features)
    )


@each_format
@each_ratio
@each_alignment
@both_types
def test_gradients_are_the_cpus(kernels, memory_format, ratio, aligned, dtype):
    features = random_map(2, 8, 9, 7, dtype=dtype, memory_format=memory_format)
    rois = boxes(features, 0.5)
    grad = random_map(len(rois), 8, 2, 3, dtype=dtype, seed=2)
    expected = backward_on_cpu(features, rois, grad, 0.5, ratio, aligned)
    align = Align(kernels, features, rois, (2, 3), 0.5, ratio, aligned)
    torch.testing.assert_close(align.backward(grad, deterministic=False), expected)
    if memory_format == CHANNELS_LAST:
        assert torch.equal(align.backward(grad, deterministic=True), expected)


@each_format
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16, torch.float16])
@pytest.mark.parametrize(
    ("channels", "pixels"),
    [(70, (5, 6)), (132, (5, 6)), (2, (3000, 3))],
    ids=["70", "132", "a map beyond shared memory"],
)
def test_gradients_of_any_type_number_of_channels_and_size(kernels, memory_format, dtype, channels, pixels):
    features = random_map(2, channels, *pixels, dtype=torch.float32, memory_format=memory_format)
    rois = random_rois(6, 2, *pixels).float()
    grad = random_map(len(rois), channels, 4, 3, dtype=dtype, seed=2)
    expected = backward_on_cpu(features, rois, grad.float(), 1.0, 2, False)
    got = Align(kernels, features, rois, (4, 3), ratio=2).backward(grad, deterministic=False)
    torch.testing.assert_close(got, expected)


@both_types
@pytest.mark.parametrize("channels", [1, 40, 130])
@pytest.mark.parametrize("size", [(1, 1), (7, 3), (31, 2)])
def test_sums_in_order_are_the_cpus_to_the_last_bit(kernels, dtype, channels, size):
    features = random_map(2, channels, 4, 3, dtype=dtype, memory_format=CHANNELS_LAST)
    rois = random_rois(40, 2, 4, 3)
    grad = random_map(40, channels, *size, dtype=dtype, seed=2)
    got = Align(kernels, features, rois, size).backward(grad, deterministic=True)
    assert torch.equal(got, backward_on_cpu(features, rois, grad, 1.0, -1, False))


def test_sums_in_order_over_many_bins_and_rois(kernels):
    """More than a warp has lanes, of both."""
    features = random_map(2, 4, 3, 2, dtype=torch.float64, memory_format=CHANNELS_LAST)
    rois = random_rois(40, 2, 3, 2)
    grad = random_map(40, 4, 33, 34, dtype=torch.float64, seed=2)
    got = Align(kernels, features, rois, (33, 34)).backward(grad, deterministic=True)
    torch.testing.assert_close(got, backward_on_cpu(features, rois, grad, 1.0, -1, False))
