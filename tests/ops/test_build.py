"""What the extension says of itself, and what it says where it can't run."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import torch

from roibench import _C, ops

# Every operator, forward and backward, with channels and boxes that fill vectors and leave some over.
EVERYTHING = """
import sys, torch
from roibench import ops
generator = torch.Generator().manual_seed(0)
results = [ops.simd_level()]
for dtype in (torch.float32, torch.float64):
    random = lambda *shape: torch.rand(*shape, generator=generator, dtype=torch.float64).to(dtype)
    corner = random(150, 2) * 30
    boxes = torch.cat([corner, corner + 1 + 12 * random(150, 2)], dim=1).requires_grad_()
    for kind in ("iou", "giou", "diou", "ciou"):
        values = ops.box_iou(boxes, boxes.flip(0), kind)
        results += [values, *torch.autograd.grad(values, boxes, random(150, 150))]
    results += [ops.nms(boxes, random(150), threshold) for threshold in (0.0, 0.3, 0.6)]
    results += [part for method in ("linear", "gaussian") for part in ops.soft_nms(boxes, random(150), method)]
    logits, labels = (20 * random(50, 77) - 10).requires_grad_(), random(50, 77).round()
    for gamma in (0.0, 1.3, 2.0):
        for reduction in ("none", "sum"):
            loss = ops.sigmoid_focal_loss(logits, labels, 0.25, gamma, reduction)
            (grad,) = torch.autograd.grad(loss.sum(), logits, create_graph=True)
            results += [loss, grad, *torch.autograd.grad(grad.sum(), logits)]
    rois = torch.cat([torch.arange(150, dtype=dtype)[:, None] % 2, boxes.detach()], dim=1)
    for memory_format in (torch.contiguous_format, torch.channels_last):
        features = random(2, 77, 30, 40).contiguous(memory_format=memory_format).requires_grad_()
        for ratio in (-1, 2):
            pooled = ops.roi_align(features, rois, (3, 5), 0.9, ratio, True)
            results += [pooled, *torch.autograd.grad(pooled, features, random(*pooled.shape))]
for dtype in (torch.float64, torch.float32, torch.bfloat16):
    for memory_format in (torch.contiguous_format, torch.channels_last):
        features = random(2, 105, 11, 13).to(dtype).contiguous(memory_format=memory_format).requires_grad_()
        for pooled in (
            ops.roi_pool(features, rois, (3, 5), 0.9),
            ops.ps_roi_pool(features, rois, (3, 5), 0.9),
            ops.spatial_pyramid_pool(features),
            ops.roi_spatial_pyramid_pool(features, rois, (4, 2, 1), 0.9),
        ):
            results += [pooled, *torch.autograd.grad(pooled, features, random(*pooled.shape).to(dtype))]
torch.save(results, sys.argv[1])
"""


def run(code: str, *arguments: str, **environment: str) -> subprocess.CompletedProcess:
    command = [sys.executable, "-c", code, *arguments]
    return subprocess.run(command, env={**os.environ, **environment}, capture_output=True, text=True)


@pytest.mark.skipif(not shutil.which("ldd"), reason="no ldd here")
def test_there_is_no_second_standard_library():
    """A statically linked one crashes in errors that print numbers through torch's."""
    needed = subprocess.run(["ldd", _C.__file__], capture_output=True, text=True, check=True).stdout
    assert "libstdc++.so.6" in needed


def test_every_simd_level_of_this_machine_gives_the_same_bits(tmp_path: Path):
    levels = ops.build_info()["simd_levels"]
    results = []
    for level in levels[: levels.index(ops.simd_level()) + 1]:
        file = tmp_path / level
        child = run(EVERYTHING, str(file), ROIBENCH_SIMD=level)
        assert child.returncode == 0, child.stderr
        name, *tensors = torch.load(file)
        assert name == level
        results.append(tensors)
    first, *others = results
    for other in others:
        assert all(torch.equal(x, y) for x, y in zip(first, other, strict=True))


def test_an_unknown_simd_level_is_refused():
    child = run("import roibench.ops", ROIBENCH_SIMD="v9")
    assert child.returncode != 0
    assert "ROIBENCH_SIMD=v9: unknown; this build has v2" in child.stderr


def test_a_missing_extension_tells_how_to_build_it():
    child = run("import sys; sys.modules['roibench._C'] = None; import roibench.ops")
    assert child.returncode != 0
    assert "pip install --no-build-isolation -e ." in child.stderr


def test_build_info_tells_what_was_built():
    info = ops.build_info()
    assert info["torch"].split("+")[0] == torch.__version__.split("+")[0]
    assert info["cpp_standard"] >= 20
    assert ops.simd_level() in info["simd_levels"]
    assert info["cuda"] == (info["cuda_version"] is not None) == (info["cuda_archs"] is not None)
    assert info["cuda"] == (info["cuda_missing"] is None)


def test_threads_are_torchs(threads):
    from roibench import _C

    assert [threads(n, _C.num_threads) for n in (1, 2)] == [1, 2]
