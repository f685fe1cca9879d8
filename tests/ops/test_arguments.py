"""Arguments that no operator can use: tensors on different devices, and integers beyond all sense."""

import pytest
import torch
from torch._subclasses.fake_tensor import FakeTensorMode
from torch.fx.experimental.symbolic_shapes import ShapeEnv

from roibench import ops

BOXES, SCORES, ROIS, MAP = torch.rand(3, 4), torch.rand(3), torch.zeros(3, 5), torch.rand(2, 8, 4, 4)
POOLED, PLACES = torch.rand(3, 8, 2, 2), torch.zeros(3, 4, 8, dtype=torch.int32)
SIZE = MAP.shape

# Every operator that takes several tensors.
CALLS = {
    "box_iou": (BOXES, BOXES),
    "box_iou_backward": (torch.rand(3, 3), BOXES, BOXES, "iou", False),
    "nms": (BOXES, SCORES, 0.5),
    "batched_nms": (BOXES, SCORES, torch.zeros(3, dtype=torch.int64), 0.5),
    "soft_nms": (BOXES, SCORES),
    "roi_align": (MAP, ROIS, 1.0, 2, 2, 2, False),
    "roi_align_backward": (POOLED, ROIS, SIZE, 1.0, 2, False, False),
    "roi_pool": (MAP, ROIS, 1.0, 2, 2),
    "roi_spatial_pyramid_pool": (MAP, ROIS, [2, 1], 1.0),
    "max_pool_backward": (POOLED, PLACES, ROIS, 1.0, SIZE, [2, 2], False),
    "ps_roi_pool": (MAP, ROIS, 1.0, 2, 2),
    "ps_roi_pool_backward": (POOLED[:, :2], ROIS, SIZE, 1.0, False),
    "conv_transpose2d": (MAP, torch.rand(8, 2, 2, 2), torch.rand(2)),
    "sigmoid_focal_loss": (SCORES, SCORES),
    "sigmoid_focal_loss_backward": (SCORES, SCORES, SCORES, 0.25, 2.0, 1),
}
each_tensor = pytest.mark.parametrize(
    ("name", "place"),
    [(name, i) for name, arguments in CALLS.items() for i, x in enumerate(arguments) if isinstance(x, torch.Tensor)],
)
elsewhere = r"must be on (cpu|meta|cuda:0), as the first argument is, got (cpu|meta|cuda:0)"


def test_all_operators_of_several_tensors_are_asked():
    schemas = [s for s in torch._C._jit_get_all_schemas() if s.name.startswith("roibench::")]
    several = [s.name for s in schemas if sum("Tensor" in str(a.type) for a in s.arguments) > 1]
    assert sorted(several) == sorted(f"roibench::{name}" for name in CALLS)


@each_tensor
@pytest.mark.parametrize("learned", [False, True])
def test_a_meta_tensor_among_others_is_refused(name, place, learned, put):
    arguments = [put(x.clone()) if isinstance(x, torch.Tensor) else x for x in CALLS[name]]
    if learned:
        arguments[0].requires_grad_()
    op = getattr(torch.ops.roibench, name)
    op(*arguments)
    arguments[place] = arguments[place].detach().to("meta")
    with pytest.raises(ValueError, match=f"{name}: .*{elsewhere}"):
        op(*arguments)


@each_tensor
@pytest.mark.parametrize("other", ["cuda", "meta"])
def test_fake_tensors_on_different_devices_are_refused_as_real_ones_are(name, place, other):
    with FakeTensorMode(shape_env=ShapeEnv()) as mode:
        arguments = [mode.from_tensor(x) if isinstance(x, torch.Tensor) else x for x in CALLS[name]]
        op = getattr(torch.ops.roibench, name)
        op(*arguments)
        arguments[place] = torch.empty(arguments[place].shape, dtype=arguments[place].dtype, device=other)
        with pytest.raises((ValueError, RuntimeError), match=elsewhere):
            op(*arguments)


def test_tensors_that_are_all_meta_give_meta_tensors():
    for name, arguments in CALLS.items():
        if name in ("nms", "batched_nms", "soft_nms"):
            continue  # how many are kept only numbers tell
        out = getattr(torch.ops.roibench, name)(
            *[x.to("meta") if isinstance(x, torch.Tensor) else x for x in arguments]
        )
        for each in out if isinstance(out, tuple) else (out,):
            assert each.device.type == "meta", name


