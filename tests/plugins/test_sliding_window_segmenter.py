"""The sliding window, patch by patch and convolutionally; the network without a way down."""

from dataclasses import replace

import pytest
import torch

from roibench.assemble import build_model
from roibench.dataset import DatasetInfo
from roibench.plugins.segmentation.sliding_window_segmenter import PatchNetwork
from roibench.registry import installed
from roibench.structures import VOID, Target
from roibench.tasks.semantic_segmentation import SegmentationContract

INFO = DatasetInfo("noise", "train", ("first", "second", "third"), image_size=(128, 128))


class TestSlidingWindowSegmenter(SegmentationContract):
    model = "sliding_window_segmenter"


class TestFullResolution(SegmentationContract):
    model = "fcn_full_resolution"


def untrained(name="sliding_window_segmenter", **overrides):
    torch.manual_seed(0)
    return build_model(installed().models[name], INFO, overrides).eval()


@pytest.mark.parametrize("stride", [1, 3, 4])
@torch.no_grad()
def test_run_convolutionally_it_is_the_same_function(stride):
    alone, shared = untrained(stride=stride), untrained(stride=stride, shared=1)
    pixels = torch.randn(2, 3, 21, 30)
    one, other = alone.scores(pixels), shared.scores(pixels)
    assert one.shape == (2, 4, 21, 30) and torch.allclose(one, other, atol=1e-5)
    assert one.std() > 0.01


@torch.no_grad()
def test_a_pixel_is_classified_by_the_patch_around_it():
    model = untrained(stride=1)
    pixels = torch.randn(1, 3, 60, 60)
    patch = pixels[..., 30 - 17 : 30 + 19, 25 - 17 : 25 + 19]
    assert torch.allclose(model.scores(pixels)[..., 30, 25], model.network(patch), atol=1e-5)
    elsewhere = pixels.clone()
    elsewhere[..., :13, :], elsewhere[..., 49:, :] = 0, 0
    assert torch.allclose(model.scores(elsewhere)[..., 30, 25], model.network(patch), atol=1e-5)


@torch.no_grad()
def test_with_a_stride_pixels_share_the_class_of_the_one_in_their_middle():
    pixels = torch.randn(1, 3, 32, 32)
    fine, coarse = untrained(stride=1).scores(pixels), untrained(stride=4).scores(pixels)
    assert torch.allclose(coarse, fine[..., 2::4, 2::4].repeat_interleave(4, 2).repeat_interleave(4, 3), atol=1e-5)


def test_patches_are_learned_of_objects_and_of_all_else():
    model = untrained().train()
    semantic_map = torch.zeros(64, 64, dtype=torch.uint8)
    semantic_map[:4, :4] = 2
    seen = []
    model.network.register_forward_hook(lambda _, inputs, __: seen.append(inputs[0]))
    [image] = SegmentationContract.noise((64, 64))
    model.losses([image], [Target(semantic_map=semantic_map)])
    assert seen[0].shape == (64, 3, PatchNetwork.side, PatchNetwork.side)
    # Patches of the corner's object hold the padding's zeros.
    assert (seen[0][:, :, 0, 0] == 0).all(1).sum() >= 32


def test_where_all_is_void_nothing_is_learned():
    model = untrained().train()
    [image] = SegmentationContract.noise((64, 64))
    losses = model.losses([image], [Target(semantic_map=torch.full((64, 64), VOID, dtype=torch.uint8))])
    assert losses["class"] == 0


@torch.no_grad()
def test_at_full_resolution_a_pixel_sees_as_far_as_layers_reach():
    model = untrained("fcn_full_resolution")
    pixels = torch.randn(1, 3, 40, 40)
    changed = pixels.clone()
    changed[..., 20 + 7 :, :] = 0
    assert model.scores(pixels)[..., 20, :].equal(model.scores(changed)[..., 20, :])
    changed[..., 20 + 6, :] = 0
    assert not model.scores(pixels)[..., 20, :].equal(model.scores(changed)[..., 20, :])


def test_at_full_resolution_the_wide_one_has_as_many_parameters_as_fcn():
    info = replace(INFO, classes=tuple("abcdefghijkl"))
    models = [build_model(installed().models[name], info) for name in ("fcn", "fcn_full_resolution_wide")]
    fcn, wide = (sum(one.numel() for one in model.parameters()) for model in models)
    assert wide == pytest.approx(fcn, rel=0.01)
