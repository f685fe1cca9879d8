"""sigmoid_focal_loss against the paper's formula with 50 digits, and against torchvision where that is right."""

import math
from decimal import Decimal, localcontext

import pytest
import torch
import torchvision
from hypothesis import example, given
from hypothesis import strategies as st
from torch.autograd import gradcheck, gradgradcheck

from roibench import ops

REDUCTIONS = ("none", "mean", "sum")
TOLERANCE = {torch.float32: 2e-6, torch.float64: 1e-14}
each_gamma = pytest.mark.parametrize("gamma", [0.0, 0.3, 1.0, 2.0, 5.0])
each_reduction = pytest.mark.parametrize("reduction", REDUCTIONS)
each_precision = pytest.mark.parametrize("dtype", [torch.float32, torch.float64])


def formula(x: float, t: float, alpha: float, gamma: float) -> tuple[float, float]:
    """Equation 5 of the paper and its derivative by the logit, without a thought for rounding: it has 300 digits."""
    with localcontext() as context:
        context.prec = 300
        x, t, gamma = Decimal(x), Decimal(t), Decimal(gamma)
        a = Decimal(1) if alpha < 0 else Decimal(alpha) * t + (1 - Decimal(alpha)) * (1 - t)
        p = 1 / (1 + (-x).exp())
        q = p * (1 - t) + (1 - p) * t
        cross_entropy = -t * p.ln() - (1 - t) * (1 - p).ln()
        loss = a * q**gamma * cross_entropy
        derivative = a * q**gamma * (gamma * (1 - 2 * t) * p * (1 - p) / q * cross_entropy + p - t)
        return float(loss), float(derivative)


def random(*shape: int, seed: int = 0, dtype: torch.dtype = torch.float64) -> tuple[torch.Tensor, torch.Tensor]:
    """Logits of several sizes; targets of which some are hard and some soft."""
    generator = torch.Generator().manual_seed(seed)
    logits = torch.randn(shape, generator=generator, dtype=torch.float64) * 4
    targets = (torch.rand(shape, generator=generator, dtype=torch.float64) * 2 - 0.5).clamp(0, 1)
    return logits.to(dtype), targets.to(dtype)


@each_precision
@each_gamma
@pytest.mark.parametrize("alpha", [0.25, -1])
def test_is_the_papers_formula(dtype, gamma, alpha):
    sizes = torch.tensor([0, 1e-6, 1e-3, 0.1, 0.5, 1, 2, 3.7, 5, 8, 15, 29], dtype=dtype)
    logits = torch.cat([sizes, -sizes])
    for target in (0.0, 1.0, 0.5, 0.125, 1 - 2**-20):
        x = logits.clone().requires_grad_()
        loss = ops.sigmoid_focal_loss(x, torch.full_like(x, target), alpha, gamma)
        loss.sum().backward()
        expected = [formula(value, target, alpha, gamma) for value in logits.tolist()]
        for got, of_all in zip((loss, x.grad), zip(*expected, strict=True), strict=True):
            # A derivative is a difference, and exact relative to its terms. Below normal numbers there is only 0.
            atol = torch.finfo(dtype).tiny if got is loss else TOLERANCE[dtype] * (1 + gamma)
            wanted = torch.tensor(of_all, dtype=torch.float64)
            torch.testing.assert_close(got.double(), wanted, rtol=TOLERANCE[dtype] * (1 + gamma), atol=atol)


@each_precision
@each_reduction
@pytest.mark.parametrize("gamma", [1.0, 2.0, 3.5])
@pytest.mark.parametrize("alpha", [0.25, 0.0, 1.0, -1])
def test_agrees_with_torchvision_forward_and_backward(dtype, reduction, gamma, alpha):
    x, t = random(37, 41, dtype=dtype)
    ours, theirs = x.clone().requires_grad_(), x.clone().requires_grad_()
    loss = ops.sigmoid_focal_loss(ours, t, alpha, gamma, reduction)
    expected = torchvision.ops.sigmoid_focal_loss(theirs, t, alpha, gamma, reduction)
    assert loss.dtype == dtype
    torch.testing.assert_close(loss, expected, rtol=1e-4, atol=1e-6)
    weight = torch.randn(loss.shape, dtype=dtype, generator=torch.Generator().manual_seed(1))
    loss.backward(weight)
    expected.backward(weight)
    torch.testing.assert_close(ours.grad, theirs.grad, rtol=1e-4, atol=1e-6)


