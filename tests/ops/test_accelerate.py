"""torchvision's models on these kernels: the same outputs, and no trace afterwards."""

import subprocess
import sys

import pytest
import torch
import torchvision
from torchvision.models import detection

from roibench import ops
from roibench.ops.accelerate import KERNELS

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


def test_channels_last_input_gives_contiguous_output_as_torchvision_does(device):
    with ops.accelerate_torchvision():
        for pool in POOLINGS.values():
            assert pool(FEATURES.to(device, memory_format=torch.channels_last)).is_contiguous()


def test_nms_keeps_the_same_boxes(device):
    boxes, scores = BOXES.to(device), SCORES.to(device)
    expected = torchvision.ops.nms(boxes, scores, 0.4)
    with ops.accelerate_torchvision():
        assert torch.equal(torchvision.ops.nms(boxes, scores, 0.4), expected)


def is_ours(device: str = "cpu") -> bool:
    """The kernel itself tells: torchvision's refuses boxes and scores of different dtypes."""
    try:
        torchvision.ops.nms(BOXES.to(device), SCORES.to(device).double(), 0.5)
    except RuntimeError:
        return False
    return True


def test_leaving_the_block_restores_torchvisions_kernels_even_by_an_exception(device):
    assert not is_ours(device)
    with pytest.raises(KeyError), ops.accelerate_torchvision():
        assert is_ours(device)
        raise KeyError
    assert not is_ours(device)


@pytest.mark.skipif(not ops.build_info()["cuda"], reason="built without CUDA operators")
def test_each_operator_is_replaced_on_cuda_too_also_where_no_gpu_is():
    def on_cuda(name: str) -> str:
        table = torch._C._dispatch_dump_table(f"torchvision::{name}")
        return next((line for line in table.splitlines() if line.startswith("CUDA:")), "")

    before = {name: on_cuda(name) for name in KERNELS}
    with ops.accelerate_torchvision():
        assert all(on_cuda(name) != before[name] for name in KERNELS)
    assert {name: on_cuda(name) for name in KERNELS} == before


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
