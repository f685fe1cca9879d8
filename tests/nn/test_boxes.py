"""Anchors, box coder, matcher, pyramid: what detectors are put together from."""

import pytest
import torch
import torchvision
from hypothesis import given
from hypothesis import strategies as st
from torchvision.models.detection._utils import BoxCoder as ReferenceBoxCoder
from torchvision.models.detection.anchor_utils import AnchorGenerator as ReferenceAnchors

from roibench.nn.anchors import AnchorGenerator
from roibench.nn.box_coder import BoxCoder, clip_boxes
from roibench.nn.matcher import BACKGROUND, UNDECIDED, match, sample
from roibench.nn.pyramid import FeaturePyramid, PyramidRoIAlign, PyramidRoIPool


def boxes(n: int, seed: int = 0) -> torch.Tensor:
    generator = torch.Generator().manual_seed(seed)
    corner = torch.rand(n, 2, generator=generator) * 80
    return torch.cat([corner, corner + 2 + torch.rand(n, 2, generator=generator) * 40], dim=1)


def test_anchors_sit_on_the_centres_of_locations_with_their_areas_and_ratios():
    generator = AnchorGenerator(((16, 32), (64, 128)), (0.5, 1.0, 2.0), (8, 16))
    first, second = generator([torch.zeros(1, 4, 3, 5), torch.zeros(1, 4, 2, 3)])
    assert first.shape == (3 * 5 * 6, 4) and second.shape == (2 * 3 * 6, 4)
    centres = (first[:, :2] + first[:, 2:]) / 2
    assert centres[6 * 6].tolist() == [12.0, 12.0]  # row 1, column 1
    sides = first[:, 2:] - first[:, :2]
    assert torch.allclose(sides.prod(1)[:6].sqrt(), torch.tensor([16.0] * 3 + [32.0] * 3))
    assert torch.allclose((sides[:, 1] / sides[:, 0])[:3], torch.tensor([0.5, 1.0, 2.0]))


def test_anchors_are_torchvisions_but_for_its_rounding_and_its_half_stride():
    ours = AnchorGenerator(((32, 64),), (0.5, 1.0, 2.0), (8,))([torch.zeros(1, 1, 4, 6)])[0]
    reference = ReferenceAnchors(((32, 64),), ((0.5, 1.0, 2.0),))
    theirs = reference.grid_anchors([[4, 6]], [[torch.tensor(8), torch.tensor(8)]])[0].reshape(24, 2 * 3, 4)
    # The reference lists ratios outside sizes, rounds sides to whole pixels and centres anchors on locations' corners.
    theirs = theirs.reshape(24, 3, 2, 4).transpose(1, 2).reshape(-1, 4) + 4
    assert (ours - theirs).abs().max() <= 0.5


def test_anchor_sizes_must_fit_the_levels():
    with pytest.raises(ValueError, match="every one of 2 levels"):
        AnchorGenerator(((16, 32),), (1.0,), (8, 16))


@given(seed=st.integers(0, 1000), weights=st.sampled_from([(1.0, 1.0, 1.0, 1.0), (10.0, 10.0, 5.0, 5.0)]))
def test_decoding_undoes_encoding(seed, weights):
    targets, references = boxes(20, seed), boxes(20, seed + 1)
    coder = BoxCoder(weights)
    assert torch.allclose(coder.decode(coder.encode(targets, references), references), targets, atol=1e-3)


def test_the_box_coder_is_torchvisions():
    targets, references, weights = boxes(50, 1), boxes(50, 2), (10.0, 10.0, 5.0, 5.0)
    reference = ReferenceBoxCoder(weights)
    deltas = BoxCoder(weights).encode(targets, references)
    assert torch.allclose(deltas, reference.encode_single(targets, references), atol=1e-5)
    wild = torch.randn(50, 4, generator=torch.Generator().manual_seed(0)) * 20
    ours = BoxCoder(weights).decode(wild, references)
    assert torch.allclose(ours, reference.decode_single(wild, references), rtol=1e-4, atol=1e-3)


