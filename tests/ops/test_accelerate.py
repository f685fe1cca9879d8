"""torchvision's models on these kernels: the same outputs, and no trace afterwards."""

import subprocess
import sys
from pathlib import Path

import pytest
import torch
import torchvision
from torch._inductor.cpp_builder import get_cpp_compiler
from torch._inductor.exc import InvalidCxxCompiler
from torchvision.models import detection

from roibench import ops

FEATURES = torch.randn(2, 18, 20, 26, generator=torch.Generator().manual_seed(0))
ROIS = torch.tensor([[0.0, 10, 8, 150, 120], [1, -20, 4, 90, 200], [1, 30, 30, 31, 31], [0, 100, 50, 400, 300]])
BOXES = torch.rand(200, 4, generator=torch.Generator().manual_seed(1)).cumsum(1) * 50
SCORES = torch.rand(200, generator=torch.Generator().manual_seed(2))

POOLINGS = {
    "roi_align": lambda x: torchvision.ops.roi_align(x, ROIS.to(x.device), 7, 1 / 8, 2, True),
    "roi_align adaptive": lambda x: torchvision.ops.roi_align(x, ROIS.to(x.device), (3, 5), 1 / 8),
    "roi_pool": lambda x: torchvision.ops.roi_pool(x, ROIS.to(x.device), (3, 5), 1 / 8),
    "ps_roi_pool": lambda x: torchvision.ops.ps_roi_pool(x, ROIS[:1].to(x.device), 3, 1 / 8),
}


def is_ours(device: str = "cpu") -> bool:
    """The kernel itself tells: errors of ours begin with the operator's name."""
    with pytest.raises((RuntimeError, ValueError)) as raised:
        torchvision.ops.nms(torch.zeros(1, 5, device=device), torch.zeros(1, device=device), 0.5)
    return str(raised.value).startswith("nms: ")


def backward(out: torch.Tensor) -> None:
    weights = torch.linspace(-1, 1, out.numel(), device=out.device).reshape(out.shape)
    (out * weights).sum().backward()


def gradient(pool, features: torch.Tensor) -> torch.Tensor:
    x = features.clone().requires_grad_()
    backward(pool(x))
    return x.grad


@pytest.mark.parametrize("pool", POOLINGS.values(), ids=POOLINGS)
def test_poolings_and_their_gradients_stay_what_they_were(pool, device):
    features = FEATURES.to(device)
    expected, expected_gradient = pool(features), gradient(pool, features)
    with ops.accelerate_torchvision():
        torch.testing.assert_close(pool(features), expected, atol=1e-5, rtol=1e-5)
        torch.testing.assert_close(gradient(pool, features), expected_gradient, atol=1e-4, rtol=1e-4)


@pytest.mark.parametrize("pool", POOLINGS.values(), ids=POOLINGS)
def test_forward_inside_and_backward_outside_the_block_go_together(pool, device):
    features = FEATURES.to(device)
    expected = gradient(pool, features)
    x = features.clone().requires_grad_()
    with ops.accelerate_torchvision():
        out = pool(x)
    backward(out)
    torch.testing.assert_close(x.grad, expected, atol=1e-4, rtol=1e-4)


CHANNELS_LAST = torch.channels_last
MAPS = {
    "contiguous": lambda x: x,
    "channels-last": lambda x: x.contiguous(memory_format=CHANNELS_LAST),
    "strided": lambda x: x.transpose(2, 3),
    "float64": lambda x: x.double(),
    "no channels": lambda x: x[:, :0],
}
# Arguments between the RoIs and, in derivatives, the map's size, and those after it.
CALLS = {
    "roi_align": ((1 / 8, 3, 5), (2, True)),
    "roi_pool": ((1 / 8, 3, 5), ()),
    "ps_roi_pool": ((1 / 8, 3, 3), ()),
}


