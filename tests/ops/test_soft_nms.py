"""soft_nms against the paper's loop."""

import math

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from roibench.ops import box_iou

each_method = pytest.mark.parametrize("method", ["linear", "gaussian"])
each_precision = pytest.mark.parametrize("dtype", [torch.float32, torch.float64])


def textbook(boxes, scores, method="linear", iou_threshold=0.3, sigma=0.5, score_threshold=1e-3):
    """Figure 2 of the paper, in the arguments' precision; only positive scores fall. Returns indices and scores."""
    score = scores.numpy().copy()
    number = score.dtype.type
    iou = box_iou(boxes, boxes).numpy()
    left = [i for i in range(len(score)) if float(score[i]) >= score_threshold]
    kept, values = [], []
    while left:
        best = max(left, key=lambda i: (score[i], -i))
        kept.append(best)
        values.append(float(score[best]))
        left.remove(best)
        for i in left:
            factor = number(1)
            if method == "gaussian":
                factor = number(math.exp(-(float(iou[best, i]) ** 2) / sigma))
            elif float(iou[best, i]) > iou_threshold:
                factor = number(1) - iou[best, i]
            if score[i] > 0:
                score[i] = score[i] * factor if factor > 0 else 0
        left = [i for i in left if float(score[i]) >= score_threshold]
    return kept, values


def crowd(n: int, seed: int, dtype: torch.dtype = torch.float64) -> tuple[torch.Tensor, torch.Tensor]:
    generator = torch.Generator().manual_seed(seed)
    corner = torch.rand(n, 2, generator=generator, dtype=torch.float64) * 20
    size = torch.rand(n, 2, generator=generator, dtype=torch.float64) * 12
    return torch.cat([corner, corner + size], 1).to(dtype), torch.rand(n, generator=generator).to(dtype)


@each_precision
@given(
    n=st.integers(0, 120),
    seed=st.integers(0, 999),
    iou_threshold=st.sampled_from([0.0, 0.3, 1 / 3, 0.5, 1.0]),
    score_threshold=st.sampled_from([-1.0, 0.0, 1e-3, 0.1, 0.5]),
    levels=st.sampled_from([3, 1000]),
)
def test_linear_decay_is_the_papers_loop_to_the_last_bit(dtype, n, seed, iou_threshold, score_threshold, levels, ops):
    random = np.random.default_rng(seed)
    corner, size = random.integers(0, 9, (n, 2)), random.integers(0, 9, (n, 2))  # on a grid: thresholds are hit exactly
    boxes = torch.as_tensor(np.concatenate([corner, corner + size], 1) / 4).to(dtype)
    scores = torch.as_tensor(random.integers(0, levels, n) / levels).to(dtype)
    kept, values = ops.soft_nms(boxes, scores, "linear", iou_threshold, score_threshold=score_threshold)
    expected = textbook(boxes, scores, "linear", iou_threshold, score_threshold=score_threshold)
    assert (kept.tolist(), values.tolist()) == expected


@given(n=st.integers(0, 120), seed=st.integers(0, 999), sigma=st.sampled_from([0.05, 0.5, 3.0, math.inf]))
def test_gaussian_decay_is_the_papers_loop(n, seed, sigma, ops):
    boxes, scores = crowd(n, seed)
    kept, values = ops.soft_nms(boxes, scores, "gaussian", sigma=sigma)
    expected, expected_values = textbook(boxes, scores, "gaussian", sigma=sigma)
    assert kept.tolist() == expected
    torch.testing.assert_close(values, torch.tensor(expected_values, dtype=values.dtype), rtol=1e-13, atol=0)


SCORES = [-math.inf, -1e30, -3.0, -0.5, -0.25, -0.0, 0.0, 0.25, 0.5, 3.0, math.inf, math.nan]


@each_method
@each_precision
@given(
    n=st.integers(1, 60),
    seed=st.integers(0, 999),
    score_threshold=st.sampled_from([-math.inf, -3.0, -0.25, 0.0, 0.3, math.inf, math.nan]),
)
def test_any_scores_are_taken_best_first_and_none_is_raised(method, dtype, n, seed, score_threshold, ops):
    """Negative ones too: a factor below 1 would lift them above boxes that were taken before."""
    random = np.random.default_rng(seed)
    corner, size = random.integers(0, 5, (n, 2)), random.integers(1, 9, (n, 2))
    boxes = torch.as_tensor(np.concatenate([corner, corner + size], 1) / 4).to(dtype)
    scores = torch.as_tensor(random.choice(SCORES, n)).to(dtype)
    kept, values = ops.soft_nms(boxes, scores, method, score_threshold=score_threshold)
    expected, expected_values = textbook(boxes, scores, method, score_threshold=score_threshold)
    if method == "linear":
        assert (kept.tolist(), values.tolist()) == (expected, expected_values)
    else:  # exponentials differ in their last bit, and so does the order of scores that nearly tie
        tolerance = {torch.float32: 1e-5, torch.float64: 1e-12}[dtype]
        assert sorted(kept.tolist()) == sorted(expected)
        torch.testing.assert_close(values, torch.tensor(expected_values, dtype=dtype), rtol=tolerance, atol=1e-30)
    assert (values[:-1] >= values[1:]).all()
    assert (values <= scores[kept]).all() and (values >= score_threshold).all()


def test_a_width_that_is_zero_in_the_boxes_precision_still_spares_boxes_that_do_not_overlap(ops):
    boxes = torch.tensor([[0.0, 0, 1, 1], [5, 5, 6, 6], [0, 0, 1, 1]])
    kept, values = ops.soft_nms(boxes, torch.tensor([0.9, 0.8, 0.7]), "gaussian", sigma=1e-60)
    assert kept.tolist() == [0, 1] and torch.equal(values, torch.tensor([0.9, 0.8]))


