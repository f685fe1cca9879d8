"""What the poolings of regions have in common."""

import pytest
import torch

from roibench import ops

CHANNELS = 72  # a multiple of position-sensitive pooling's 2 x 2 bins
POOLINGS = pytest.mark.parametrize(
    "pool", [ops.roi_align, ops.roi_pool, ops.ps_roi_pool], ids=lambda pool: pool.__name__
)
FORMATS = pytest.mark.parametrize("memory_format", [torch.contiguous_format, torch.channels_last], ids=["nchw", "nhwc"])


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
def test_the_number_of_threads_changes_no_bit(pool, memory_format, threads, random_map, random_rois):
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
