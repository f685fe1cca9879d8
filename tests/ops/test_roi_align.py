"""roi_align against its definition in plain Python, and against torchvision where that is right."""

import math
import subprocess
import sys
import time

import pytest
import torch
import torchvision
from hypothesis import given
from hypothesis import strategies as st
from torch.autograd import gradcheck, gradgradcheck

from roibench.ops import roi_align

CONTIGUOUS, CHANNELS_LAST = torch.contiguous_format, torch.channels_last
each_format = pytest.mark.parametrize("memory_format", [CONTIGUOUS, CHANNELS_LAST], ids=["nchw", "nhwc"])
each_ratio = pytest.mark.parametrize("ratio", [-1, 1, 2, 3])
each_alignment = pytest.mark.parametrize("aligned", [False, True])


def interpolate(plane: list[list[float]], y: float, x: float) -> float:
    height, width = len(plane), len(plane[0])
    if not (-1 <= y <= height and -1 <= x <= width):
        return 0.0
    y, x = min(max(y, 0.0), height - 1), min(max(x, 0.0), width - 1)
    top, left = min(int(y), max(height - 2, 0)), min(int(x), max(width - 2, 0))
    bottom, right = min(top + 1, height - 1), min(left + 1, width - 1)
    dy, dx = y - top, x - left
    upper = plane[top][left] * (1 - dx) + plane[top][right] * dx
    lower = plane[bottom][left] * (1 - dx) + plane[bottom][right] * dx
    return upper * (1 - dy) + lower * dy


def definition(features, rois, size, scale=1.0, ratio=-1, aligned=False):
    """Mask R-CNN's definition, one sample after another."""
    bins_y, bins_x = size
    out = torch.zeros(len(rois), features.size(1), bins_y, bins_x, dtype=torch.float64)
    for k, (image, *box) in enumerate(rois.tolist()):
        x1, y1, x2, y2 = (v * scale - (0.5 if aligned else 0.0) for v in box)
        w, h = (x2 - x1, y2 - y1) if aligned else (max(x2 - x1, 1.0), max(y2 - y1, 1.0))
        samples_y, samples_x = (ratio, ratio) if ratio > 0 else (math.ceil(h / bins_y), math.ceil(w / bins_x))
        for c, plane in enumerate(features[int(image)].tolist()):
            for i in range(bins_y):
                for j in range(bins_x):
                    values = [
                        interpolate(
                            plane,
                            y1 + (i + (a + 0.5) / samples_y) * h / bins_y,
                            x1 + (j + (b + 0.5) / samples_x) * w / bins_x,
                        )
                        for a in range(samples_y)
                        for b in range(samples_x)
                    ]
                    out[k, c, i, j] = sum(values) / len(values) if values else 0.0
    return out


def random_features(*shape: int, seed: int = 0, dtype: torch.dtype = torch.float64) -> torch.Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64).to(dtype)


def random_rois(n: int, images: int, height: int, width: int, seed: int = 1) -> torch.Tensor:
    """Inside the map, across its border, smaller than a pixel, and larger than the map."""
    generator = torch.Generator().manual_seed(seed)
    extent = torch.tensor([width, height], dtype=torch.float64)
    centre = (torch.rand(n, 2, generator=generator, dtype=torch.float64) * 1.2 - 0.1) * extent
    half = extent * 0.5 * 10 ** (torch.rand(n, 2, generator=generator, dtype=torch.float64) * 2 - 1.6)
    image = torch.randint(0, images, (n, 1), generator=generator)
    return torch.cat([image, centre - half, centre + half], dim=1)


@each_ratio
@each_alignment
@each_format
@pytest.mark.parametrize(("dtype", "tolerance"), [(torch.float64, 1e-12), (torch.float32, 1e-5)])
def test_is_its_definition(ratio, aligned, memory_format, dtype, tolerance, ops):
    features, rois = random_features(2, 3, 7, 9), random_rois(12, 2, 14, 18)
    expected = definition(features, rois, (2, 3), 0.5, ratio, aligned)
    got = ops.roi_align(features.to(dtype, memory_format=memory_format), rois, (2, 3), 0.5, ratio, aligned)
    assert got.dtype == dtype
    torch.testing.assert_close(got.double(), expected, rtol=tolerance, atol=tolerance)


