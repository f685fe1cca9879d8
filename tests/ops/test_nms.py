"""nms and batched_nms against the textbook's loop."""

import math

import numpy as np
import pytest
import torch
import torchvision
from hypothesis import example, given
from hypothesis import strategies as st

from roibench.ops import box_iou


def iou(a: np.ndarray, b: np.ndarray) -> float:
    """In the boxes' own precision, as an array program has it; 0 for boxes that have no finite area together."""
    with np.errstate(all="ignore"):
        zero = a.dtype.type(0)
        inter = np.prod(np.maximum(np.minimum(a[2:], b[2:]) - np.maximum(a[:2], b[:2]), zero))
        union = np.prod(np.maximum(a[2:] - a[:2], zero)) + np.prod(np.maximum(b[2:] - b[:2], zero)) - inter
        return float(inter / union) if 0 < union < math.inf else 0.0


def textbook(boxes: torch.Tensor, scores: torch.Tensor, threshold: float, classes: list[int] | None = None) -> list:
    """Take the best box that is left, drop what overlaps it by more than the threshold, and so on."""
    box, score = boxes.numpy(), scores.tolist()
    left = sorted(range(len(box)), key=lambda i: (math.isnan(score[i]), -score[i] if score[i] == score[i] else 0, i))
    kept = []
    while left:
        best, *left = left
        kept.append(best)
        left = [
            i
            for i in left
            if (classes is not None and classes[i] != classes[best]) or not iou(box[best], box[i]) > threshold
        ]
    return kept


@st.composite
def crowds(draw):
    """Many boxes on a coarse grid, with few different scores: overlaps hit thresholds exactly, and scores tie."""
    n, span, levels, seed = draw(
        st.tuples(st.integers(0, 150), st.sampled_from([4, 16, 64]), st.sampled_from([1, 5, 1000]), st.integers(0, 999))
    )
    random = np.random.default_rng(seed)
    corner, size = random.integers(-span, span, (n, 2)), random.integers(0, 9, (n, 2))
    return np.concatenate([corner, corner + size], 1) / 4, random.integers(0, levels, n) / levels


any_number = st.floats(width=32) | st.sampled_from([math.inf, -math.inf, math.nan, 0.0, -0.0, 1.0])
any_boxes = st.lists(st.tuples(st.tuples(*[any_number] * 4), any_number), max_size=12)
thresholds = st.sampled_from([0.0, 0.25, 1 / 3, 0.5, 0.6, 0.75, 1.0]) | st.floats(-0.1, 1.1)
each_precision = pytest.mark.parametrize("dtype", [torch.float32, torch.float64])


@each_precision
@given(crowd=crowds(), threshold=thresholds)
def test_nms_is_the_textbook_algorithm(dtype, crowd, threshold, ops):
    boxes, scores = (torch.as_tensor(part).to(dtype) for part in crowd)
    assert ops.nms(boxes, scores, threshold).tolist() == textbook(boxes, scores, threshold)


@each_precision
@given(rows=any_boxes, threshold=thresholds)
@example(rows=[((0.0, 0.0, math.inf, math.inf), math.nan), ((math.nan,) * 4, 1.0)], threshold=0.5)
def test_nan_and_infinite_boxes_overlap_nothing(dtype, rows, threshold, ops):
    boxes = torch.tensor([box for box, _ in rows], dtype=dtype).reshape(-1, 4)
    scores = torch.tensor([score for _, score in rows], dtype=dtype)
    assert ops.nms(boxes, scores, threshold).tolist() == textbook(boxes, scores, threshold)


@given(crowd=crowds(), classes=st.integers(1, 5), threshold=thresholds)
def test_batched_nms_is_the_textbook_algorithm_in_each_class(crowd, classes, threshold, ops):
    boxes, scores = (torch.as_tensor(part) for part in crowd)
    idxs = torch.arange(len(scores)) * 7919 % classes - 2
    expected = textbook(boxes, scores, threshold, idxs.tolist())
    assert ops.batched_nms(boxes, scores, idxs, threshold).tolist() == expected


@pytest.mark.parametrize("n", [63, 64, 65, 1000, 4000])
def test_agrees_with_torchvision(n, ops):
    generator = torch.Generator().manual_seed(n)
    corner = torch.rand(n, 2, generator=generator) * 600
    boxes = torch.cat([corner, corner + 20 + 60 * torch.rand(n, 2, generator=generator)], dim=1)
    scores = torch.rand(n, generator=generator)
    assert torch.equal(ops.nms(boxes, scores, 0.5), torchvision.ops.nms(boxes, scores, 0.5))


