"""What the poolings of regions have in common."""

import os
import subprocess
import sys

import pytest
import torch

from roibench import ops as operators

CHANNELS = 72  # a multiple of position-sensitive pooling's 2 x 2 bins
POOLINGS = pytest.mark.parametrize("pooling", ["roi_align", "roi_pool", "ps_roi_pool"])
FORMATS = pytest.mark.parametrize("memory_format", [torch.contiguous_format, torch.channels_last], ids=["nchw", "nhwc"])


@pytest.fixture
def pool(pooling, ops):
    return getattr(ops, pooling)


@POOLINGS
@FORMATS
def test_no_rois_give_an_empty_map_and_a_zero_gradient(pool, memory_format):
    features = torch.ones(2, CHANNELS, 4, 5).contiguous(memory_format=memory_format).requires_grad_()
    pooled = pool(features, [torch.zeros(0, 4)] * 2, 2)
    assert len(pooled) == 0 and pooled.shape[2:] == (2, 2)
    pooled.sum().backward()
    assert torch.equal(features.grad, torch.zeros(2, CHANNELS, 4, 5))


@POOLINGS
@FORMATS
def test_the_number_of_threads_changes_no_bit(pool, memory_format, threads, random_map, random_rois, deterministic):
    features = random_map(2, CHANNELS, 20, 20, dtype=torch.float32).contiguous(memory_format=memory_format)
    features.requires_grad_()
    rois = random_rois(150, 2, 20, 20).float()

    def run():
        pooled = pool(features, rois, 2)
        return pooled, *torch.autograd.grad(pooled, features, torch.cos(pooled.detach() * 9))

    first, *others = [threads(n, run) for n in (1, 2, 3)]
    for other in others:
        assert all(torch.equal(x, y) for x, y in zip(first, other, strict=True))


@POOLINGS
@pytest.mark.parametrize(
    ("arguments", "error", "message"),
    [
        ((torch.rand(4, 4, 4), torch.rand(2, 5), 2), ValueError, r"input must have the shape \[N, C, H, W\], got"),
        ((torch.ones(1, 4, 4, 4).int(), torch.rand(2, 5), 2), TypeError, "input must be float32.*got Int"),
        ((torch.rand(1, 4, 4, 4), torch.rand(2, 4), 2), ValueError, r"rois must have the shape \[K, 5\].*got \[2, 4\]"),
        ((torch.rand(1, 4, 4, 4), torch.zeros(2, 5), (2, 0)), ValueError, "output_size must be positive, got 2 x 0"),
        ((torch.rand(1, 4, 4, 4), torch.zeros(2, 5), (2, -1)), ValueError, "output_size must be positive, got 2 x -1"),
        ((torch.rand(1, 4, 4, 4), torch.zeros(2, 5), (2, 2, 2)), ValueError, "output_size must be an integer or"),
        ((torch.rand(1, 4, 4, 4), [torch.zeros(2, 5)], 2), ValueError, r"boxes\[0\] must have the shape \[L, 4\]"),
        ((torch.rand(1, 4, 4, 4), [], 2), ValueError, "boxes must hold a tensor for each image"),
    ],
)
def test_wrong_arguments_are_named(pool, arguments, error, message):
    with pytest.raises(error, match=message):
        pool(*arguments)


@POOLINGS
@pytest.mark.parametrize("index", [-1.0, 2.0, 1e30, float("nan")])
def test_on_a_gpu_a_roi_of_no_image_is_nan_and_has_no_gradient(gpu, pooling, index, random_map):
    pool = getattr(operators, pooling)
    features = random_map(2, CHANNELS, 5, 6, dtype=torch.float32).cuda().requires_grad_()
    good, foreign = torch.tensor([[[1.0, 0, 0, 3, 3]], [[index, 0, 0, 3, 3]]]).cuda()
    pooled, expected = pool(features, torch.cat([good, foreign]), 2), pool(features, good, 2)
    assert torch.equal(pooled[:1], expected) and pooled[1].isnan().all()
    grad, expected_grad = (torch.autograd.grad(each.sum(), features)[0] for each in (pooled, expected))
    torch.testing.assert_close(grad, expected_grad)


@POOLINGS
def test_on_a_gpu_a_roi_of_no_image_is_an_error_for_whoever_debugs(gpu, pooling):
    code = (
        f"import torch; from roibench.ops import {pooling} as pool\n"
        "pool(torch.rand(2, 4, 4, 4).cuda(), torch.tensor([[2.0, 0, 0, 3, 3]]).cuda(), 2)"
    )
    ran = subprocess.run(
        [sys.executable, "-c", code], env={**os.environ, "ROIBENCH_DEBUG": "1"}, capture_output=True, text=True
    )
    assert f"IndexError: {pooling}: rois[0, 0] must be a batch index below 2, got 2" in ran.stderr


@POOLINGS
@FORMATS
def test_a_gpus_deterministic_sums_are_the_same_bits_each_time(
    gpu, pooling, memory_format, random_map, random_rois, deterministic
):
    features = random_map(2, CHANNELS, 20, 20, dtype=torch.float32).contiguous(memory_format=memory_format).cuda()
    features.requires_grad_()
    rois = random_rois(150, 2, 20, 20).float().cuda()
    pooled = getattr(operators, pooling)(features, rois, 2)
    weight = torch.cos(pooled.detach() * 9)
    first, *others = [torch.autograd.grad(pooled, features, weight, retain_graph=True)[0] for _ in range(5)]
    assert all(torch.equal(other, first) for other in others)
