"""conv_transpose2d against the matrix that it multiplies by, and against torch."""

import subprocess
import sys

import pytest
import torch
import torch.nn.functional as F
from hypothesis import assume, given
from hypothesis import strategies as st
from torch.autograd import gradcheck, gradgradcheck

from roibench import ops as operators

CONTIGUOUS, CHANNELS_LAST = torch.contiguous_format, torch.channels_last
each_format = pytest.mark.parametrize("memory_format", [CONTIGUOUS, CHANNELS_LAST], ids=["nchw", "nhwc"])


def random(*shape: int, seed: int = 0, dtype: torch.dtype = torch.float64) -> torch.Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64).to(dtype)


def toeplitz(kernel: torch.Tensor, height: int, width: int, stride: int, padding: int) -> torch.Tensor:
    """The matrix X of a convolution: conv2d(a, kernel).flatten() = X @ a.flatten().

    A row for each output pixel, a column for each input pixel. Row (y, x) holds the kernel where it lies over the
    input; in each following row, it lies `stride` pixels further. kernel: [C_out, C_in, rows, columns].
    """
    out, into, rows, columns = kernel.shape
    out_y, out_x = ((n + 2 * padding - k) // stride + 1 for n, k in ((height, rows), (width, columns)))
    matrix = torch.zeros(out, out_y, out_x, into, height, width, dtype=kernel.dtype)
    for y in range(out_y):
        for x in range(out_x):
            for i in range(rows):
                for j in range(columns):
                    v, u = y * stride - padding + i, x * stride - padding + j
                    if 0 <= v < height and 0 <= u < width:
                        matrix[:, y, x, :, v, u] = kernel[:, :, i, j]
    return matrix.view(out * out_y * out_x, into * height * width)


@pytest.mark.parametrize("stride", [1, 2])
@pytest.mark.parametrize("padding", [0, 1])
def test_it_multiplies_by_the_transpose_of_the_matrix_that_convolution_multiplies_by(stride, padding, ops):
    """`X a` is the convolution of a map a, and `X^T b` the transposed convolution of a map b as large as X a is.

    Hence the name: it is the transpose of convolution, not its inverse. X^T X a has a's shape and is not a. And because
    <X a, b> = <a, X^T b>, each of the two is the other's gradient. The same four weights serve both: what is an output
    channel to one is an input channel to the other, which is why weight is [C_in, C_out, ...] here.
    """
    kernel = random(3, 2, 3, 3)  # from 2 channels to 3, as conv2d has it; from 3 to 2, as conv_transpose2d has it
    a = random(1, 2, 7, 5, seed=1)
    matrix = toeplitz(kernel, 7, 5, stride, padding)

    convolved = F.conv2d(a, kernel, stride=stride, padding=padding)
    torch.testing.assert_close(convolved.flatten(), matrix @ a.flatten())

    b = random(*convolved.shape, seed=2)
    transposed = ops.conv_transpose2d(b, kernel, stride=stride, padding=padding)
    assert transposed.shape == a.shape
    torch.testing.assert_close(transposed.flatten(), matrix.t() @ b.flatten())
    torch.testing.assert_close((convolved * b).sum(), (a * transposed).sum())
    assert not torch.allclose(ops.conv_transpose2d(convolved, kernel, stride=stride, padding=padding), a)


@st.composite
def layers(draw):
    """A map, weights and the layer's parameters: small, thin and grouped ones, and some that are turned in memory."""
    pairs = st.tuples(st.integers(1, 3), st.integers(1, 3))
    groups = draw(st.sampled_from([1, 1, 2, 3]))
    into, out = groups * draw(st.sampled_from([1, 2, 17])), draw(st.sampled_from([1, 3, 16, 21]))
    stride, dilation, kernel = draw(pairs), draw(pairs), draw(pairs)
    padding = draw(st.tuples(st.integers(0, 2), st.integers(0, 2)))
    extra = tuple(draw(st.integers(0, max(s, d) - 1)) for s, d in zip(stride, dilation, strict=True))
    x = random(draw(st.integers(1, 2)), into, draw(st.integers(1, 19)), draw(st.integers(1, 19)))
    weight = random(into, out, *kernel, seed=1)
    bias = random(out * groups, seed=2) if draw(st.booleans()) else None
    layout = draw(st.sampled_from(["contiguous", "channels_last", "strided"]))
    if layout == "channels_last":
        x = x.contiguous(memory_format=CHANNELS_LAST)
    elif layout == "strided":
        x = x.repeat_interleave(2, 3)[..., ::2].transpose(2, 3)
    for size, s, p, d, k, e in zip(x.shape[2:], stride, padding, dilation, kernel, extra, strict=True):
        assume((size - 1) * s - 2 * p + d * (k - 1) + e + 1 > 0)
    return (x, weight, bias, stride, padding, extra, groups, dilation)


@given(layer=layers(), dtype=st.sampled_from([torch.float32, torch.float64]))
def test_agrees_with_torch_forward_and_backward(layer, dtype, ops):
    tensors = [None if t is None else t.to(dtype) for t in layer[:3]]
    ours = [None if t is None else t.detach().clone().requires_grad_() for t in tensors]
    theirs = [None if t is None else t.detach().clone().requires_grad_() for t in tensors]
    got = ops.conv_transpose2d(*ours, *layer[3:])
    expected = F.conv_transpose2d(*theirs, *layer[3:])
    tolerance = {"rtol": 1e-4, "atol": 1e-4} if dtype == torch.float32 else {"rtol": 1e-10, "atol": 1e-10}
    torch.testing.assert_close(got, expected, **tolerance)
    weight = random(*got.shape, seed=3, dtype=dtype)
    got.backward(weight)
    expected.backward(weight)
    for a, b in zip(ours, theirs, strict=True):
        if a is not None:
            torch.testing.assert_close(a.grad, b.grad, **tolerance)


@each_format
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_the_output_is_laid_out_as_the_input(memory_format, dtype, ops):
    x = random(2, 20, 9, 30, dtype=dtype).contiguous(memory_format=memory_format)
    weight = random(20, 33, 3, 3, seed=1, dtype=dtype)
    for w in (weight, weight.contiguous(memory_format=CHANNELS_LAST)):
        got = ops.conv_transpose2d(x, w, stride=2)
        assert got.is_contiguous(memory_format=memory_format)
        torch.testing.assert_close(got, F.conv_transpose2d(x, w, stride=2), rtol=2e-2, atol=1e-2)


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_half_types_are_torchs(dtype, ops):
    x, weight, bias = (random(*s, dtype=dtype) for s in ((2, 18, 5, 6), (18, 16, 4, 4), (16,)))
    got = ops.conv_transpose2d(x, weight, bias, 2, 1)
    assert got.dtype == dtype
    torch.testing.assert_close(
        got.float(), F.conv_transpose2d(x.float(), weight.float(), bias.float(), 2, 1), rtol=2e-2, atol=6e-2
    )


def test_autocast_runs_it_in_the_lower_precision_as_torchs(ops, device):
    x, weight = random(2, 18, 5, 6, dtype=torch.float32).requires_grad_(), random(18, 16, 2, 2, dtype=torch.float32)
    with torch.autocast(device, torch.bfloat16):
        got = ops.conv_transpose2d(x, weight)
        expected = F.conv_transpose2d(x.to(device), weight.to(device)).cpu()
    assert got.dtype == torch.bfloat16
    torch.testing.assert_close(got, expected)
    got.float().sum().backward()
    assert x.grad.dtype == torch.float32


def test_an_unbatched_map_has_no_batch_in_the_output_either(ops):
    x, weight = random(3, 4, 5), random(3, 2, 2, 2)
    assert torch.equal(ops.conv_transpose2d(x, weight, stride=2), ops.conv_transpose2d(x[None], weight, stride=2)[0])


# Sizes with a zero in them. Where torch computes something, so do these; where it raises, so do these.
EMPTY = {
    "no images": ((0, 3, 4, 5), (3, 2, 2, 2)),
    "no images, grouped": ((0, 4, 4, 5), (4, 2, 2, 2), None, 1, 0, 0, 2),
    "no images without rows": ((0, 3, 0, 5), (3, 2, 3, 3)),
    "no images of too few rows": ((0, 3, 0, 5), (3, 2, 1, 1), None, 2),
    "no images and nothing left": ((0, 3, 1, 5), (3, 2, 2, 2), None, 1, (1, 0)),
    "no images and less than nothing left": ((0, 3, 1, 1), (3, 2, 2, 2), None, 1, 3),
    "no images of other channels": ((0, 4, 4, 5), (3, 2, 2, 2)),
    "no images and a wrong bias": ((0, 3, 4, 5), (3, 2, 2, 2), (3,)),
    "no rows left": ((2, 3, 1, 5), (3, 2, 2, 2), None, 1, (1, 0)),
    "no rows left, of many channels": ((2, 20, 1, 5), (20, 20, 2, 2), (20,), 1, (1, 0)),
    "no pixels left": ((2, 3, 2, 2), (3, 2, 2, 2), (2,), 2, 2),
    "less than nothing left": ((2, 3, 1, 1), (3, 2, 2, 2), None, 1, 3),
    "no input channels": ((2, 0, 4, 5), (0, 2, 2, 2)),
    "no input channels, grouped": ((2, 0, 4, 5), (0, 2, 2, 2), (4,), 1, 0, 0, 2),
    "no output channels": ((2, 3, 4, 5), (3, 0, 2, 2)),
    "no output channels, grouped": ((2, 4, 4, 5), (4, 0, 2, 2), (0,), 1, 0, 0, 2),
    "no channels at all": ((2, 0, 4, 5), (0, 0, 2, 2)),
    "no rows": ((2, 3, 0, 5), (3, 2, 3, 3)),
    "no rows and no columns": ((2, 3, 0, 0), (3, 2, 3, 3), None, 2),
    "an empty kernel": ((2, 3, 4, 5), (3, 2, 0, 2)),
    "unbatched, no rows left": ((3, 1, 5), (3, 2, 2, 2), None, 1, (1, 0)),
    "unbatched, no rows": ((3, 0, 5), (3, 2, 2, 2)),
    "unbatched, no input channels": ((0, 4, 5), (0, 2, 2, 2)),
    "unbatched, no output channels": ((3, 4, 5), (3, 0, 2, 2)),
}


@pytest.mark.parametrize("sizes", EMPTY.values(), ids=EMPTY)
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64, torch.bfloat16])
def test_where_there_is_nothing_it_returns_or_raises_as_torchs(sizes, dtype, ops, device):
    tensors = [None if size is None else random(*size, dtype=dtype) for size in (*sizes, None)[:3]]

    def run(convolve, device):
        learned = [None if t is None else t.to(device).requires_grad_() for t in tensors]
        out = convolve(*learned, *sizes[3:])
        out.sum().backward()
        return out.detach().cpu(), [None if t is None else t.grad.cpu() for t in learned]

    try:
        expected, expected_grads = run(F.conv_transpose2d, device)
    except (RuntimeError, IndexError):
        with pytest.raises((RuntimeError, ValueError)):
            run(ops.conv_transpose2d, "cpu")
        return
    got, grads = run(ops.conv_transpose2d, "cpu")
    assert got.numel() == 0
    for a, b in zip([got, *grads], [expected, *expected_grads], strict=True):
        assert (a is None) == (b is None)
        assert a is None or (a.shape == b.shape and a.dtype == b.dtype and torch.equal(a, b))
    fake = operators.conv_transpose2d(*(None if t is None else t.to("meta") for t in tensors), *sizes[3:])
    assert (fake.shape, fake.dtype, fake.stride()) == (got.shape, got.dtype, got.stride())