@each_ratio
@each_alignment
@each_format
@pytest.mark.parametrize("channels", [1, 16, 83])
def test_agrees_with_torchvision_forward_and_backward(ratio, aligned, memory_format, channels, ops):
    ours = random_features(2, channels, 13, 21).contiguous(memory_format=memory_format).requires_grad_()
    theirs = ours.detach().contiguous().requires_grad_()
    rois = random_rois(40, 2, 26, 42)
    arguments = (rois, 5, 0.5, ratio, aligned)
    got, expected = ops.roi_align(ours, *arguments), torchvision.ops.roi_align(theirs, *arguments)
    torch.testing.assert_close(got, expected)
    weight = random_features(*got.shape, seed=2)
    for weights in (weight, weight.contiguous(memory_format=CHANNELS_LAST), weight[:1].expand_as(weight)):
        (grad,) = torch.autograd.grad(got, ours, weights, retain_graph=True)
        (grad_expected,) = torch.autograd.grad(expected, theirs, weights, retain_graph=True)
        torch.testing.assert_close(grad, grad_expected)
        assert grad.is_contiguous(memory_format=memory_format)


@pytest.mark.parametrize("ratio", [-1, 2, 11])
@each_alignment
def test_reversed_boxes_are_sampled_backwards_where_they_are_sampled_at_all(ratio, aligned, ops):
    rois = torch.tensor([[0, 6.0, 5.0, 1.0, 2.0], [0, 6.0, 1.0, 2.0, 5.0]], dtype=torch.float64)
    features = random_features(1, 2, 8, 8)
    got = ops.roi_align(features, rois, (2, 3), 1.0, ratio, aligned)
    torch.testing.assert_close(got, definition(features, rois, (2, 3), 1.0, ratio, aligned))


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
@each_format
def test_half_types_are_float32_rounded_once(dtype, memory_format, ops, deterministic):
    features = random_features(2, 20, 9, 8, dtype=dtype).contiguous(memory_format=memory_format).requires_grad_()
    rois = random_rois(15, 2, 9, 8).float()
    wide = features.detach().float().requires_grad_()
    got, expected = ops.roi_align(features, rois, 3), ops.roi_align(wide, rois, 3)
    assert torch.equal(got, expected.to(dtype))
    assert got.is_contiguous(memory_format=memory_format)

    weight = random_features(*got.shape, dtype=dtype, seed=3)
    (grad,) = torch.autograd.grad(got, features, weight)
    (grad_expected,) = torch.autograd.grad(expected, wide, weight.float())
    assert torch.equal(grad, grad_expected.to(dtype))
    assert grad.is_contiguous(memory_format=memory_format)


def test_autocast_computes_in_float32_and_returns_the_inputs_dtype(ops, device):
    features, rois = random_features(1, 8, 9, 8, dtype=torch.bfloat16), random_rois(5, 1, 9, 8).float()
    expected = ops.roi_align(features.float(), rois, 2).bfloat16()
    with torch.autocast(device, torch.bfloat16):
        got = ops.roi_align(features, rois, 2)
    assert got.dtype == torch.bfloat16
    assert torch.equal(got, expected)


def test_strided_input_is_read_as_it_is(ops):
    wide = random_features(2, 6, 9, 16)
    rois = random_rois(9, 2, 9, 8)
    strided = wide[:, ::2, :, ::2].transpose(2, 3)
    got = ops.roi_align(strided, rois, 3)
    assert torch.equal(got, ops.roi_align(strided.contiguous(), rois, 3))


@pytest.mark.parametrize("ratio", [-1, 2])
def test_gradients_are_derivatives_and_theirs_too(ratio, ops):
    features = random_features(2, 2, 5, 4).requires_grad_()
    rois = random_rois(4, 2, 5, 4)

    def align(x):
        return ops.roi_align(x, rois, 2, sampling_ratio=ratio, aligned=True)

    assert gradcheck(align, (features,))
    assert gradgradcheck(align, (features,))