def many(arrangement: str, n: int, random: np.random.Generator) -> np.ndarray:
    """So many boxes that they are looked up by place; laid out so that it matters how."""
    corner, size = random.uniform(0, 600, (n, 2)), random.uniform(10, 60, (n, 2))
    match arrangement:
        case "all sizes":
            size = 10 ** random.uniform(-2, 4, (n, 2))
        case "one place":
            corner = np.full((n, 2), 40.0)
        case "a row":
            corner[:, 1] = size[:, 1] = 7
        case "far away":
            corner += 1e6
        case "tiny":
            corner, size = corner * 1e-22, size * 1e-22
        case "huge":
            corner, size = corner * 1e17, size * 1e16
        case "two clusters":
            corner[::2] += 1e5
        case "much that is nothing":
            size[::3] *= -1
            corner[::7] = np.nan
            size[::11] = np.inf
    return np.concatenate([corner, corner + size], 1)


def greedy(boxes: torch.Tensor, scores: torch.Tensor, threshold: float) -> list[int]:
    """The textbook's loop over the whole matrix of overlaps."""
    order = torch.sort(scores, descending=True, stable=True).indices.tolist()
    overlapping = (box_iou(boxes, boxes).double() > threshold).numpy()
    kept = []
    for i in order:
        if not overlapping[i, kept].any():
            kept.append(i)
    return kept


@each_precision
@pytest.mark.parametrize("threshold", [0.0, 0.05, 0.3, 0.5, 0.7, 0.95, 1.0, 1.2])
@pytest.mark.parametrize(
    "arrangement",
    [
        *("uniform", "all sizes", "one place", "a row", "far away", "tiny", "huge", "two clusters"),
        "much that is nothing",
    ],
)
def test_many_boxes_give_what_all_pairs_give(arrangement, threshold, dtype, ops):
    random = np.random.default_rng(5)
    boxes = torch.as_tensor(many(arrangement, 700, random)).to(dtype)
    scores = torch.as_tensor(random.integers(0, 300, 700) / 300).to(dtype)
    assert ops.nms(boxes, scores, threshold).tolist() == greedy(boxes, scores, threshold)


def test_a_threshold_that_is_not_a_number_suppresses_nothing(ops):
    boxes = torch.tensor([[0.0, 0.0, 2.0, 1.0]]).repeat(400, 1)
    assert len(ops.nms(boxes, torch.ones(400), math.nan)) == 400


def test_memory_grows_with_the_number_of_boxes_not_with_its_square(ops):
    generator = torch.Generator().manual_seed(0)
    corner = torch.rand(200_000, 2, generator=generator) * 4000
    boxes = torch.cat([corner, corner + 2 + 100 * torch.rand(200_000, 2, generator=generator)], dim=1)
    kept = boxes[ops.nms(boxes, torch.rand(200_000, generator=generator), 0.5)]
    # A tenth of N squared bits would be 500 MB; and what is kept overlaps nothing else that is kept.
    some = kept[:500]
    overlaps = ops.box_iou(some, kept)
    assert (overlaps > 0.5).sum() == 500


def test_a_threshold_between_two_floats_is_not_rounded(ops):
    # IoU is 1/3: the float32 above it is greater than the double 1/3, the float32 below is not.
    boxes = torch.tensor([[0.0, 0.0, 2.0, 1.0], [1.0, 0.0, 3.0, 1.0]])
    third = ops.box_iou(boxes[:1], boxes[1:]).item()
    scores = torch.tensor([1.0, 0.5])
    assert third > 1 / 3
    assert ops.nms(boxes, scores, 1 / 3).tolist() == [0]
    assert ops.nms(boxes, scores, third).tolist() == [0, 1]


def test_equal_scores_go_by_index_and_nan_scores_come_last(ops):
    boxes = torch.arange(6.0)[:, None] * 10 + torch.tensor([0.0, 0, 5, 5])
    scores = torch.tensor([math.nan, 0.0, 1.0, -0.0, 1.0, -math.inf])
    assert ops.nms(boxes, scores, 0.5).tolist() == [2, 4, 1, 3, 5, 0]


