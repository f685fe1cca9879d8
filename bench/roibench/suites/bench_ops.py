"""Each operator beside torchvision's or torch's, on the same tensors in the same run; and what the suite's work costs.

pytest-benchmark groups an operator with its peer, so that the ratio stands in one table.
"""

from collections.abc import Callable
from contextlib import nullcontext
from statistics import median
from time import perf_counter

import pytest
import torch
import torchvision.ops as peer
from torch import Tensor
from torch.nn.functional import adaptive_max_pool2d, conv_transpose2d

from roibench import ops
from roibench.datasets.scenes import compose
from roibench.measure.timing import time_predictions
from roibench.metrics.detection import coco_ap
from roibench.structures import Input, Prediction, Target

SIDES = pytest.mark.parametrize("side", ["roibench", "torchvision"])
SIZE = 800.0


def boxes(count: int) -> Tensor:
    """xyxy boxes, uniform over an image of 800 x 800 pixels, sides up to a fifth of it."""
    generator = torch.Generator().manual_seed(0)
    corner = torch.rand(count, 2, generator=generator) * SIZE
    return torch.cat([corner, corner + torch.rand(count, 2, generator=generator) * SIZE / 5], dim=1)


def scores(count: int) -> Tensor:
    return torch.rand(count, generator=torch.Generator().manual_seed(1))


def timed(benchmark, operator: str, call: Callable[[], object]) -> None:
    benchmark.group = operator
    benchmark.extra_info["threads"] = torch.get_num_threads()
    benchmark.pedantic(call, rounds=15, warmup_rounds=2)


@SIDES
def test_box_iou(side, benchmark):
    many, few = boxes(10_000), boxes(1_000)
    call = ops.box_iou if side == "roibench" else peer.box_iou
    timed(benchmark, "box_iou 10,000 x 1,000", lambda: call(many, few))


@SIDES
def test_nms(side, benchmark):
    one, score = boxes(5_000), scores(5_000)
    call = ops.nms if side == "roibench" else peer.nms
    timed(benchmark, "nms 5,000, IoU 0.5", lambda: call(one, score, 0.5))


@SIDES
def test_batched_nms(side, benchmark):
    one, score = boxes(20_000), scores(20_000)
    classes = torch.randint(0, 80, (20_000,), generator=torch.Generator().manual_seed(2))
    call = ops.batched_nms if side == "roibench" else peer.batched_nms
    timed(benchmark, "batched_nms 20,000, 80 classes, IoU 0.5", lambda: call(one, score, classes, 0.5))


def features() -> tuple[Tensor, Tensor]:
    """A map at stride 16 of two images of 800 x 1088 pixels, and 512 RoIs of them."""
    feature = torch.randn(2, 256, 50, 68, generator=torch.Generator().manual_seed(3))
    rois = torch.cat([torch.arange(512)[:, None] % 2, boxes(512)], dim=1)
    return feature, rois


@SIDES
def test_roi_align_forward(side, benchmark):
    feature, rois = features()
    call = ops.roi_align if side == "roibench" else peer.roi_align
    timed(
        benchmark, "roi_align forward (2,256,50,68), 512 RoIs, 7x7, ratio 2", lambda: call(feature, rois, 7, 1 / 16, 2)
    )


@SIDES
def test_roi_align_backward(side, benchmark):
    feature, rois = features()
    call = ops.roi_align if side == "roibench" else peer.roi_align
    pooled = call(feature.requires_grad_(), rois, 7, 1 / 16, 2)
    gradient = torch.ones_like(pooled)
    timed(
        benchmark,
        "roi_align backward (2,256,50,68), 512 RoIs, 7x7, ratio 2",
        lambda: torch.autograd.grad(pooled, feature, gradient, retain_graph=True),
    )


@SIDES
def test_roi_pool_forward(side, benchmark):
    feature, rois = features()
    call = ops.roi_pool if side == "roibench" else peer.roi_pool
    timed(benchmark, "roi_pool forward (2,256,50,68), 512 RoIs, 7x7", lambda: call(feature, rois, 7, 1 / 16))


@SIDES
def test_roi_pool_backward(side, benchmark):
    feature, rois = features()
    call = ops.roi_pool if side == "roibench" else peer.roi_pool
    pooled = call(feature.requires_grad_(), rois, 7, 1 / 16)
    gradient = torch.ones_like(pooled)
    timed(
        benchmark,
        "roi_pool backward (2,256,50,68), 512 RoIs, 7x7",
        lambda: torch.autograd.grad(pooled, feature, gradient, retain_graph=True),
    )


@SIDES
def test_ps_roi_pool_forward(side, benchmark):
    _, rois = features()
    feature = torch.randn(2, 10 * 7 * 7, 50, 68, generator=torch.Generator().manual_seed(4))
    call = ops.ps_roi_pool if side == "roibench" else peer.ps_roi_pool
    timed(benchmark, "ps_roi_pool forward (2,490,50,68), 512 RoIs, 7x7", lambda: call(feature, rois, 7, 1 / 16))


def adaptive_max_pools(feature: Tensor) -> Tensor:
    return torch.cat([adaptive_max_pool2d(feature, level).flatten(1) for level in (4, 2, 1)], dim=1)


@pytest.mark.parametrize("side", ["roibench", "torch"])
def test_spatial_pyramid_pool(side, benchmark):
    feature = torch.randn(8, 256, 13, 13, generator=torch.Generator().manual_seed(5))
    call = ops.spatial_pyramid_pool if side == "roibench" else adaptive_max_pools
    timed(benchmark, "spatial_pyramid_pool (8,256,13,13), levels 4, 2, 1", lambda: call(feature))