@each_format
def test_an_empty_batch_gives_an_empty_batch(memory_format, ops):
    x = torch.zeros(0, 3, 4, 5).contiguous(memory_format=memory_format).requires_grad_()
    weight = random(3, 2, 2, 2, dtype=torch.float32).requires_grad_()
    out = ops.conv_transpose2d(x, weight, stride=2)
    assert out.shape == (0, 2, 8, 10)
    out.sum().backward()
    assert x.grad.shape == x.shape and not weight.grad.any()


def test_gradients_are_derivatives_and_theirs_too(ops):
    tensors = [random(2, 4, 3, 3), random(4, 2, 3, 2, seed=1), random(4, seed=2)]

    def convolve(x, weight, bias):
        return ops.conv_transpose2d(x, weight, bias, (2, 1), 1, (1, 0), 2, (1, 2))

    arguments = [t.requires_grad_() for t in tensors]
    assert gradcheck(convolve, arguments)
    assert gradgradcheck(convolve, arguments)


def test_nan_stays_where_it_is(ops):
    x = torch.ones(1, 16, 4, 4)
    x[0, 3, 1, 2] = torch.nan
    out = ops.conv_transpose2d(x, torch.ones(16, 16, 2, 2), stride=2)
    assert torch.equal(out.isnan(), F.conv_transpose2d(x, torch.ones(16, 16, 2, 2), stride=2).isnan())
    assert out.isnan().sum() == 16 * 4


