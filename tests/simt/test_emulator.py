"""The emulator and the PTX translator: every intrinsic does what CUDA says, and mistakes are noticed."""

import ctypes
import math

import pytest
import torch

from simt.build import SELFTEST
from simt.kernels import KernelError, Kernels

THREADS = 64


@pytest.fixture(scope="session")
def selftest(lane) -> Kernels:
    return Kernels(lane, sorted(SELFTEST.glob("*.cu")))


@pytest.fixture(params=(0, 1, 2))
def features(request, selftest) -> Kernels:
    selftest.seed = request.param
    return selftest


def integers(n: int, below: int) -> torch.Tensor:
    return torch.randint(1, below, (n,), generator=torch.Generator().manual_seed(0), dtype=torch.int32)


def bits(x: int) -> int:
    return x & 0xFFFFFFFF


def test_what_a_warp_does_together(features):
    n = 250  # the last warp is not full: lanes without a number bring 0
    x = integers(n, 1 << 30)
    x[7] = 12345
    out = torch.zeros(12, n, dtype=torch.int32)
    features.warp(x, out, n)
    value = [*x.tolist(), *[0] * 6]
    for i in range(n):
        lane, warp = i % 32, i - i % 32
        lanes = value[warp : warp + 32]
        block = value[i // 128 * 128 : i // 128 * 128 + 128]
        ballot = sum((v & 1) << k for k, v in enumerate(lanes))
        assert [bits(int(v)) for v in out[:, i]] == [
            lanes[lane ^ 5],
            lanes[lane - 3] if lane >= 3 else lanes[lane],
            lanes[lane + 7] if lane % 16 + 7 < 16 else lanes[lane],
            lanes[9],
            ballot,
            ballot.bit_count() + (value[i] & -value[i]).bit_length() + 32 - value[i].bit_length(),
            2 * value[i].bit_count(),
            sum(v & 2 != 0 for v in block),
            (12345 in lanes) + 2 * all(v > 1000 for v in lanes),
            lanes[lane // 8 * 8 + 3] if lane < 16 else lanes[20],
            max(lanes),
            sum((v % 3 == value[i] % 3) << k for k, v in enumerate(lanes)),
        ]


def test_atomics_and_dynamic_shared_memory(features):
    n, bins = 1000, 37
    x = integers(n, 1 << 20)
    histogram, largest = torch.zeros(bins, dtype=torch.int32), torch.zeros(1, dtype=torch.int32)
    total, count = torch.zeros(1, dtype=torch.float64), torch.zeros(1, dtype=torch.int64)
    features.atomics(x, histogram, largest, total, count, n, bins)
    assert torch.equal(histogram, torch.bincount(x % bins, minlength=bins).int())
    assert (largest.item(), total.item(), count.item()) == (x.max(), x.sum(), n)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64, torch.float16, torch.bfloat16])
def test_vectors_and_sums_over_a_block(features, dtype):
    x = torch.arange(1024).sub(500).to(dtype)
    y, total = torch.zeros_like(x), torch.zeros(1)
    features.vectors[dtype](x, y, total, len(x))
    assert torch.equal(y, (2 * x.float() + 1).to(dtype))
    assert total.item() == x.float().sum()


@pytest.mark.parametrize(("dtype", "numbers"), [(torch.float16, 1 << 16), (torch.bfloat16, 1 << 16)])
def test_every_half_number_is_rounded_as_torch_does(features, dtype, numbers):
    x = torch.arange(numbers).sub(1 << 15).to(torch.int16).view(dtype)
    y, total = torch.zeros_like(x), torch.zeros(1)
    features.vectors[dtype](x, y, total, numbers)
    torch.testing.assert_close(y, (2 * x.float() + 1).to(dtype), rtol=0, atol=0, equal_nan=True)


def test_tiles_in_shared_memory(features):
    x = torch.rand(96, 96)
    y = torch.zeros_like(x)
    features.transpose(x, y, 96)
    assert torch.equal(y, x.t())


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_mathematics_is_accurate_and_knows_nan_and_infinity(features, dtype):
    tiny = torch.finfo(dtype).tiny
    special = torch.tensor([0.0, -0.0, 1.0, -1.0, 0.5, 2.5, tiny, 88, -88, math.inf, -math.inf, math.nan], dtype=dtype)
    x = torch.cat([special, torch.randn(500, generator=torch.Generator().manual_seed(1), dtype=dtype) * 5])
    out = torch.full((14, len(x)), -7, dtype=dtype)
    features.math[dtype](x, out, len(x))
    exact, size = x.double(), x.double().abs()
    one = torch.ones_like(exact)
    limit = 2.0**63
    whole = exact.nan_to_num(0, limit, -limit).trunc()
    expected = [
        exact.exp(),
        size.log(),
        size.log1p(),
        size.sqrt(),
        size ** torch.tensor(1.7, dtype=dtype).double(),
        torch.atan2(exact, 2 * one),
        exact.tanh(),
        exact.floor(),
        exact.ceil(),
        exact.sign() * (size + 0.5).floor(),
        whole,
        torch.fmin(exact, one),
        torch.fmax(exact, one),
        1 / exact,
    ]
    tolerance = {torch.float32: 3e-6, torch.float64: 1e-13}[dtype]
    for k, (got, wanted) in enumerate(zip(out, expected, strict=True)):
        finite = slice(None) if k != 10 else exact.abs() < limit  # g++ leaves other conversions undefined
        torch.testing.assert_close(
            got[finite].double(),
            wanted[finite].to(dtype).double(),
            rtol=tolerance,
            atol=tiny,
            equal_nan=True,
            msg=lambda m, k=k: f"row {k}: {m}",
        )


