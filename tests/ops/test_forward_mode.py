"""Forward mode (torch.func.jvp) and torch.func.vmap of every operator: right, or an error, never a silent zero."""

import pytest
import torch
from random_regions import random_map, random_rois
from torch import Tensor
from torch.autograd import forward_ad, gradcheck, gradgradcheck

from roibench import ops as operators


def random(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def boxes(n: int, seed: int) -> Tensor:
    corner = random(n, 2, seed=seed)
    return torch.cat([corner, corner + random(n, 2, seed=seed + 1).abs() * 4 + 2], dim=1)  # most overlap


CONTIGUOUS, CHANNELS_LAST = torch.contiguous_format, torch.channels_last
ROIS = random_rois(5, 2, 5, 4)
TARGETS = random(3, 4, seed=9).sigmoid()

# A function of the operators, and what it is differentiated by.
CASES = {
    "box_iou": (lambda ops, a, b: ops.box_iou(a, b), (boxes(3, 0), boxes(4, 2))),
    **{
        f"box_iou {kind} elementwise": (
            lambda ops, a, b, kind=kind: ops.box_iou(a, b, kind, True),
            (boxes(3, 0), boxes(3, 2)),
        )
        for kind in ("iou", "giou", "diou", "ciou")
    },
    "roi_align": (lambda ops, x: ops.roi_align(x, ROIS, 2, sampling_ratio=2), (random_map(2, 2, 5, 4),)),
    "roi_pool": (lambda ops, x: ops.roi_pool(x, ROIS, (2, 3)), (random_map(2, 2, 5, 4),)),
    "ps_roi_pool": (lambda ops, x: ops.ps_roi_pool(x, ROIS, 2), (random_map(2, 8, 5, 4),)),
    "spatial_pyramid_pool": (lambda ops, x: ops.spatial_pyramid_pool(x, (3, 1)), (random_map(2, 2, 5, 4),)),
    "spatial_pyramid_pool avg": (
        lambda ops, x: ops.spatial_pyramid_pool(x, (3, 1), kind="avg"),
        (random_map(2, 2, 5, 4),),
    ),
    "roi_spatial_pyramid_pool": (
        lambda ops, x: ops.roi_spatial_pyramid_pool(x, ROIS, (2, 1)),
        (random_map(2, 2, 5, 4),),
    ),
    "conv_transpose2d": (
        lambda ops, x, w, b: ops.conv_transpose2d(x, w, b, (2, 1), 1, (1, 0), 2),
        (random(2, 4, 3, 3), random(4, 2, 3, 2, seed=1), random(4, seed=2)),
    ),
    "conv_transpose2d unbatched": (
        lambda ops, x, w: ops.conv_transpose2d(x, w, stride=2),
        (random(3, 3, 2), random(3, 2, 2, 2, seed=1)),
    ),
    **{
        f"sigmoid_focal_loss {reduction}": (
            lambda ops, x, reduction=reduction: ops.sigmoid_focal_loss(x, TARGETS, reduction=reduction),
            (random(3, 4),),
        )
        for reduction in ("none", "sum", "mean")
    },
}
each_case = pytest.mark.parametrize(("function", "arguments"), CASES.values(), ids=CASES)
twice = {name: case for name, case in CASES.items() if not name.startswith("box_iou")}


@each_case
def test_forward_mode_is_the_derivative(function, arguments, ops):
    learned = [t.clone().requires_grad_() for t in arguments]
    assert gradcheck(lambda *x: function(ops, *x), learned, check_forward_ad=True, check_batched_forward_grad=True)


@pytest.mark.parametrize(("function", "arguments"), twice.values(), ids=twice)
def test_forward_mode_over_reverse_mode_is_the_second_derivative(function, arguments, ops):
    learned = [t.clone().requires_grad_() for t in arguments]

    def f(*x):
        return function(ops, *x)

    assert gradgradcheck(f, learned, check_fwd_over_rev=True, check_rev_over_rev=False, check_undefined_grad=False)


@each_case
def test_jvp_and_jacfwd_are_the_jacobian_of_backward_mode(function, arguments, ops):
    tangents = tuple(random(*t.shape, seed=5) for t in arguments)
    every = tuple(range(len(arguments)))

    def f(*x):
        return function(ops, *x)

    jacobians = torch.autograd.functional.jacobian(f, arguments)
    out, change = torch.func.jvp(f, arguments, tangents)
    assert torch.equal(out, f(*arguments))
    expected = sum((j * t).flatten(out.dim()).sum(-1) for j, t in zip(jacobians, tangents, strict=True))
    assert change.any()
    torch.testing.assert_close(change, expected)
    for forward, backward in zip(torch.func.jacfwd(f, every)(*arguments), jacobians, strict=True):
        torch.testing.assert_close(forward, backward)


@each_case
def test_vmap_is_a_loop(function, arguments, ops):
    many = [torch.stack([t, random(*t.shape, seed=6), t * 2]) for t in arguments]
    expected = torch.stack([function(ops, *each) for each in zip(*many, strict=True)])
    torch.testing.assert_close(torch.func.vmap(lambda *x: function(ops, *x))(*many), expected)


@pytest.mark.parametrize("pool", ["roi_align", "roi_pool", "ps_roi_pool"])
def test_memory_formats_of_numbers_and_tangents_need_not_agree(pool, ops):
    pool, x, change = getattr(ops, pool), random_map(2, 8, 5, 4), random_map(2, 8, 5, 4, seed=3)
    _, expected = torch.func.jvp(lambda x: pool(x, ROIS, 2), (x,), (change,))
    for a, b in ((CHANNELS_LAST, CONTIGUOUS), (CONTIGUOUS, CHANNELS_LAST), (CHANNELS_LAST, CHANNELS_LAST)):
        dual = x.contiguous(memory_format=a), change.contiguous(memory_format=b)
        _, found = torch.func.jvp(lambda x: pool(x, ROIS, 2), dual[:1], dual[1:])
        torch.testing.assert_close(found, expected)


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float32])
def test_tangents_have_the_type_of_the_result(dtype, device):
    calls = {
        "box_iou": (lambda x: operators.box_iou(x, x, "ciou"), boxes(3, 0)),
        "roi_align": (lambda x: operators.roi_align(x, ROIS.float().to(device), 2), random_map(2, 2, 5, 4)),
        "roi_pool": (lambda x: operators.roi_pool(x, ROIS.float().to(device), 2), random_map(2, 2, 5, 4)),
        "ps_roi_pool": (lambda x: operators.ps_roi_pool(x, ROIS.float().to(device), 2), random_map(2, 8, 5, 4)),
        "sigmoid_focal_loss": (lambda x: operators.sigmoid_focal_loss(x, x.detach().float(), 0.25, 2, "mean"), TARGETS),
    }
    for name, (f, x) in calls.items():
        x = x.to(device, dtype)
        out, change = torch.func.jvp(f, (x,), (torch.ones_like(x),))
        assert change.dtype == out.dtype and change.isfinite().all(), name


