"""box_iou against the formulas in plain Python."""

import math

import pytest
import torch
import torchvision
from hypothesis import given
from hypothesis import strategies as st
from torch.autograd import gradcheck

KINDS = ("iou", "giou", "diou", "ciou")
every_kind = pytest.mark.parametrize("kind", KINDS)
both_modes = pytest.mark.parametrize("elementwise", [False, True])


def overlap(a: list[float], b: list[float], kind: str) -> float:
    """The papers' formulas for two boxes that have an area."""

    def area(x1: float, y1: float, x2: float, y2: float) -> float:
        return max(x2 - x1, 0.0) * max(y2 - y1, 0.0)

    inter = area(max(a[0], b[0]), max(a[1], b[1]), min(a[2], b[2]), min(a[3], b[3]))
    union = area(*a) + area(*b) - inter
    iou = inter / union
    enclosing = min(a[0], b[0]), min(a[1], b[1]), max(a[2], b[2]), max(a[3], b[3])
    if kind == "iou":
        return iou
    if kind == "giou":
        return iou - (area(*enclosing) - union) / area(*enclosing)
    centre = [(a[i] + a[i + 2] - b[i] - b[i + 2]) / 2 for i in (0, 1)]
    diou = iou - math.hypot(*centre) ** 2 / math.hypot(enclosing[2] - enclosing[0], enclosing[3] - enclosing[1]) ** 2
    if kind == "diou":
        return diou
    v = 4 / math.pi**2 * (math.atan((a[2] - a[0]) / (a[3] - a[1])) - math.atan((b[2] - b[0]) / (b[3] - b[1]))) ** 2
    return diou - (v * v / (1 - iou + v) if v else 0.0)


def random_boxes(n: int, seed: int, dtype: torch.dtype = torch.float64) -> torch.Tensor:
    generator = torch.Generator().manual_seed(seed)
    corner = torch.rand(n, 2, generator=generator, dtype=torch.float64) * 40 - 10
    size = torch.rand(n, 2, generator=generator, dtype=torch.float64) * 20 + 0.5
    return torch.cat([corner, corner + size], dim=1).to(dtype)


@every_kind
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_each_kind_is_its_formula(kind, dtype, ops):
    a, b = random_boxes(37, 0, dtype), random_boxes(53, 1, dtype)
    expected = torch.tensor([[overlap(p, q, kind) for q in b.tolist()] for p in a.tolist()], dtype=torch.float64)
    tolerance = 1e-12 if dtype == torch.float64 else 1e-5
    got = ops.box_iou(a, b, kind)
    assert got.dtype == dtype
    torch.testing.assert_close(got.double(), expected, rtol=tolerance, atol=tolerance)


@every_kind
def test_agrees_with_torchvision(kind, ops):
    reference = {
        "iou": torchvision.ops.box_iou,
        "giou": torchvision.ops.generalized_box_iou,
        "diou": torchvision.ops.distance_box_iou,
        "ciou": torchvision.ops.complete_box_iou,
    }[kind]
    a, b = random_boxes(40, 2), random_boxes(30, 3)
    torch.testing.assert_close(ops.box_iou(a, b, kind), reference(a, b), rtol=1e-6, atol=1e-6)


@every_kind
def test_elementwise_is_the_diagonal(kind, ops):
    a, b = random_boxes(70, 4, torch.float32), random_boxes(70, 5, torch.float32)
    assert torch.equal(ops.box_iou(a, b, kind, elementwise=True), ops.box_iou(a, b, kind).diagonal())


@every_kind
def test_a_box_overlaps_itself_wholly(kind, ops):
    a = random_boxes(20, 6)
    assert torch.equal(ops.box_iou(a, a, kind, elementwise=True), torch.ones(20, dtype=torch.float64))


any_number = st.floats(width=32) | st.sampled_from([0.0, 1.0, 2.0, 1e38, -1e38, math.inf, -math.inf, math.nan])
any_boxes = st.lists(st.tuples(*[any_number] * 4), min_size=1, max_size=20)


@every_kind
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@given(boxes=any_boxes)
def test_no_box_at_all_gives_nan(kind, dtype, boxes, ops):
    b = torch.tensor(boxes, dtype=dtype).requires_grad_()
    values = ops.box_iou(b, b.flip(0), kind)
    assert values.isfinite().all()
    (grad,) = torch.autograd.grad(values.sum(), b)
    assert not grad.isnan().any()
    if kind == "iou":
        assert ((values >= 0) & (values <= 1)).all()


@every_kind
def test_boxes_without_area_have_no_overlap_and_finite_gradients(kind, ops):
    flat = torch.tensor([[3.0, 3, 3, 3], [1, 1, 1, 5], [1, 1, 5, 1], [5, 5, 1, 1], [0, 0, 4, 4]], requires_grad=True)
    values = ops.box_iou(flat, flat, kind)
    values.sum().backward()
    assert flat.grad.isfinite().all()
    if kind == "iou":
        assert torch.equal(values, torch.diag(torch.tensor([0.0, 0, 0, 0, 1])))