def buffers(name: str, features: torch.Tensor, rois: torch.Tensor) -> list[tuple]:
    """All that a caller sees, but the numbers, of what an operator and its derivative return."""
    forward, backward = getattr(torch.ops.torchvision, name), getattr(torch.ops.torchvision, f"_{name}_backward")
    before, after = CALLS[name]

    def call(x: torch.Tensor) -> list[torch.Tensor]:
        out = forward(x, rois, *before, *after)
        return list(out) if isinstance(out, tuple) else [out]

    pooled, *places = call(features)
    ones = torch.ones_like(pooled)
    grads = [ones, ones.contiguous(memory_format=CHANNELS_LAST), pooled.sum().expand_as(pooled)]
    tensors = [pooled, *places]
    tensors += [backward(grad, rois, *places, *before, *features.shape, *after) for grad in grads]
    learned = features.detach().requires_grad_()
    tensors += call(learned)
    tensors += torch.autograd.grad(call(learned)[0], learned, ones)
    return [(t.shape, t.stride(), t.storage_offset(), t.dtype, t.device, t.requires_grad) for t in tensors]


@pytest.mark.parametrize("name", CALLS)
@pytest.mark.parametrize("layout", MAPS.values(), ids=MAPS)
@pytest.mark.parametrize("count", [4, 0])
def test_every_buffer_looks_as_torchvisions_does(name, layout, count, device):
    features = layout(FEATURES.to(device))
    rois = ROIS[:count].to(features)
    expected = buffers(name, features, rois)
    with ops.accelerate_torchvision():
        assert is_ours(device)
        assert buffers(name, features, rois) == expected


@pytest.mark.parametrize("boxes", [BOXES, BOXES[:0], BOXES.t().contiguous().t()], ids=["some", "none", "by column"])
def test_nms_returns_a_buffer_as_torchvisions(boxes, device):
    boxes, scores = boxes.to(device), SCORES[: len(boxes)].to(device)
    expected = torchvision.ops.nms(boxes, scores, 0.4)
    with ops.accelerate_torchvision():
        found = torchvision.ops.nms(boxes, scores, 0.4)
    assert torch.equal(found, expected)
    assert (found.stride(), found.dtype, found.device) == (expected.stride(), expected.dtype, expected.device)


@pytest.fixture
def compiled():
    """compiled(f): f through inductor, where there is a compiler for it."""
    try:
        get_cpp_compiler()
    except InvalidCxxCompiler as error:
        pytest.skip(f"inductor has no C++ compiler: {error}")
    torch._dynamo.reset()
    yield torch.compile
    torch._dynamo.reset()


@pytest.mark.parametrize("when", ["before", "inside"])
def test_compiled_models_read_the_same_buffers(when, compiled):
    """inductor generates code for the strides that torchvision's operators declare, and checks them as it runs."""

    def pool(x: torch.Tensor) -> tuple[torch.Tensor, ...]:
        return (
            torchvision.ops.roi_align(x, ROIS, (3, 5), 1 / 8, 2, True),
            torchvision.ops.roi_pool(x, ROIS, (3, 5), 1 / 8),
            torchvision.ops.ps_roi_pool(x, ROIS[:1], 3, 1 / 8),
        )

    def pooled_and_gradient(f) -> tuple[torch.Tensor, ...]:
        x = FEATURES.clone().requires_grad_()
        pooled = f(x)
        return *pooled, *torch.autograd.grad(pooled, x, [each.detach().cos() for each in pooled])

    expected = pooled_and_gradient(pool)
    f = compiled(pool)
    if when == "before":
        torch.testing.assert_close(pooled_and_gradient(f), expected, atol=1e-4, rtol=1e-4)
    with ops.accelerate_torchvision():
        torch.testing.assert_close(pooled_and_gradient(f), expected, atol=1e-4, rtol=1e-4)
    torch.testing.assert_close(pooled_and_gradient(f), expected, atol=1e-4, rtol=1e-4)


def test_leaving_the_block_restores_torchvisions_kernels_even_by_an_exception(device):
    assert not is_ours(device)
    with pytest.raises(KeyError), ops.accelerate_torchvision():
        assert is_ours(device)
        raise KeyError
    assert not is_ours(device)


@pytest.mark.parametrize("pool", POOLINGS.values(), ids=POOLINGS)
def test_after_the_block_results_are_torchvisions_to_the_last_bit(pool, device):
    features = FEATURES.to(device)
    expected = pool(features), gradient(pool, features)
    with ops.accelerate_torchvision():
        pool(features)
    assert torch.equal(pool(features), expected[0])
    torch.testing.assert_close(gradient(pool, features), expected[1], rtol=0, atol=1e-5 if device == "cuda" else 0)