def test_without_focus_and_weights_it_is_the_cross_entropy():
    x, t = random(500)
    expected = torch.nn.functional.binary_cross_entropy_with_logits(x, t, reduction="none")
    torch.testing.assert_close(ops.sigmoid_focal_loss(x, t, -1, 0.0), expected, rtol=1e-13, atol=1e-15)


@each_precision
@each_gamma
def test_saturated_logits_have_finite_derivatives(dtype, gamma):
    limit = torch.finfo(dtype).max
    sure = torch.tensor([90.0, 100.0, 1000.0, limit, math.inf], dtype=dtype)
    right = torch.cat([sure, -sure]).requires_grad_()
    targets = (right.detach() > 0).to(dtype)
    loss = ops.sigmoid_focal_loss(right, targets, gamma=gamma)
    loss.sum().backward()
    assert loss.abs().max() < 1e-37 and right.grad.abs().max() < 1e-37

    wrong = right.detach().clone().requires_grad_()
    loss = ops.sigmoid_focal_loss(wrong, 1 - targets, gamma=gamma)
    (grad,) = torch.autograd.grad(loss.sum(), wrong, create_graph=True)
    weight = torch.where(targets > 0, 0.75, 0.25).to(dtype)
    assert torch.equal(loss, weight * wrong.abs())
    torch.testing.assert_close(grad, weight * wrong.sign())
    (curvature,) = torch.autograd.grad(grad.sum(), wrong)
    assert curvature.abs().max() < 1e-30


@each_precision
@each_gamma
@given(x=st.floats(), t=st.floats(0, 1) | st.sampled_from([0.0, 1.0]))
@example(x=-math.inf, t=1.2e-38)  # q ** 2 is 0, the cross entropy infinite
def test_no_logit_but_nan_gives_nan(dtype, gamma, x, t):
    inputs = torch.tensor([x], dtype=dtype, requires_grad=True)
    loss = ops.sigmoid_focal_loss(inputs, torch.tensor([t], dtype=dtype), gamma=gamma)
    loss.backward()
    assert loss.isnan() == inputs.grad.isnan() == inputs.isnan()
    assert math.isnan(x) or (loss >= 0 and inputs.grad.isfinite())


@each_gamma
def test_an_infinite_cost_of_weight_0_is_0_and_nan_stays_nan(gamma):
    inputs, targets = torch.tensor([-math.inf, math.nan]), torch.ones(2)
    loss = ops.sigmoid_focal_loss(inputs, targets, alpha=0.0, gamma=gamma)
    assert loss[0] == 0 and loss[1].isnan()


@each_gamma
@each_reduction
def test_nan_stays_where_it_is(gamma, reduction):
    x, t = random(3, 700, dtype=torch.float32)
    spoiled_x, spoiled_t = x.clone(), t.clone()
    spoiled_x[1, 5], spoiled_t[2, 600] = math.nan, math.nan
    got = ops.sigmoid_focal_loss(spoiled_x.requires_grad_(), spoiled_t, gamma=gamma, reduction=reduction)
    got.sum().backward()
    clean = (spoiled_x + spoiled_t).isfinite().detach()
    assert torch.equal(spoiled_x.grad.isfinite(), clean)
    if reduction == "none":
        assert torch.equal(got[clean], ops.sigmoid_focal_loss(x, t, gamma=gamma)[clean])
        assert got[~clean].isnan().all()
    else:
        assert got.isnan()


@pytest.mark.parametrize("gamma", [0.0, 0.5, 1.0, 2.0, 3.0])
@each_reduction
def test_gradients_are_derivatives_and_theirs_too(gamma, reduction):
    x, t = random(4, 5)

    def loss(logits):
        return ops.sigmoid_focal_loss(logits, t, 0.3, gamma, reduction)

    assert gradcheck(loss, (x.requires_grad_(),))
    assert gradgradcheck(loss, (x,))


def test_a_third_derivative_and_one_by_targets_are_refused():
    x, t = random(5)
    (first,) = torch.autograd.grad(ops.sigmoid_focal_loss(x.requires_grad_(), t).sum(), x, create_graph=True)
    (second,) = torch.autograd.grad(first.sum(), x, create_graph=True)
    with pytest.raises(NotImplementedError, match="a first and a second derivative only"):
        second.sum().backward()
    with pytest.raises(NotImplementedError, match=r"targets has no derivative, but requires one; detach\(\) it"):
        ops.sigmoid_focal_loss(x, t.requires_grad_())