@each_method
def test_many_boxes_are_still_the_papers_loop(method, ops):
    boxes, scores = crowd(700, 1, torch.float32)
    kept, values = ops.soft_nms(boxes * 3, scores, method)
    expected, expected_values = textbook(boxes * 3, scores, method)
    assert kept.tolist() == expected
    torch.testing.assert_close(values, torch.tensor(expected_values), rtol=1e-4, atol=0)


def test_equal_scores_go_by_index(ops):
    boxes = torch.arange(40.0)[:, None] * 10 + torch.tensor([0.0, 0, 5, 5])
    kept, _ = ops.soft_nms(boxes, torch.full((40,), 0.5))
    assert kept.tolist() == list(range(40))


def test_a_threshold_between_two_floats_is_not_rounded(ops):
    boxes = torch.tensor([[0.0, 0, 1, 1], [5, 5, 6, 6]])
    below, above = torch.tensor(0.1).nextafter(torch.tensor(0.0)), torch.tensor(0.1)  # around the double 0.1
    assert below.item() < 0.1 < above.item()
    kept, _ = ops.soft_nms(boxes, torch.stack([below, above]), score_threshold=0.1)
    assert kept.tolist() == [1]


any_number = st.floats(width=32) | st.sampled_from([math.inf, -math.inf, math.nan, 0.0, 1.0])


@each_method
@each_precision
@given(
    rows=st.lists(st.tuples(st.tuples(*[any_number] * 4), any_number), max_size=30),
    score_threshold=st.sampled_from([-math.inf, 0.0, 1e-3, math.nan]),
)
def test_any_number_returns(method, dtype, rows, score_threshold, ops):
    boxes = torch.tensor([box for box, _ in rows], dtype=dtype).reshape(-1, 4)
    scores = torch.tensor([score for _, score in rows], dtype=dtype)
    kept, values = ops.soft_nms(boxes, scores, method, score_threshold=score_threshold)
    assert len(set(kept.tolist())) == len(kept)
    assert not values.isnan().any()
    assert (values >= score_threshold).all()
    assert not scores[kept].isnan().any()


def test_a_nan_box_keeps_its_score_and_a_nan_score_is_dropped(ops):
    boxes = torch.tensor([[0.0, 0, 4, 4], [0, math.nan, 4, 4], [0, 0, 4, 4], [0, 0, 4, 4]])
    kept, values = ops.soft_nms(boxes, torch.tensor([0.5, 0.4, math.nan, 0.9]), iou_threshold=0.9)
    assert kept.tolist() == [3, 1]
    torch.testing.assert_close(values, torch.tensor([0.9, 0.4]))


@each_method
@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_half_types_are_computed_in_float32_and_rounded_once(method, dtype, ops, device):
    boxes, scores = crowd(100, 2, dtype)
    kept, values = ops.soft_nms(boxes, scores, method)
    expected, expected_values = ops.soft_nms(boxes.float(), scores.float(), method)
    assert torch.equal(kept, expected)
    assert torch.equal(values, expected_values.to(dtype))
    with torch.autocast(device, torch.bfloat16):
        assert torch.equal(ops.soft_nms(boxes, scores, method)[1], values)


@each_method
def test_strided_arguments_are_read_as_they_are_and_not_written(method, ops):
    boxes, scores = crowd(60, 3)
    columns, every_other = boxes.t().contiguous().t(), scores.repeat_interleave(2)[::2]
    before = scores.clone()
    for got, expected in zip(
        ops.soft_nms(columns, every_other, method), ops.soft_nms(boxes, scores, method), strict=True
    ):
        assert torch.equal(got, expected)
    assert torch.equal(scores, before)


@pytest.mark.parametrize(
    ("arguments", "error", "message"),
    [
        ((torch.rand(3, 5), torch.rand(3)), ValueError, r"boxes must have the shape \[N, 4\], got \[3, 5\]"),
        ((torch.rand(3, 4), torch.rand(2)), ValueError, r"scores must have the shape \[3\], .*got \[2\]"),
        ((torch.rand(3, 4), torch.ones(3).int()), TypeError, "scores must be float32.*got Int"),
        ((torch.rand(3, 4), torch.rand(3), "hard"), ValueError, "method must be 'linear' or 'gaussian', got 'hard'"),
        ((torch.rand(3, 4), torch.rand(3), "gaussian", 0.3, 0.0), ValueError, "sigma must be positive, got 0"),
    ],
)
def test_wrong_arguments_are_named(arguments, error, message, ops):
    with pytest.raises(error, match=f"soft_nms: {message}"):
        ops.soft_nms(*arguments)


@each_method
def test_keeps_the_rules_for_operators(method, put):
    torch.library.opcheck(torch.ops.roibench.soft_nms.default, put((*crowd(20, 4), method)))


def test_compiles_as_one_graph(ops):
    def total(boxes, scores):
        kept, values = ops.soft_nms(boxes, scores.sigmoid(), "gaussian")
        return (boxes[kept] * values[:, None]).sum()

    arguments = crowd(30, 5)
    compiled = torch.compile(total, fullgraph=True, backend="aot_eager")
    with torch._dynamo.config.patch(
        capture_dynamic_output_shape_ops=True
    ):  # newer versions of torch do so by themselves
        torch.testing.assert_close(compiled(*arguments), total(*arguments))