def test_a_structure_is_a_parameter(features):
    class Shape(ctypes.Structure):
        _fields_ = [("n", ctypes.c_int64), ("scale", ctypes.c_float), ("shift", ctypes.c_int)]

    x, y = torch.arange(60.0), torch.zeros(60)
    features.structure(Shape(50, 2.5, -3), x, y)
    assert torch.equal(y, torch.where(x < 50, x * 2.5 - 3, 0))


MISTAKES = {
    "divergent_barrier": "not reached by threads that have left the kernel",
    "two_barriers": "threads of one block wait at different barriers",
    "barrier_after_return": "not reached by threads that have left the kernel",
    "shuffle_against_barrier": "deadlock.*waits for its warp.*mistakes.cu.*waits in __syncthreads.*mistakes.cu",
    "outside_its_mask": "a lane calls a warp collective whose mask leaves it out",
}


@pytest.mark.parametrize("mistake", MISTAKES)
def test_wrong_use_of_barriers_and_warps_is_refused(features, mistake):
    with pytest.raises(KernelError, match=f"(?s){mistake}_kernel.*{MISTAKES[mistake]}"):
        getattr(features, mistake)(torch.zeros(256, dtype=torch.int32), 2, THREADS, 0)


@pytest.mark.parametrize(
    ("blocks", "threads", "shared", "message"),
    [
        (1, 0, 0, "a block has 1 to 1024 threads"),
        (1, 1025, 0, "a block has 1 to 1024 threads"),
        (0, 64, 0, "a grid has at least one block"),
        (1, 64, 200 << 10, "more than 163 KB of dynamic shared memory"),
        (1, 64, 48 << 10, "together exceed 48 KB"),
    ],
)
def test_a_launch_that_a_gpu_refuses_is_refused(features, blocks, threads, shared, message):
    with pytest.raises(KernelError, match=message):
        features.correct(torch.zeros(256, dtype=torch.int32), blocks, threads, shared)


def test_launch_bounds_and_alignment_are_checked_in_ptx(features, lane):
    if lane.code == "source":
        pytest.skip("g++ doesn't know launch bounds; its sanitizer checks alignment")
    for mistake, message in (("too_small", "more threads .* than __launch_bounds__"), ("misaligned", "misaligned")):
        with pytest.raises(KernelError, match=message):
            getattr(features, mistake)(torch.zeros(256, dtype=torch.int32), 1, THREADS, 0)


def test_fresh_shared_memory_is_garbage_that_depends_on_the_seed(selftest):
    seen = []
    for seed in (0, 1):
        selftest.seed = seed
        out = torch.zeros(256, dtype=torch.int32)
        selftest.unwritten_shared(out, 1, THREADS, 0)
        seen.append(out[0].item())
    assert seen == [-1, 0x7B7B7B7B]


def test_schedules_show_a_missing_barrier(selftest, lane):
    if lane.sanitizer == "thread":
        pytest.skip("here it is a data race")
    results = []
    for seed in (0, 1, 2, 3):
        selftest.seed = seed
        out = torch.zeros(256, dtype=torch.int32)
        selftest.missing_barrier(out, 1, THREADS, 0)
        results.append(out[:THREADS].tolist())
    assert results[0] != results[1]


FOUND_BY = {
    "address": ("beyond_shared", "beyond_dynamic_shared", "beyond_global", "misaligned"),
    "thread": ("missing_barrier", "missing_syncwarp", "missing_atomic", "blocks_collide"),
}


def test_sanitizers_are_silent_about_a_right_kernel(features, lane):
    if lane.sanitizer is None:
        pytest.skip("this lane has no sanitizer")
    out = torch.zeros(65, dtype=torch.int32)
    features.correct(out, 6, THREADS, 0)
    assert out[64] == 6 * sum(range(THREADS))


@pytest.mark.parametrize(("sanitizer", "mistake"), [(s, m) for s, mistakes in FOUND_BY.items() for m in mistakes])
def test_sanitizers_find(features, lane, sanitizer, mistake):
    if lane.sanitizer != sanitizer:
        pytest.skip(f"this lane doesn't have the {sanitizer} sanitizer")
    out = torch.ones(THREADS, dtype=torch.int32)  # out[0] is also how far beyond
    with pytest.raises(KernelError, match=f"(?s)process ended.*{mistake}_kernel|misaligned"):
        getattr(features, mistake)(out, 6, THREADS, 4 * THREADS)
    features.correct(torch.zeros(65, dtype=torch.int32), 1, THREADS, 0)  # another process goes on