@st.composite
def layouts(draw):
    """Two tensors of one shape, each with its own strides: permuted, expanded, every other element."""
    shape = draw(st.lists(st.integers(0, 9), max_size=5))
    seed, dtype = draw(st.integers(0, 99)), draw(st.sampled_from([torch.float32, torch.float64, torch.bfloat16]))

    def laid_out(t: torch.Tensor) -> torch.Tensor:
        order = draw(st.permutations(range(t.dim())))
        back = sorted(range(t.dim()), key=order.__getitem__)
        t = t.permute(order).contiguous().permute(back)
        return torch.stack([t, -t], dim=-1)[..., 0] if draw(st.booleans()) else t

    return [laid_out(part) for part in random(*shape, seed=seed, dtype=dtype)]


@given(tensors=layouts(), gamma=st.sampled_from([0.5, 2.0]), reduction=st.sampled_from(REDUCTIONS))
def test_strides_change_nothing_but_the_order_of_summation(tensors, gamma, reduction):
    x, t = tensors
    got = ops.sigmoid_focal_loss(x.requires_grad_(), t, gamma=gamma, reduction=reduction)
    plain = x.detach().contiguous().requires_grad_()
    expected = ops.sigmoid_focal_loss(plain, t.contiguous(), gamma=gamma, reduction=reduction)
    torch.testing.assert_close(got, expected, equal_nan=True)
    got.sum().backward()
    expected.sum().backward()
    assert torch.equal(x.grad, plain.grad)
    if reduction == "none":
        assert torch.equal(got, expected)


def test_channels_last_stays_channels_last():
    x, t = random(2, 3, 5, 4)
    x = x.contiguous(memory_format=torch.channels_last).requires_grad_()
    loss = ops.sigmoid_focal_loss(x, t)
    assert loss.is_contiguous(memory_format=torch.channels_last)
    assert torch.equal(loss, ops.sigmoid_focal_loss(x.contiguous(), t))


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
@each_reduction
def test_half_types_are_float32_rounded_once(dtype, reduction):
    x, t = random(3, 1500, dtype=dtype)
    wide = x.float().requires_grad_()
    got = ops.sigmoid_focal_loss(x.requires_grad_(), t, reduction=reduction)
    expected = ops.sigmoid_focal_loss(wide, t.float(), reduction=reduction)
    assert torch.equal(got, expected.to(dtype))
    (grad,) = torch.autograd.grad(got.sum(), x)
    (grad_expected,) = torch.autograd.grad(expected.sum(), wide)
    assert torch.equal(grad, grad_expected.to(dtype))


@pytest.mark.parametrize("dtype", [torch.bool, torch.uint8, torch.int64, torch.float64, torch.bfloat16])
def test_dtypes_promote_as_elsewhere_in_torch(dtype):
    x = random(40)[0].float().requires_grad_()
    t = (torch.arange(40) % 2).to(dtype)
    loss = ops.sigmoid_focal_loss(x, t)
    assert loss.dtype == torch.promote_types(torch.float32, dtype)
    torch.testing.assert_close(loss.float(), ops.sigmoid_focal_loss(x, t.float()))
    loss.sum().backward()
    assert x.grad.dtype == torch.float32


def test_autocast_computes_and_returns_float32():
    x, t = random(30, 40, dtype=torch.bfloat16)
    with torch.autocast("cpu", torch.bfloat16):
        loss = ops.sigmoid_focal_loss(x.requires_grad_(), t, reduction="sum")
    assert loss.dtype == torch.float32
    assert torch.equal(loss, ops.sigmoid_focal_loss(x.float(), t.float(), reduction="sum"))
    loss.backward()
    assert x.grad.dtype == torch.bfloat16


@pytest.mark.parametrize("shape", [(0,), (3, 0, 2)])
def test_an_empty_loss_sums_to_zero_and_has_no_mean(shape):
    x = torch.zeros(shape, requires_grad=True)
    assert ops.sigmoid_focal_loss(x, x.detach()).shape == shape
    total = ops.sigmoid_focal_loss(x, x.detach(), reduction="sum")
    total.backward()
    assert total == 0 and x.grad.shape == shape
    assert ops.sigmoid_focal_loss(x, x.detach(), reduction="mean").isnan()


