"""What holds on a GPU alone: CUDA graphs, torch's current stream, and no waiting for the device where nothing asks."""

from collections.abc import Callable

import pytest
import torch
from torch import Tensor

from roibench import ops

Call = Callable[[], Tensor | tuple[Tensor, ...]]


def gradient(op: Callable[..., Tensor], *arguments: object) -> Call:
    """The operator, and its derivative by the first argument."""

    def call() -> tuple[Tensor, ...]:
        first, *others = arguments
        learned = first.detach().requires_grad_()
        out = op(learned, *others)
        return out.detach(), *torch.autograd.grad(out.sum(), learned)

    return call


def random(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed)).cuda()


def corners(n: int) -> Tensor:
    corner, size = (random(n, 2, seed=seed).abs() * 8 for seed in (1, 2))
    return torch.cat([corner, corner + size], dim=1)


def rois(n: int) -> Tensor:
    return torch.cat([torch.arange(n, device="cuda")[:, None] % 2, corners(n)], dim=1)


# Whose results have a size that their arguments' shapes tell.
CALLS: dict[str, Callable[[], Call]] = {
    "box_iou": lambda: gradient(ops.box_iou, corners(50), corners(70), "ciou"),
    "box_iou elementwise": lambda: gradient(ops.box_iou, corners(50), corners(50), "giou", True),
    "sigmoid_focal_loss": lambda: gradient(ops.sigmoid_focal_loss, random(900), random(900, seed=3).sigmoid()),
    "sigmoid_focal_loss mean": lambda: gradient(
        ops.sigmoid_focal_loss, random(9000), random(9000, seed=3).sigmoid(), 0.25, 2.0, "mean"
    ),
    "conv_transpose2d": lambda: gradient(
        ops.conv_transpose2d, random(2, 6, 7, 9), random(6, 5, 4, 4, seed=3), random(5, seed=4), 2, 1
    ),
    "roi_align": lambda: gradient(ops.roi_align, random(2, 6, 20, 20), rois(30), 7),
    "roi_pool": lambda: gradient(ops.roi_pool, random(2, 6, 20, 20), rois(30), 7),
    "ps_roi_pool": lambda: gradient(ops.ps_roi_pool, random(2, 18, 20, 20), rois(30), 3),
    "spatial_pyramid_pool": lambda: gradient(ops.spatial_pyramid_pool, random(2, 6, 20, 20)),
    "roi_spatial_pyramid_pool": lambda: gradient(ops.roi_spatial_pyramid_pool, random(2, 6, 20, 20), rois(30)),
}
each_call = pytest.mark.parametrize("prepare", CALLS.values(), ids=CALLS)
pytestmark = pytest.mark.usefixtures("gpu")


@each_call
def test_a_cuda_graph_of_it_gives_the_same_again(prepare):
    call = prepare()
    aside = torch.cuda.Stream()
    aside.wait_stream(torch.cuda.current_stream())
    with torch.cuda.stream(aside):  # what is made on first use is not made in a graph
        expected = call()
    torch.cuda.current_stream().wait_stream(aside)
    graph = torch.cuda.CUDAGraph()
    with torch.cuda.graph(graph):
        got = call()
    graph.replay()
    torch.cuda.synchronize()
    torch.testing.assert_close(got, expected)


@each_call
def test_nothing_waits_for_the_device(prepare):
    call = prepare()
    before = torch.cuda.get_sync_debug_mode()
    torch.cuda.set_sync_debug_mode("error")
    try:
        call()
    finally:
        torch.cuda.set_sync_debug_mode(before)


def test_work_goes_to_the_current_stream():
    boxes, scores = corners(3000), random(3000).sigmoid()
    expected = ops.nms(boxes, scores, 0.5)
    aside = torch.cuda.Stream()
    with torch.cuda.stream(aside):
        torch.cuda._sleep(50_000_000)  # what ran on another stream would read these before they are written
        late_boxes, late_scores = boxes + 0, scores + 0
        kept = ops.nms(late_boxes, late_scores, 0.5)
    torch.cuda.current_stream().wait_stream(aside)
    assert torch.equal(kept, expected)


def test_views_that_begin_in_the_middle_of_16_bytes_are_read_as_they_are():
    memory = random(4 * 100 + 1).abs().cumsum(0)
    boxes = memory[1:].view(100, 4)
    assert boxes.data_ptr() % 16
    assert torch.equal(ops.box_iou(boxes, boxes), ops.box_iou(boxes.clone(), boxes.clone()))
    loss, targets = memory[1:], memory[1:].sigmoid()
    assert torch.equal(ops.sigmoid_focal_loss(loss, targets), ops.sigmoid_focal_loss(loss.clone(), targets))