def test_somebody_elses_kernel_is_in_place_again_afterwards():
    """In a process of its own: a kernel that was replaced stays so."""
    code = """if True:
        import torch, torchvision
        from roibench import ops
        library = torch.library.Library("torchvision", "IMPL")
        library.impl("nms", lambda boxes, scores, threshold: torch.tensor([7]), "CPU")
        def kept(): return torchvision.ops.nms(torch.rand(1, 4), torch.rand(1), 0.5).tolist()
        assert kept() == [7]
        for _ in range(3):
            with ops.accelerate_torchvision():
                assert kept() == [0]
            assert kept() == [7]
    """
    subprocess.run([sys.executable, "-c", code], check=True, timeout=120)


@pytest.mark.skipif(not ops.build_info()["cuda"], reason="built without CUDA operators")
def test_each_operator_is_replaced_on_cuda_too_also_where_no_gpu_is():
    code = """if True:
        import torch, torchvision
        from roibench import ops
        names = ["nms", "roi_align", "roi_pool", "ps_roi_pool"]
        names += ["_roi_align_backward", "_roi_pool_backward", "_ps_roi_pool_backward"]
        def on_cuda(name):
            table = torch._C._dispatch_dump_table(f"torchvision::{name}")
            return next((line for line in table.splitlines() if line.startswith("CUDA:")), "")
        before = [on_cuda(name) for name in names]
        ops.accelerate_torchvision()
        assert all(on_cuda(name) != was for name, was in zip(names, before, strict=True))
    """
    subprocess.run([sys.executable, "-c", code], check=True, timeout=120)


def test_threads_may_enter_and_leave_as_they_like():
    script = Path(__file__).with_name("accelerated_threads.py")
    ran = subprocess.run([sys.executable, script, "3"], capture_output=True, text=True, timeout=120)
    assert ran.returncode == 0, ran.stderr
    assert int(ran.stdout) > 100


def test_blocks_may_be_nested_and_left_in_any_order():
    first, second = ops.accelerate_torchvision(), ops.accelerate_torchvision()
    with ops.accelerate_torchvision():
        assert is_ours()
    assert is_ours()
    first.__exit__(None, None, None)
    assert is_ours()
    first.__exit__(None, None, None)  # leaving twice is leaving once
    assert is_ours()
    second.__exit__(None, None, None)
    assert not is_ours()


def test_a_plain_call_holds():
    held = ops.accelerate_torchvision()
    try:
        for _ in range(3):
            with ops.accelerate_torchvision():
                pass
        assert is_ours()
    finally:
        held.__exit__(None, None, None)


def test_a_plain_call_needs_no_reference():
    """In a process of its own: nothing can take the kernels back."""
    code = (
        "import gc, torch, torchvision; from roibench import ops; ops.accelerate_torchvision(); gc.collect()\n"
        "torchvision.ops.nms(torch.rand(3, 4), torch.rand(3).double(), 0.5)"
    )
    subprocess.run([sys.executable, "-c", code], check=True, timeout=120)


MODELS = {
    "fasterrcnn_mobilenet_v3_large_fpn": {"box_score_thresh": 0.0, "rpn_post_nms_top_n_test": 50},
    "fasterrcnn_resnet50_fpn": {"box_score_thresh": 0.0, "rpn_post_nms_top_n_test": 50},
    "maskrcnn_resnet50_fpn": {"box_score_thresh": 0.0, "rpn_post_nms_top_n_test": 50},
    "ssd300_vgg16": {"score_thresh": 0.0},
}


@pytest.mark.parametrize("name", MODELS)
def test_torchvisions_models_give_the_same_outputs(name):
    torch.manual_seed(0)
    sizes = {} if name.startswith("ssd") else {"min_size": 160, "max_size": 240}
    model = getattr(detection, name)(weights=None, weights_backbone=None, num_classes=5, **sizes, **MODELS[name]).eval()
    image = torch.rand(3, 160, 200)
    with torch.no_grad():
        for parameter_name, parameter in model.named_parameters():
            if "cls" in parameter_name or "classification" in parameter_name:
                parameter *= 30  # untrained scores are so nearly equal that rounding would rank them
        (expected,) = model([image])
        with ops.accelerate_torchvision():
            (found,) = model([image])
    assert len(expected["boxes"]) > 0
    assert expected.keys() == found.keys()
    for field in expected:
        torch.testing.assert_close(found[field], expected[field], atol=1e-4, rtol=1e-4)