@each_reduction
def test_the_number_of_threads_changes_no_bit(reduction, threads):
    x, t = random(300, 401, dtype=torch.float32)

    def run():
        loss = ops.sigmoid_focal_loss(x.requires_grad_(), t, 0.25, 1.5, reduction)
        return loss, *torch.autograd.grad(loss.sum(), x)

    first, *others = [threads(n, run) for n in (1, 2, 3)]
    for other in others:
        assert all(torch.equal(a, b) for a, b in zip(first, other, strict=True))


def test_a_long_sum_is_as_exact_as_its_terms():
    x, t = random(3_000_001, dtype=torch.float32)
    exact = ops.sigmoid_focal_loss(x, t).double().sum()
    torch.testing.assert_close(ops.sigmoid_focal_loss(x, t, reduction="sum").double(), exact, rtol=1e-7, atol=0)


@pytest.mark.parametrize(
    ("arguments", "error", "message"),
    [
        ((torch.ones(3).int(), torch.rand(3)), TypeError, "inputs must be float32, .*, got Int"),
        ((torch.rand(3), torch.rand(3, 1)), ValueError, r"targets must have the shape of inputs, \[3\], got \[3, 1\]"),
        ((torch.rand(3), torch.rand(3) * 1j), TypeError, "targets must be real numbers, got ComplexFloat"),
        ((torch.rand(3), torch.rand(3), 1.5), ValueError, r"alpha must be in \[0, 1\], or -1 for none, got 1.5"),
        ((torch.rand(3), torch.rand(3), math.nan), ValueError, "alpha must be .*, got nan"),
        ((torch.rand(3), torch.rand(3), 0.5, -1.0), ValueError, "gamma must be finite and not negative, got -1"),
        ((torch.rand(3), torch.rand(3), 0.5, math.inf), ValueError, "gamma must be finite and not negative, got inf"),
        ((torch.rand(3), torch.rand(3), 0.5, 2.0, "max"), ValueError, "reduction must be 'none', .*, got 'max'"),
    ],
)
def test_wrong_arguments_are_named(arguments, error, message):
    with pytest.raises(error, match=f"sigmoid_focal_loss: {message}"):
        ops.sigmoid_focal_loss(*arguments)


@each_reduction
@pytest.mark.parametrize("memory_format", [torch.contiguous_format, torch.channels_last], ids=["nchw", "nhwc"])
def test_keeps_the_rules_for_operators(reduction, memory_format):
    x, t = (part.contiguous(memory_format=memory_format) for part in random(2, 3, 5, 4))
    x.requires_grad_()
    torch.library.opcheck(torch.ops.roibench.sigmoid_focal_loss.default, (x, t, 0.25, 2.0, reduction))
    grad = torch.rand_like(t).requires_grad_()
    torch.library.opcheck(torch.ops.roibench.sigmoid_focal_loss_backward.default, (grad, x, t, 0.25, 2.0, 1))


def test_compiles_as_one_graph():
    x, t = random(20, 7)

    def loss(logits):
        return ops.sigmoid_focal_loss(logits * 2, t, reduction="mean")

    (eager,) = torch.autograd.grad(loss(x.requires_grad_()), x)
    (compiled,) = torch.autograd.grad(torch.compile(loss, fullgraph=True, backend="aot_eager")(x), x)
    torch.testing.assert_close(compiled, eager)


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
@pytest.mark.parametrize("gamma", [0.0, 2.0])
def test_every_half_is_computed_in_float32_and_rounded_once(dtype, gamma):
    logits = torch.arange(2**16, dtype=torch.int32).to(torch.int16).view(dtype)  # all there are
    targets = (torch.arange(2**16) % 3 / 2).to(dtype)
    grad = torch.arange(2**16, dtype=torch.int32).flip(0).to(torch.int16).view(dtype)
    both = logits.clone().requires_grad_(), logits.float().requires_grad_()
    losses = [ops.sigmoid_focal_loss(x, targets.to(x.dtype), gamma=gamma) for x in both]
    assert torch.equal(losses[0].isnan(), losses[1].isnan()) and losses[0].isnan().sum() == logits.isnan().sum()
    torch.testing.assert_close(losses[0], losses[1].to(dtype), rtol=0, atol=0, equal_nan=True)
    derivatives = [torch.autograd.grad(loss, x, grad.to(x.dtype)) for loss, x in zip(losses, both, strict=True)]
    torch.testing.assert_close(derivatives[0][0], derivatives[1][0].to(dtype), rtol=0, atol=0, equal_nan=True)