def test_boxes_are_clipped_to_height_and_width():
    clipped = clip_boxes(torch.tensor([[-5.0, -6.0, 700.0, 800.0]]), (100, 200))
    assert clipped.tolist() == [[0.0, 0.0, 200.0, 100.0]]


def test_matching_follows_the_papers_thresholds():
    iou = torch.tensor([[0.8, 0.5, 0.1, 0.2], [0.1, 0.4, 0.2, 0.29]])
    assert match(iou, 0.7, 0.3, keep_best=False).tolist() == [0, UNDECIDED, BACKGROUND, BACKGROUND]
    # The second box overlaps nothing by 0.7, so its best candidate is matched with it.
    assert match(iou, 0.7, 0.3, keep_best=True).tolist() == [0, 1, BACKGROUND, BACKGROUND]


def test_candidates_of_ignored_boxes_are_neither_positive_nor_background():
    iou = torch.tensor([[0.9, 0.0, 0.4, 0.0], [0.0, 0.9, 0.0, 0.0]])
    matched = match(iou, 0.7, 0.3, keep_best=True, ignored=torch.tensor([True, False]))
    assert matched.tolist() == [UNDECIDED, 1, UNDECIDED, BACKGROUND]


def test_an_image_without_objects_is_all_background():
    assert match(torch.zeros(0, 3), 0.7, 0.3, keep_best=True).tolist() == [BACKGROUND] * 3


def test_a_box_that_overlaps_no_candidate_gets_none():
    assert match(torch.zeros(1, 3), 0.7, 0.3, keep_best=True).tolist() == [BACKGROUND] * 3


def test_sampling_keeps_the_fraction_fills_up_with_background_and_spares_the_undecided():
    matched = torch.tensor([0] * 50 + [BACKGROUND] * 100 + [UNDECIDED] * 50)
    torch.manual_seed(0)
    chosen = sample(matched, 40, positive_fraction=0.25)
    assert (matched[chosen] >= 0).sum() == 10
    assert (matched[chosen] == BACKGROUND).sum() == 30
    assert len(chosen.unique()) == 40
    assert len(sample(matched[:5], 40, 0.25)) == 5


def test_the_pyramid_sums_from_coarse_to_fine_and_keeps_sizes():
    pyramid = FeaturePyramid((4, 8, 16), 6)
    maps = [torch.randn(2, c, s, s + 1) for c, s in ((4, 16), (8, 8), (16, 4))]
    assert [tuple(level.shape) for level in pyramid(maps)] == [(2, 6, 16, 17), (2, 6, 8, 9), (2, 6, 4, 5)]
    finest = pyramid(maps)[0]
    maps[2] = maps[2] + 1
    assert not torch.equal(pyramid(maps)[0], finest), "the coarsest map must reach the finest level"


def test_rois_are_pooled_from_the_level_of_their_size():
    maps = [torch.full((2, 3, 32, 32), 4.0), torch.full((2, 3, 16, 16), 8.0), torch.full((2, 3, 8, 8), 16.0)]
    align = PyramidRoIAlign(output_size=2, strides=(4, 8, 16), canonical_size=7)
    small, middle, large = [1.0, 1.0, 20.0, 20.0], [0.0, 0.0, 60.0, 60.0], [0.0, 0.0, 120.0, 125.0]
    pooled = align(maps, [torch.tensor([small, large]), torch.tensor([middle])])
    assert pooled.shape == (3, 3, 2, 2)
    assert pooled[:, 0, 0, 0].tolist() == [4.0, 16.0, 8.0]
    assert align(maps, [torch.zeros(0, 4), torch.zeros(0, 4)]).shape == (0, 3, 2, 2)


def test_pooling_one_level_is_torchvisions():
    feature, roi = torch.randn(1, 3, 16, 16), torch.tensor([[3.0, 5.0, 33.0, 47.0]])
    aligned = torchvision.ops.roi_align(feature, [roi], 4, 0.25, sampling_ratio=2, aligned=True)
    assert torch.allclose(PyramidRoIAlign(4, (4,))([feature], [roi]), aligned, atol=1e-6)
    pooled = torchvision.ops.roi_pool(feature, [roi], 4, 0.25)
    assert torch.equal(PyramidRoIPool(4, (4,))([feature], [roi]), pooled)