def test_classes_stay_apart_at_negative_coordinates(ops):
    # Moving each class by the largest coordinate, as is commonly done, puts these two on top of each other.
    boxes = torch.tensor([[-10.0, -10, -5, -5], [-14.0, -14, -9, -9]])
    scores, idxs = torch.tensor([0.9, 0.8]), torch.tensor([0, 1])
    assert ops.batched_nms(boxes, scores, idxs, 0.1).tolist() == [0, 1]


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_half_types_are_compared_in_float32(dtype, ops, device):
    generator = torch.Generator().manual_seed(0)
    corner = torch.rand(200, 2, generator=generator) * 50
    boxes = torch.cat([corner, corner + 10], dim=1).to(dtype)
    scores = torch.rand(200, generator=generator).to(dtype)
    assert torch.equal(ops.nms(boxes, scores, 0.4), ops.nms(boxes.float(), scores.float(), 0.4))
    with torch.autocast(device, torch.bfloat16):
        assert torch.equal(ops.nms(boxes, scores, 0.4), ops.nms(boxes.float(), scores.float(), 0.4))


def test_strided_arguments_are_read_as_they_are(ops):
    generator = torch.Generator().manual_seed(1)
    boxes, scores = torch.rand(4, 60, generator=generator).cumsum(0).t(), torch.rand(60, 2, generator=generator)[:, 1]
    assert torch.equal(ops.nms(boxes, scores, 0.3), ops.nms(boxes.contiguous(), scores.contiguous(), 0.3))


def test_no_boxes_keep_none(ops):
    boxes, scores, idxs = torch.zeros(0, 4), torch.zeros(0), torch.zeros(0, dtype=torch.int64)
    for kept in (ops.nms(boxes, scores, 0.5), ops.batched_nms(boxes, scores, idxs, 0.5)):
        assert kept.shape == (0,) and kept.dtype == torch.int64


def test_the_number_of_threads_changes_nothing(threads, ops):
    generator = torch.Generator().manual_seed(2)
    corner = torch.rand(3000, 2, generator=generator) * 300
    boxes = torch.cat([corner, corner + 30], dim=1)
    scores, idxs = torch.rand(3000, generator=generator), torch.randint(0, 20, (3000,), generator=generator)
    first, *others = [threads(n, lambda: ops.batched_nms(boxes, scores, idxs, 0.5)) for n in (1, 2, 5)]
    assert all(torch.equal(first, other) for other in others)


@pytest.mark.parametrize(
    ("op", "arguments", "error", "message"),
    [
        ("nms", (torch.rand(3, 5), torch.rand(3), 0.5), ValueError, r"boxes must have the shape \[N, 4\], got"),
        ("nms", (torch.rand(3, 4), torch.rand(2), 0.5), ValueError, r"scores must have the shape \[3\], .*got \[2\]"),
        ("nms", (torch.rand(3, 4), torch.ones(3).int(), 0.5), TypeError, "scores must be float32.*got Int"),
        (
            "batched_nms",
            (torch.rand(3, 4), torch.rand(3), torch.rand(3), 0.5),
            TypeError,
            "idxs must be integers, got Float",
        ),
        (
            "batched_nms",
            (torch.rand(3, 4), torch.rand(3), torch.zeros(3, 1).int(), 0.5),
            ValueError,
            r"idxs must have the shape \[3\], .*got \[3, 1\]",
        ),
    ],
)
def test_wrong_arguments_are_named(op, arguments, error, message, ops):
    with pytest.raises(error, match=f"{op}: {message}"):
        getattr(ops, op)(*arguments)


def test_keeps_the_rules_for_operators(put):
    boxes, scores, idxs = put((torch.rand(20, 4).cumsum(1), torch.rand(20), torch.arange(20) % 3))
    torch.library.opcheck(torch.ops.roibench.nms.default, (boxes, scores, 0.5))
    torch.library.opcheck(torch.ops.roibench.nms.default, (boxes.requires_grad_(), scores.requires_grad_(), 0.5))
    torch.library.opcheck(torch.ops.roibench.batched_nms.default, (boxes, scores, idxs, 0.5))


def test_compiles_as_one_graph(ops):
    def best(boxes, scores, idxs):
        return boxes[ops.batched_nms(boxes, scores.sigmoid(), idxs, 0.5)].sum()

    arguments = torch.rand(20, 4).cumsum(1), torch.rand(20), torch.arange(20) % 3
    compiled = torch.compile(best, fullgraph=True, backend="aot_eager")
    with torch._dynamo.config.patch(
        capture_dynamic_output_shape_ops=True
    ):  # newer versions of torch do so by themselves
        torch.testing.assert_close(compiled(*arguments), best(*arguments))