corner_number = st.integers(-3, 8).map(float)
plain_boxes = st.tuples(*[corner_number] * 4)  # some without an area
endless = st.sampled_from([math.inf, -math.inf, math.nan])
endless_boxes = st.tuples(plain_boxes, st.integers(0, 3), endless).map(
    lambda box: (*box[0][: box[1]], box[2], *box[0][box[1] + 1 :])
)
LONG = [(-3e38, 0.0, 3e38, 2.0), (0.0, 3e38, 2.0, -3e38), (math.inf, 1.0, math.inf, 2.0)]
some_boxes = st.lists(plain_boxes | endless_boxes | st.sampled_from(LONG), min_size=1, max_size=12)


def is_finite(boxes: torch.Tensor) -> torch.Tensor:
    """Which boxes have no NaN or infinite corner, and no side too long for their dtype."""
    return boxes.isfinite().all(1) & (boxes[:, 2:] - boxes[:, :2] < math.inf).all(1)


def gradients(ops, a, b, kind, elementwise, weight):
    a, b = a.clone().requires_grad_(), b.clone().requires_grad_()
    values = ops.box_iou(a, b, kind, elementwise)
    return values.detach(), *torch.autograd.grad(values, (a, b), weight)


@every_kind
@both_modes
@given(first=some_boxes, second=some_boxes, seed=st.integers(0, 99))
def test_a_box_of_nan_or_infinity_is_as_good_as_none(kind, elementwise, first, second, seed, ops):
    """Its overlaps are the constant 0: so are all their derivatives, its own and those of the other boxes."""
    if elementwise:
        first, second = first[: len(second)], second[: len(first)]
    a, b = torch.tensor(first), torch.tensor(second)
    weight = torch.randn((len(a),) if elementwise else (len(a), len(b)), generator=torch.Generator().manual_seed(seed))
    values, *grads = gradients(ops, a, b, kind, elementwise, weight)
    finite = [is_finite(a), is_finite(b)]
    if elementwise:
        pairs = finite[0] & finite[1]
        _, *expected = gradients(ops, a[pairs], b[pairs], kind, True, weight[pairs])
        finite = [pairs, pairs]
        assert not values[~pairs].any()
    else:
        _, *expected = gradients(ops, a[finite[0]], b[finite[1]], kind, False, weight[finite[0]][:, finite[1]])
        assert not values[~finite[0]].any() and not values[:, ~finite[1]].any()
    for grad, known, counts in zip(grads, expected, finite, strict=True):
        assert known.isfinite().all()
        assert not grad[~counts].any()
        torch.testing.assert_close(grad[counts], known)


@every_kind
@both_modes
def test_gradients_are_derivatives(kind, elementwise, ops):
    a, b = random_boxes(6, 7), random_boxes(6 if elementwise else 9, 8)
    assert gradcheck(lambda p, q: ops.box_iou(p, q, kind, elementwise), (a.requires_grad_(), b.requires_grad_()))