HUGE = [2**15 + 1, 2**31, 2**32, 2**62]


@pytest.mark.parametrize("huge", HUGE)
@pytest.mark.parametrize("rois", [ROIS, ROIS[:0]], ids=["rois", "no rois"])
@pytest.mark.parametrize("pool", [ops.roi_align, ops.roi_pool, ops.ps_roi_pool])
def test_an_output_size_beyond_all_sense_is_refused(pool, rois, huge, put):
    for size in (huge, (huge, 1), (1, huge)):
        with pytest.raises(ValueError, match="output_size must be at most 32768 per axis, got"):
            pool(put(MAP), put(rois), size)


@pytest.mark.parametrize("huge", HUGE)
def test_a_sampling_ratio_beyond_all_sense_is_refused(huge, put):
    rois = put(ROIS)
    with pytest.raises(ValueError, match=f"roi_align: sampling_ratio must be at most 32768, got {huge}"):
        ops.roi_align(put(MAP), rois, 2, sampling_ratio=huge)
    with pytest.raises(ValueError, match=f"roi_align_backward: sampling_ratio must be at most 32768, got {huge}"):
        torch.ops.roibench.roi_align_backward(put(POOLED), rois, SIZE, 1.0, huge, False, False)


@pytest.mark.parametrize("huge", HUGE)
def test_levels_beyond_all_sense_are_refused(huge, put):
    for kind in ("max", "avg"):
        with pytest.raises(ValueError, match="levels must be from 1 to 32768, got"):
            ops.spatial_pyramid_pool(put(MAP), (1, huge), kind)
        with pytest.raises(ValueError, match=r"levels must have fewer than 2\^31 bins, got"):
            ops.spatial_pyramid_pool(put(MAP), (32768, 32768), kind)
    with pytest.raises(ValueError, match="levels must be from 1 to 32768, got"):
        ops.roi_spatial_pyramid_pool(put(MAP), put(ROIS), (huge,))
    with pytest.raises(ValueError, match=r"grids must be pairs .* from 1 to 32768, got"):
        torch.ops.roibench.max_pool_backward(put(POOLED), put(PLACES), put(ROIS), 1.0, SIZE, [huge, 2**32], False)


@pytest.mark.parametrize("size", [(2, 8, -4, 4), (2, 8, 4, -(2**62)), (-1, 8, 4, 4), (2, 8, 4)])
def test_a_map_of_no_such_size_has_no_gradient(size, put):
    backward = {
        "roi_align_backward": (POOLED, ROIS, size, 1.0, 2, False, False),
        "max_pool_backward": (POOLED, PLACES, ROIS, 1.0, size, [2, 2], False),
        "ps_roi_pool_backward": (POOLED[:, :2], ROIS, size, 1.0, False),
    }
    for name, arguments in backward.items():
        with pytest.raises((ValueError, RuntimeError), match="size"):
            getattr(torch.ops.roibench, name)(*put(arguments))


@pytest.mark.parametrize("huge", [2**31, 2**32, 2**62])
@pytest.mark.parametrize("name", ["stride", "padding", "output_padding", "dilation", "groups"])
def test_layers_of_a_convolution_beyond_all_sense_are_refused(name, huge, put):
    x, weight = put((MAP, torch.rand(8, 2, 2, 2)))
    for value in (huge, -huge):
        with pytest.raises(ValueError, match=f"conv_transpose2d: {name} must"):
            ops.conv_transpose2d(x, weight, **{name: value})
    with pytest.raises(ValueError, match="conv_transpose2d: groups must"):
        ops.conv_transpose2d(x[:0], weight, groups=huge)


def test_a_view_of_a_number_may_be_too_large_for_a_convolution(put):
    x = put(torch.rand(1)).expand(1, 8, 2**40, 1)
    with pytest.raises(ValueError, match=r"must be smaller than 2\^31 along each axis"):
        ops.conv_transpose2d(x, put(torch.rand(8, 2, 2, 2)), stride=2**31 - 1)