def test_a_list_of_boxes_is_one_tensor_per_image(ops):
    features, rois = random_features(3, 2, 9, 8), random_rois(10, 3, 9, 8)
    rois = rois[rois[:, 0].argsort()]
    per_image = [rois[rois[:, 0] == i, 1:] for i in range(3)]
    assert torch.equal(ops.roi_align(features, per_image, 2), ops.roi_align(features, rois, 2))


any_number = st.floats(width=32) | st.sampled_from([0.0, 3.0, 1e9, -1e9, 3e38, -3e38, math.inf, -math.inf, math.nan])


@given(
    box=st.tuples(*[any_number] * 4),
    ratio=st.sampled_from([-1, 0, 2]),
    aligned=st.booleans(),
    dtype=st.sampled_from([torch.float32, torch.float64]),
)
def test_any_box_returns_something_finite(box, ratio, aligned, dtype, ops):
    features = torch.ones(1, 3, 6, 5, dtype=dtype, requires_grad=True)
    pooled = ops.roi_align(features, torch.tensor([[0.0, *box]], dtype=dtype), 2, 1.0, ratio, aligned)
    pooled.sum().backward()
    assert ((pooled >= 0) & (pooled <= 1 + 1e-4)).all()
    assert features.grad.isfinite().all()


def test_a_box_of_nan_or_infinity_takes_nothing_and_spoils_nothing(ops):
    features = random_features(1, 2, 6, 5)
    good = [0.0, 1.0, 1.0, 4.0, 4.0]
    rois = torch.tensor([good, [0, math.nan, 1, 4, 4], [0, -math.inf, 1, math.inf, 4], good], dtype=torch.float64)
    pooled = ops.roi_align(features, rois, 2)
    assert torch.equal(pooled[0], pooled[3]) and pooled[0].all()
    assert not pooled[1:3].any()


@pytest.mark.parametrize("box", [(-3000.0, 1.0, 2000.0, 3.0), (1.0, -1900.0, 3.0, 2500.0)])
def test_only_the_samples_of_a_huge_box_that_lie_on_the_map_are_visited_and_none_is_missed(box, ops):
    features, rois = random_features(1, 1, 6, 5), torch.tensor([[0.0, *box]], dtype=torch.float64)
    expected = definition(features, rois, (2, 1), aligned=True)
    torch.testing.assert_close(ops.roi_align(features, rois, (2, 1), aligned=True), expected, rtol=1e-9, atol=1e-12)


@each_alignment
@pytest.mark.parametrize("ratio", [7, 40])
def test_more_samples_than_pixels_are_all_visited(ratio, aligned, ops):
    features, rois = random_features(1, 1, 6, 5), random_rois(6, 1, 6, 5)
    points = [[0.0, x, x, x, x] for x in (-1.0, -0.5, 0.0, 2.5, 5.0, 5.5, 6.5)]  # boxes without a size
    rois = torch.cat([rois, torch.tensor(points, dtype=torch.float64)])
    expected = definition(features, rois, (2, 1), ratio=ratio, aligned=aligned)
    got = ops.roi_align(features, rois, (2, 1), sampling_ratio=ratio, aligned=aligned)
    torch.testing.assert_close(got, expected, rtol=1e-9, atol=1e-12)


@pytest.mark.parametrize("ratio", [-1, 2, 32768])
def test_boxes_as_large_as_numbers_go_are_as_fast_as_others(ratio, ops):
    """Those of a detector that diverged: only what lies on the map is sampled, in both directions."""
    boxes = torch.tensor([[0.0, -1e9, -1e9, 1e9, 1e9], [0, 0, 0, 1e30, 1e30], [0, -3e38, 0, 3e37, 5]]).repeat(40, 1)
    features = torch.ones(1, 2, 8, 8, requires_grad=True)
    start = time.perf_counter()
    ops.roi_align(features, boxes, 7, sampling_ratio=ratio).sum().backward()
    assert time.perf_counter() - start < 20  # with every sample, it would be hours
    assert features.grad.isfinite().all()