def test_a_map_without_numbers_has_the_tangent_zero(device):
    for pool in (operators.roi_pool, operators.roi_align):
        x, rois = torch.ones(1, 2, 0, 4, device=device), torch.zeros(3, 5, device=device)
        out, change = torch.func.jvp(lambda x, pool=pool, rois=rois: pool(x, rois, 2), (x,), (x,))
        assert change.shape == out.shape == (3, 2, 2, 2) and not change.any()


def test_the_argmax_is_no_less_there_in_forward_mode(device):
    x, rois = random_map(2, 2, 5, 4).to(device), ROIS.to(device)
    expected = torch.ops.roibench.roi_pool(x, rois, 1.0, 2, 2, True)
    with forward_ad.dual_level():
        dual = forward_ad.make_dual(x, torch.ones_like(x))
        pooled, argmax = torch.ops.roibench.roi_pool(dual, rois, 1.0, 2, 2, True)
        assert torch.equal(argmax, expected[1]) and torch.equal(forward_ad.unpack_dual(pooled).primal, expected[0])


WITHOUT_DERIVATIVE = {
    "roi_align": (lambda rois: operators.roi_align(torch.rand(2, 8, 5, 4), rois, 2), ROIS.float()),
    "sigmoid_focal_loss": (lambda t: operators.sigmoid_focal_loss(torch.rand(3, 4), t), TARGETS.float()),
    "soft_nms": (lambda scores: operators.soft_nms(torch.rand(5, 4), scores)[1], torch.rand(5)),
}


@pytest.mark.parametrize(("function", "argument"), WITHOUT_DERIVATIVE.values(), ids=WITHOUT_DERIVATIVE)
def test_what_has_no_derivative_refuses_a_tangent(function, argument):
    with pytest.raises(NotImplementedError, match=r"(rois|targets|scores) has a tangent, but no derivative; detach"):
        torch.func.jvp(function, (argument,), (torch.ones_like(argument),))


def test_poolings_that_round_have_no_derivative_by_boxes_which_is_zero():
    for pool in (operators.roi_pool, operators.ps_roi_pool):
        _, change = torch.func.jvp(lambda rois, pool=pool: pool(random(2, 8, 5, 4), rois, 2), (ROIS,), (ROIS,))
        assert not change.any()


def test_a_second_derivative_of_box_iou_is_refused_in_forward_mode_too():
    a, b = boxes(3, 0).requires_grad_(), boxes(3, 2)
    with forward_ad.dual_level(), pytest.raises(NotImplementedError, match="box_iou has a first derivative only"):
        dual = forward_ad.make_dual(a, torch.ones_like(a))
        torch.autograd.grad(operators.box_iou(dual, b).sum(), a, create_graph=True)


def test_vmap_of_a_result_whose_size_depends_on_the_numbers_is_an_error():
    apart, alike = boxes(6, 0) + 100 * torch.arange(6.0)[:, None], boxes(1, 0).expand(6, 4)
    for suppress in (lambda b, s: operators.nms(b, s, 0.5), lambda b, s: operators.soft_nms(b, s)[0]):
        with pytest.raises(RuntimeError):
            torch.func.vmap(suppress)(torch.stack([apart, alike]), torch.rand(2, 6) + 1)
