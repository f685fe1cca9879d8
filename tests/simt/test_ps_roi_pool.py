"""ps_roi_pool.cu against the CPU operator: the same bits."""

import math

import pytest
import torch
from random_regions import random_map, random_rois
from torch import Tensor

from roibench import ops
from simt import regions
from simt.kernels import NAMES
from simt.regions import CHANNELS_LAST, CONTIGUOUS, foreign_rois, in_memory, nasty_rois

each_format = pytest.mark.parametrize("memory_format", [CONTIGUOUS, CHANNELS_LAST], ids=["nchw", "nhwc"])
both_types = pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
SIZE = (3, 2)


class Pooling:
    def __init__(self, kernels, features: Tensor, rois: Tensor, size=SIZE, scale: float = 1.0) -> None:
        self.kernels, self.features, self.rois, self.scale = kernels, features, rois, scale
        self.windows = regions.fill_windows(kernels, features, [size], rois, scale, last=0)
        self.size = (len(rois), features.size(1) // math.prod(size), *size)

    def forward(self) -> Tensor:
        pooled = torch.full(self.size, 7, dtype=self.features.dtype)
        self.kernels.ps_roi_pool[NAMES[self.features.dtype]](self.windows, in_memory(self.features), pooled)
        return pooled

    def backward(self, grad: Tensor, deterministic: bool) -> Tensor:
        launcher = (
            self.kernels.ps_roi_pool_backward_deterministic if deterministic else self.kernels.ps_roi_pool_backward
        )
        input_grad = torch.full_like(self.features, math.nan if deterministic else 0)
        launcher[grad.dtype](self.windows, grad, in_memory(input_grad))
        return input_grad

    def backward_on_cpu(self, grad: Tensor, known=slice(None)) -> Tensor:
        return torch.ops.roibench.ps_roi_pool_backward(
            grad[known], self.rois[known], self.features.shape, self.scale, regions.is_channels_last(self.features)
        )


@each_format
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64, torch.float16, torch.bfloat16])
def test_is_the_cpu_operator(kernels, memory_format, dtype):
    features = random_map(2, 18, 9, 7, dtype=dtype, memory_format=memory_format)
    rois = torch.cat([random_rois(8, 2, 18, 14), nasty_rois(2)]).float()
    got = Pooling(kernels, features, rois, scale=0.5).forward()
    assert torch.equal(got, ops.ps_roi_pool(features, rois, SIZE, 0.5))


@pytest.mark.parametrize(("outputs", "size"), [(1, (1, 1)), (300, (1, 1)), (6, (7, 7))])
def test_is_the_cpu_operator_for_any_number_of_channels(kernels, outputs, size):
    features = random_map(1, outputs * math.prod(size), 4, 6, dtype=torch.float32)
    rois = random_rois(3, 1, 4, 6).float()
    assert torch.equal(Pooling(kernels, features, rois, size).forward(), ops.ps_roi_pool(features, rois, size))


@each_format
@both_types
def test_gradients_are_the_cpus(kernels, memory_format, dtype):
    features = random_map(2, 18, 9, 7, dtype=dtype, memory_format=memory_format)
    rois = torch.cat([random_rois(20, 2, 18, 14), nasty_rois(2)]).float()
    pooling = Pooling(kernels, features, rois, scale=0.5)
    grad = random_map(*pooling.size, dtype=dtype, seed=2)
    expected = pooling.backward_on_cpu(grad)
    torch.testing.assert_close(pooling.backward(grad, deterministic=False), expected)
    deterministic = pooling.backward(grad, deterministic=True)
    torch.testing.assert_close(deterministic, expected)
    if memory_format == CHANNELS_LAST:  # elsewhere the CPU takes RoIs in the order of their bins' size
        assert torch.equal(deterministic, expected)


@each_format
def test_rois_of_no_image_are_nan_and_have_no_gradient(kernels, memory_format):
    features = random_map(2, 12, 5, 6, dtype=torch.float32, memory_format=memory_format)
    rois = torch.cat([random_rois(2, 2, 5, 6), foreign_rois(2).double(), random_rois(2, 2, 5, 6, seed=5)]).float()
    pooling, known = Pooling(kernels, features, rois), [0, 1, -2, -1]
    pooled = pooling.forward()
    assert pooled[2:-2].isnan().all()
    assert torch.equal(pooled[known], ops.ps_roi_pool(features, rois[known], SIZE))
    grad = random_map(*pooled.shape, dtype=torch.float32, seed=2)
    expected = pooling.backward_on_cpu(grad, known)
    for deterministic in (False, True):
        torch.testing.assert_close(pooling.backward(grad, deterministic), expected)


def test_maps_without_pixels_give_zeros(kernels):
    for shape in ((2, 6, 0, 6), (2, 6, 5, 0)):
        assert not Pooling(kernels, torch.empty(shape), random_rois(3, 2, 5, 6)).forward().any()