@every_kind
def test_pairwise_gradients_are_sums_of_elementwise_ones(kind, ops):
    a, b = random_boxes(5, 9).requires_grad_(), random_boxes(7, 10).requires_grad_()
    weight = torch.randn(5, 7, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    pairwise = torch.autograd.grad(ops.box_iou(a, b, kind), (a, b), weight)
    each = ops.box_iou(a.repeat_interleave(7, 0), b.repeat(5, 1), kind, elementwise=True)
    elementwise = torch.autograd.grad(each, (a, b), weight.flatten())
    torch.testing.assert_close(pairwise, elementwise)


def test_corners_that_coincide_share_the_gradient_evenly(ops):
    a = torch.tensor([[0.0, 0, 2, 2]], requires_grad=True)
    b = torch.tensor([[0.0, 0, 2, 2]], requires_grad=True)
    ops.box_iou(a, b).sum().backward()
    assert torch.equal(a.grad, torch.zeros(1, 4)) and torch.equal(b.grad, torch.zeros(1, 4))


def test_a_second_derivative_is_refused(ops):
    a, b = random_boxes(3, 11).requires_grad_(), random_boxes(3, 12)
    (grad,) = torch.autograd.grad(ops.box_iou(a, b).sum(), a, create_graph=True)
    with pytest.raises(NotImplementedError, match="first derivative only"):
        grad.sum().backward()


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_half_types_are_computed_and_returned_in_float32(dtype, ops):
    a, b = random_boxes(11, 13, dtype).requires_grad_(), random_boxes(12, 14, dtype)
    values = ops.box_iou(a, b, "giou")
    assert values.dtype == torch.float32
    assert torch.equal(values, ops.box_iou(a.float(), b.float(), "giou"))
    values.sum().backward()
    assert a.grad.dtype == dtype


def test_autocast_changes_nothing(ops, device):
    a, b = random_boxes(11, 15, torch.float32), random_boxes(12, 16, torch.float32)
    with torch.autocast(device, torch.bfloat16):
        assert torch.equal(ops.box_iou(a, b), ops.box_iou(a.float(), b.float()))
        assert ops.box_iou(a.bfloat16(), b.bfloat16()).dtype == torch.float32


def test_strided_boxes_are_read_as_they_are(ops):
    a = random_boxes(24, 17)
    columns, every_other = a.t().contiguous().t(), a.repeat_interleave(2, 0)[::2]
    assert torch.equal(ops.box_iou(columns, every_other), ops.box_iou(a, a))


@both_modes
@pytest.mark.parametrize(("n", "m"), [(0, 0), (0, 3), (3, 0)])
def test_no_boxes_give_no_overlaps(n, m, elementwise, ops):
    m = n if elementwise else m
    a, b = random_boxes(n, 18).requires_grad_(), random_boxes(m, 19).requires_grad_()
    values = ops.box_iou(a, b, elementwise=elementwise)
    assert values.shape == ((n,) if elementwise else (n, m))
    values.sum().backward()
    assert not a.grad.any() and not b.grad.any()


@every_kind
def test_the_number_of_threads_changes_no_bit(kind, threads, ops):
    a, b = random_boxes(400, 20, torch.float32).requires_grad_(), random_boxes(300, 21, torch.float32).requires_grad_()

    def run():
        values = ops.box_iou(a, b, kind)
        return values, *torch.autograd.grad(values.sum(), (a, b))

    first, *others = [threads(n, run) for n in (1, 2, 3)]
    for other in others:
        assert all(torch.equal(x, y) for x, y in zip(first, other, strict=True))


@pytest.mark.parametrize(
    ("arguments", "error", "message"),
    [
        ((torch.rand(3, 5), torch.rand(3, 4)), ValueError, r"boxes1 must have the shape \[N, 4\], got \[3, 5\]"),
        ((torch.rand(3, 4), torch.rand(4)), ValueError, r"boxes2 must have the shape \[N, 4\], got \[4\]"),
        ((torch.ones(3, 4).bool(), torch.rand(3, 4)), TypeError, "boxes1 must be float32, .*, got Bool"),
        ((torch.rand(3, 4), torch.rand(3, 4), "siou"), ValueError, "kind must be 'iou', .*, got 'siou'"),
        ((torch.rand(3, 4), torch.rand(2, 4), "iou", True), ValueError, "as many boxes2 as boxes1, got 3 and 2"),
    ],
)
def test_wrong_arguments_are_named(arguments, error, message, ops):
    with pytest.raises(error, match=f"box_iou: .*{message}"):
        ops.box_iou(*arguments)


@every_kind
@both_modes
def test_keeps_the_rules_for_operators(kind, elementwise, put):
    a, b = put((random_boxes(5, 22).requires_grad_(), random_boxes(5, 23).requires_grad_()))
    torch.library.opcheck(torch.ops.roibench.box_iou.default, (a, b, kind, elementwise))
    values = torch.ops.roibench.box_iou(a, b, kind, elementwise).detach()
    torch.library.opcheck(
        torch.ops.roibench.box_iou_backward.default, (values, a.detach(), b.detach(), kind, elementwise)
    )


def test_compiles_as_one_graph(ops):
    a, b = random_boxes(5, 24).requires_grad_(), random_boxes(6, 25)

    def loss(p, q):
        return (1 - ops.box_iou(p * 2, q, "giou")).sum()

    (eager,) = torch.autograd.grad(loss(a, b), a)
    (compiled,) = torch.autograd.grad(torch.compile(loss, fullgraph=True, backend="aot_eager")(a, b), a)
    torch.testing.assert_close(compiled, eager)


@pytest.mark.parametrize("fmt", ["xywh", "cxcywh"])
@pytest.mark.parametrize("kind", ["iou", "ciou"])
def test_boxes_in_other_formats(fmt, kind, ops):
    first, second = random_boxes(7, 0), random_boxes(5, 1)
    converted = (torchvision.ops.box_convert(boxes, "xyxy", fmt) for boxes in (first, second))
    torch.testing.assert_close(ops.box_iou(*converted, kind, fmt=fmt), ops.box_iou(first, second, kind))
    with pytest.raises(ValueError, match="fmt must be 'xyxy', 'xywh' or 'cxcywh', got 'yxyx'"):
        ops.box_iou(first, second, fmt="yxyx")


@pytest.mark.parametrize("dtype", [torch.uint8, torch.int16, torch.int32, torch.int64])
def test_boxes_of_integers(dtype, ops):
    boxes = torch.tensor([[0, 0, 10, 10], [5, 5, 15, 20], [7, 7, 7, 9]], dtype=dtype)
    found = ops.box_iou(boxes, boxes)
    torch.testing.assert_close(found, torchvision.ops.box_iou(boxes.long(), boxes.long()).nan_to_num())
    assert found.dtype == ops.box_iou(boxes, boxes.float()).dtype == torch.float32
    assert ops.box_iou(boxes, boxes.double()).dtype == torch.float64


def test_large_integers_are_not_rounded(ops):
    far = 2**40
    boxes = torch.tensor([[far, far, far + 2, far + 2], [far + 1, far, far + 3, far + 2]])
    assert ops.box_iou(boxes, boxes)[0, 1].item() == pytest.approx(1 / 3)