@pytest.mark.parametrize("index", [-1.0, 2.0, 1e30, math.nan])
def test_a_batch_index_out_of_range_is_refused(index):
    rois = torch.tensor([[0.0, 0, 0, 3, 3], [index, 0, 0, 3, 3]])
    with pytest.raises(IndexError, match=r"roi_align: rois\[1, 0\] must be a batch index below 2, got"):
        roi_align(torch.rand(2, 1, 4, 4), rois, 2)
    with pytest.raises(IndexError, match=r"roi_align_backward: rois\[1, 0\] must be a batch index below 2, got"):
        torch.ops.roibench.roi_align_backward(torch.rand(2, 1, 2, 2), rois, (2, 1, 4, 4), 1.0, 2, False, False)
    with pytest.raises(IndexError, match=r"roi_align: rois\[0, 0\] must be a batch index below 0, got 0"):
        roi_align(torch.rand(0, 1, 4, 4), rois, 2)


@each_format
@pytest.mark.parametrize("shape", [(0, 3, 4, 5), (2, 0, 4, 5), (2, 3, 0, 5)])
def test_empty_input_gives_zeros_or_nothing(shape, memory_format, ops):
    rois = torch.zeros(0 if shape[0] == 0 else 3, 5)
    features = torch.ones(shape).contiguous(memory_format=memory_format).requires_grad_()
    pooled = ops.roi_align(features, rois, 2)
    assert pooled.shape == (len(rois), shape[1], 2, 2) and not pooled.any()
    pooled.sum().backward()
    assert features.grad.shape == shape


@each_format
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_keeps_the_rules_for_operators(memory_format, dtype, put):
    features = random_features(2, 3, 6, 5, dtype=dtype).contiguous(memory_format=memory_format).requires_grad_()
    rois = random_rois(4, 2, 6, 5).float()
    arguments = put((features, rois, 0.5, 2, 3, 2, True))
    torch.library.opcheck(torch.ops.roibench.roi_align.default, arguments)
    grad = torch.ops.roibench.roi_align(*arguments).detach().requires_grad_()
    channels_last = memory_format == CHANNELS_LAST
    torch.library.opcheck(
        torch.ops.roibench.roi_align_backward.default, (grad, put(rois), features.shape, 0.5, 2, True, channels_last)
    )


def test_compiles_as_one_graph_for_any_number_of_rois(ops):
    features = random_features(2, 3, 6, 5).requires_grad_()

    def head(x, rois):
        return (ops.roi_align(x * 2, rois, (2, 3), 0.5, 2) ** 2).sum()

    compiled = torch.compile(head, fullgraph=True, dynamic=True, backend="aot_eager")
    for n in (4, 9):
        rois = random_rois(n, 2, 12, 10)
        (eager,) = torch.autograd.grad(head(features, rois), features)
        (graph,) = torch.autograd.grad(compiled(features, rois), features)
        torch.testing.assert_close(graph, eager)


COUNT = """
import sys, torch
from roibench import ops
assert "torch.utils.flop_counter" not in sys.modules, "importing the operators loads the counter"
from roibench.ops import flops
from torch.utils.flop_counter import FlopCounterMode
x = torch.rand(1, 3, 4, 4, requires_grad=True)
with FlopCounterMode(display=False) as counter:
    y = ops.roi_align(x, torch.zeros(2, 5), 5, sampling_ratio=3)
    forward = counter.get_total_flops()
    y.sum().backward()
print(forward, counter.get_total_flops())
"""


def test_flops_are_four_multiply_adds_per_sample_and_counting_them_costs_nothing_before():
    output = subprocess.run([sys.executable, "-c", COUNT], capture_output=True, text=True, check=True).stdout
    forward = 2 * 4 * (2 * 3) * (5 * 5) * (3 * 3)
    assert output.split() == [str(forward), str(2 * forward)]