@SIDES
def test_roi_spatial_pyramid_pool(side, benchmark):
    feature, rois = features()

    def roi_pools() -> Tensor:
        return torch.cat([peer.roi_pool(feature, rois, level, 1 / 16).flatten(1) for level in (4, 2, 1)], dim=1)

    def pyramid() -> Tensor:
        return ops.roi_spatial_pyramid_pool(feature, rois, (4, 2, 1), 1 / 16)

    call = pyramid if side == "roibench" else roi_pools
    timed(benchmark, "roi_spatial_pyramid_pool (2,256,50,68), 512 RoIs, levels 4, 2, 1", call)


@pytest.mark.parametrize("method", ["linear", "gaussian"])
def test_soft_nms(method, benchmark):
    """No peer: torchvision has none."""
    one, score = boxes(2_000), scores(2_000)
    timed(benchmark, "soft_nms 2,000", lambda: ops.soft_nms(one, score, method))


def dense_predictions() -> tuple[Tensor, Tensor]:
    """Logits of 80 classes for 100,000 anchors, and labels of which one in 50 is positive."""
    generator = torch.Generator().manual_seed(4)
    return torch.randn(100_000, 80, generator=generator) * 3, (
        torch.rand(100_000, 80, generator=generator) < 0.02
    ).float()


@SIDES
def test_sigmoid_focal_loss_forward(side, benchmark):
    logits, labels = dense_predictions()
    call = ops.sigmoid_focal_loss if side == "roibench" else peer.sigmoid_focal_loss
    timed(benchmark, "sigmoid_focal_loss forward 100,000 x 80", lambda: call(logits, labels))


@SIDES
@pytest.mark.parametrize("reduction", ["none", "sum"])
def test_sigmoid_focal_loss_forward_and_backward(reduction, side, benchmark):
    logits, labels = dense_predictions()
    call = ops.sigmoid_focal_loss if side == "roibench" else peer.sigmoid_focal_loss
    logits.requires_grad_()
    timed(
        benchmark,
        f"sigmoid_focal_loss forward and backward 100,000 x 80, {reduction}",
        lambda: torch.autograd.grad(call(logits, labels, reduction=reduction).sum(), logits),
    )


@pytest.mark.parametrize("side", ["roibench", "torch"])
@pytest.mark.parametrize("memory_format", [torch.contiguous_format, torch.channels_last], ids=["nchw", "nhwc"])
@pytest.mark.parametrize(
    ("shape", "channels", "kernel", "stride", "padding"),
    [((8, 256, 14, 14), 256, 2, 2, 0), ((8, 64, 64, 64), 32, 4, 2, 1), ((8, 128, 32, 32), 64, 3, 2, 1)],
    ids=["k2s2", "k4s2p1", "k3s2p1"],
)
def test_conv_transpose2d(shape, channels, kernel, stride, padding, memory_format, side, benchmark):
    generator = torch.Generator().manual_seed(5)
    feature = torch.randn(shape, generator=generator).contiguous(memory_format=memory_format)
    weight = torch.randn(shape[1], channels, kernel, kernel, generator=generator)
    call = ops.conv_transpose2d if side == "roibench" else conv_transpose2d
    timed(
        benchmark,
        f"conv_transpose2d {shape} -> {channels}, k{kernel}s{stride}p{padding}, {memory_format}",
        lambda: call(feature, weight, None, stride, padding),
    )


class Nothing:
    """A model whose predict costs as little as one can."""

    stages = ()

    def predict(self, inputs: list[Input]) -> list[Prediction]:
        return [Prediction() for _ in inputs]


@pytest.mark.parametrize("loop", ["bare", "harness"])
def test_harness_overhead(loop, benchmark):
    """What timing and collecting add to a bare loop around predict; added_us_per_image in the JSON says how much."""
    model = Nothing()
    batches = [[Input(str(i), None)] for i in range(2_000)]

    def bare() -> list[Prediction]:
        collected: list[Prediction] = []
        for batch in batches:
            collected.extend(model.predict(batch))
        return collected

    def harness() -> object:
        return time_predictions(model, batches, nullcontext)

    def seconds(call: Callable[[], object]) -> float:
        start = perf_counter()
        call()
        return perf_counter() - start

    added = [(seconds(harness) - seconds(bare)) / len(batches) for _ in range(15)]
    benchmark.extra_info["added_us_per_image"] = median(added) * 1e6
    timed(benchmark, "loop over 2,000 images", bare if loop == "bare" else harness)


def test_scenes_rendering(benchmark):
    """Twenty scenes of 128 x 128 pixels, not from the cache: 0.2 s is 100 images a second."""
    timed(benchmark, "render 20 scenes", lambda: [compose.render("train", index, 128) for index in range(20)])


def test_coco_ap_with_intervals(benchmark):
    """COCO's 12 numbers and their 1,000 resamples: 500 images, 12 classes, about 25,000 detections."""
    generator = torch.Generator().manual_seed(0)

    def some(count: int) -> dict[str, Tensor]:
        corner = torch.rand(count, 2, generator=generator) * 100
        side = 4 + torch.rand(count, 2, generator=generator) * 30
        labels = torch.randint(0, 12, (count,), generator=generator)
        return {"boxes": torch.cat([corner, corner + side], dim=1), "labels": labels}

    targets = [Target(**some(6)) for _ in range(500)]
    predictions = [Prediction(**some(50), scores=torch.rand(50, generator=generator)) for _ in range(500)]
    benchmark.group = "coco_ap, 500 images, 1,000 resamples"
    benchmark.pedantic(lambda: coco_ap(predictions, targets), rounds=1)