@each_format
def test_the_number_of_threads_changes_nothing(memory_format, threads, ops):
    x = random(2, 40, 30, 31, dtype=torch.float32).contiguous(memory_format=memory_format)
    weight = random(40, 24, 3, 3, dtype=torch.float32)
    first, *others = [threads(n, lambda: ops.conv_transpose2d(x, weight, stride=2)) for n in (1, 2, 3)]
    for other in others:
        torch.testing.assert_close(other, first)


X, W = torch.rand(1, 4, 5, 5), torch.rand(4, 2, 3, 3)


@pytest.mark.parametrize(
    ("arguments", "error", "message"),
    [
        ((torch.rand(5, 5), W), ValueError, r"input must have the shape \[N, C, H, W\], got \[5, 5\]"),
        ((torch.ones(1, 4, 5, 5).int(), W), TypeError, "input must be float32, .*, got Int"),
        ((X, W[0]), ValueError, r"weight must have the shape \[C, C_out / groups, height, width\], got \[2, 3, 3\]"),
        ((X, W.double()), TypeError, "weight must be Float, as input is, got Double"),
        ((X[:, :3], W), ValueError, r"input must have 4 channels, as weight has rows, got \[1, 3, 5, 5\]"),
        ((X[..., :0], W), ValueError, r"input must have pixels, got \[1, 4, 5, 0\]"),
        ((X, W[:, :0]), ValueError, r"weight must not be empty, got \[4, 0, 3, 3\]"),
        ((X, W, torch.rand(3)), ValueError, r"bias must have the shape \[2\], got \[3\]"),
        ((X, W, None, 0), ValueError, r"stride must be positive, got \[0, 0\]"),
        ((X, W, None, 1, -1), ValueError, r"padding must not be negative, got \[-1, -1\]"),
        ((X, W, None, 1, 9), ValueError, r"padding must leave some output, got .*\[1, 2, -11, -11\]"),
        ((X, W, None, 2, 0, 2), ValueError, r"output_padding must be in \[0, max\(stride, dilation\)\), got \[2, 2\]"),
        ((X, W, None, 1, 0, 0, 3), ValueError, "groups must divide the 4 channels of input, got 3"),
        ((X, W, None, 1, 0, 0, 1, 0), ValueError, r"dilation must be positive, got \[0, 0\]"),
        ((X, W, None, (1, 1, 1)), ValueError, "stride must be an integer or"),
    ],
)
def test_wrong_arguments_are_named(arguments, error, message, ops):
    with pytest.raises(error, match=message):
        ops.conv_transpose2d(*arguments)


@each_format
@pytest.mark.parametrize("channels", [4, 16])
def test_keeps_the_rules_for_operators(memory_format, channels, put):
    x = random(2, channels, 5, 4, dtype=torch.float32).contiguous(memory_format=memory_format).requires_grad_()
    weight, bias = random(channels, 16, 3, 3, dtype=torch.float32).requires_grad_(), random(16, dtype=torch.float32)
    arguments = (x, weight, bias.requires_grad_(), (2, 1), (1, 0), (1, 0), 1, (1, 1))
    torch.library.opcheck(torch.ops.roibench.conv_transpose2d.default, put(arguments))


def test_compiles_as_one_graph(ops):
    x, weight = random(2, 3, 5, 4).requires_grad_(), random(3, 2, 2, 2)

    def layer(map):
        return (ops.conv_transpose2d(map * 2, weight, stride=2) ** 2).sum()

    (eager,) = torch.autograd.grad(layer(x), x)
    (compiled,) = torch.autograd.grad(torch.compile(layer, fullgraph=True, backend="aot_eager")(x), x)
    torch.testing.assert_close(compiled, eager)


COUNT = """
import torch
import torch.nn.functional as F
from roibench import ops
from roibench.ops import flops
from torch.utils.flop_counter import FlopCounterMode
for convolve in (ops.conv_transpose2d, F.conv_transpose2d):
    x, w = torch.rand(2, 6, 5, 4, requires_grad=True), torch.rand(6, 5, 3, 2, requires_grad=True)
    with FlopCounterMode(display=False) as counter:
        y = convolve(x, w, None, 2, 1, 1)
        print(counter.get_total_flops())
        y.sum().backward()
    print(counter.get_total_flops())
"""


def test_flops_are_torchs_count():
    output = subprocess.run([sys.executable, "-c", COUNT], capture_output=True, text=True, check=True).stdout.split()
    assert output[:2] == output[2:]
    assert output[0] == str(2 * 2 * (5 * 4) * 6 * 5 * (3 * 2))
