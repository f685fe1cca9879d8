"""Object proposals: windows by arithmetic, selective search on cases worked out by hand, the RPN in its detector."""

import numpy as np
import pytest
import torch

from roibench.assemble import build_model, find_weights, ready_model
from roibench.dataset import DatasetInfo
from roibench.datasets.reference import open_dataset
from roibench.ops import box_iou
from roibench.plugins.proposals.selective_search import (
    COLOUR_SPACES,
    Bins,
    Nodes,
    Regions,
    SelectiveSearch,
    adjacent,
    describe,
    merge,
    segment,
)
from roibench.plugins.proposals.sliding_window import slide
from roibench.registry import installed
from roibench.structures import Input
from roibench.tasks.proposals import ProposalsContract

INFO = DatasetInfo("scenes", "val", ("circle", "square", "triangle"), image_size=(128, 128))


class TestSlidingWindow(ProposalsContract):
    model = "sliding_window_proposals"


class TestSelectiveSearch(ProposalsContract):
    model = "selective_search"


class TestSelectiveSearchQuality(ProposalsContract):
    model = "selective_search_quality"


class TestRPN(ProposalsContract):
    model = "rpn@faster_rcnn"


# ---- windows


def test_a_window_goes_from_border_to_border_in_even_steps_and_begins_in_the_middle():
    windows = slide(4, 8, tall=4, wide=4, stride=0.5)
    assert windows.tolist() == [[2, 0, 6, 4], [0, 0, 4, 4], [4, 0, 8, 4]]


def test_windows_are_of_all_sizes_and_shapes_large_ones_first():
    model = build_model(installed().models["sliding_window_proposals"], INFO, {"scales": (0.25, 0.5)})
    [found] = model.predict([Input("blank", torch.zeros(3, 64, 64, dtype=torch.uint8))])
    width, height = (found.boxes[:, 2:] - found.boxes[:, :2]).T
    assert torch.allclose(width * height, torch.where(width * height > 500, 1024.0, 256.0), rtol=1e-3)
    assert ((width * height).diff() <= 1).all()
    assert {round(float(ratio), 3) for ratio in height / width} == {0.5, 1, 2}


def test_windows_larger_than_the_image_are_cut_to_it():
    model = build_model(installed().models["sliding_window_proposals"], INFO, {"scales": (1.0,)})
    [found] = model.predict([Input("wide", torch.zeros(3, 10, 90, dtype=torch.uint8))])
    assert (found.boxes[:, 1] == 0).all() and (found.boxes[:, 3] == 10).all()
    assert found.boxes[:, 0].min() == 0 and found.boxes[:, 2].max() == 90


# ---- selective search

RECTANGLES = torch.tensor([[10.0, 12, 40, 50], [60, 70, 110, 100]])


def two_rectangles(grey: bool = False) -> Input:
    image = torch.full((3, 128, 128), 200, dtype=torch.uint8)
    for (x1, y1, x2, y2), colour in zip(RECTANGLES.int().tolist(), [(220, 30, 30), (30, 60, 220)], strict=True):
        image[:, y1:y2, x1:x2] = torch.tensor(colour, dtype=torch.uint8)[:, None, None]
    return Input("rectangles", image[:1].expand(3, -1, -1) if grey else image)


def search(**config) -> SelectiveSearch:
    return build_model(installed().models["selective_search"], INFO, config)


@pytest.mark.parametrize("grey", [False, True])
@pytest.mark.parametrize("spaces", [("hsv",), ("lab",), ("rgi",), ("intensity",)])
def test_flat_rectangles_are_among_the_boxes(grey, spaces):
    [found] = search(colour_spaces=spaces, duplicate_iou=0.95).predict([two_rectangles(grey)])
    assert (box_iou(RECTANGLES[:1] if grey else RECTANGLES, found.boxes).max(1).values > 0.9).all()


def test_an_image_of_one_colour_is_one_region():
    for size in ((1, 1), (40, 30)):
        [found] = search().predict([Input("flat", torch.full((3, *size), 90, dtype=torch.uint8))])
        assert found.boxes.tolist() == [[0, 0, size[1], size[0]]]


STRIPES = np.array([[0, 0, 1, 1, 2, 2, 2, 2]])  # three regions in a row


def stripes(colours) -> Regions:
    """Of these colour histograms, and all of one texture."""
    boxes = np.array([[0, 0, 2, 1], [2, 0, 4, 1], [4, 0, 8, 1]])
    return Regions(np.array([2, 2, 4]), boxes, np.array(colours, np.float32), np.ones((3, 1), np.float32))


def test_the_most_similar_neighbours_merge_first():
    left, right = [[1, 0], [1, 0], [0, 1]], [[1, 0], [0, 1], [0, 1]]
    pairs = adjacent(STRIPES)
    assert pairs.tolist() == [[0, 1], [1, 2]]
    ends = [[2, 0, 4, 1], [4, 0, 8, 1]]
    assert merge(stripes(left), pairs, "C").tolist() == [[0, 0, 2, 1], *ends, [0, 0, 4, 1], [0, 0, 8, 1]]
    assert merge(stripes(right), pairs, "C").tolist() == [[0, 0, 2, 1], *ends, [2, 0, 8, 1], [0, 0, 8, 1]]
    # By size, the small ones; texture and fill are the same for all.
    assert merge(stripes(right), pairs, "TSF")[3].tolist() == [0, 0, 4, 1]


def test_regions_are_described_by_their_pixels_and_a_merged_one_by_those_of_both():
    labels = np.array([[0, 0, 1, 1, 1, 1, 2, 2]])
    bins = Bins.of(np.array([[0, 0, 0, 0, 0.5, 0.5, 1, 1]], np.float32)[..., None])
    regions, whole = describe(labels, bins), describe(np.zeros_like(labels), bins)
    assert regions.sizes.tolist() == [2, 4, 2]
    assert regions.boxes.tolist() == [[0, 0, 2, 1], [2, 0, 6, 1], [6, 0, 8, 1]]
    assert regions.colour[:, [0, 12, 24]].tolist() == [[1, 0, 0], [0.5, 0.5, 0], [0, 0, 1]]
    nodes = Nodes(regions, "CT")
    last = nodes.join(nodes.join(0, 1), 2)
    assert np.allclose(nodes.histograms[last], np.concatenate([whole.colour, whole.texture], 1), atol=1e-6)


def test_similarity_is_the_papers_sum():
    regions = stripes([[0.5, 0.5], [0.25, 0.75], [0, 1]])
    ends = np.array([0]), 2
    # The box around the first and the last stripe has 8 pixels, 6 of which are theirs.
    alone = {terms: Nodes(regions, terms).similarity(*ends).item() for terms in "CTSF"}
    assert alone == pytest.approx({"C": 0.5, "T": 1, "S": 1 - 6 / 8, "F": 1 - 2 / 8})
    assert Nodes(regions, "CTSF").similarity(*ends).item() == pytest.approx(sum(alone.values()))


def test_near_duplicates_are_gone_and_the_better_one_stays():
    hierarchy = np.array([[0, 0, 10, 10], [0, 0, 10, 9], [0, 0, 10, 10], [20, 20, 30, 30]])
    found = search(duplicate_iou=0.85).rank([hierarchy, hierarchy], (40, 40), (40, 40))
    assert len(found.boxes) == 2
    assert box_iou(found.boxes, found.boxes).fill_diagonal_(0).max() == 0


def test_regions_high_up_in_a_hierarchy_stand_before_those_below_on_average():
    boxes = np.stack([np.arange(200) * 10, np.zeros(200), np.arange(200) * 10 + 9, np.full(200, 9)], 1).astype(int)
    found = search().rank([boxes], (10, 2000), (10, 2000))
    assert found.boxes[:50, 0].mean() > found.boxes[-50:, 0].mean() + 500


def test_a_large_image_is_searched_at_a_smaller_size():
    one = two_rectangles()
    large = Input("large", one.image.repeat_interleave(8, 1).repeat_interleave(8, 2))
    [found] = search(long_side=128, duplicate_iou=0.95).predict([large])
    assert (box_iou(RECTANGLES * 8, found.boxes).max(1).values > 0.9).all()


def test_merging_begins_with_a_bounded_number_of_regions():
    noise = np.random.default_rng(0).random((90, 120, 3), np.float32)
    assert 20 < segment(noise, scale=1, sigma=0.1, regions=100).max() + 1 <= 100


@pytest.mark.parametrize("name", COLOUR_SPACES)
def test_colour_spaces_fill_the_unit_interval(name):
    levels = np.linspace(0, 1, 6, dtype=np.float32)
    rgb = np.stack(np.meshgrid(levels, levels, levels), -1).reshape(6, -1, 3)
    values = COLOUR_SPACES[name](rgb)
    assert values.min() >= 0 and values.max() <= 1 and values.max() - values.min() > 0.6


# ---- RPN


def test_the_rpn_proposes_what_faster_rcnn_looks_at():
    registry = installed()
    model = build_model(registry.model("rpn@faster_rcnn"), INFO).eval()
    [one] = ProposalsContract.noise((128, 128))
    config = model.inner.config
    batch = model.inner.batch([one])
    _, [looked_at] = model.inner.first_stage(batch, config.rpn_before_nms, config.proposals)
    model.proposals = config.rpn_before_nms
    [found] = model.predict([one])
    assert torch.equal(found.boxes[: config.proposals], batch.to_image(0, looked_at.boxes))


def test_the_rpn_has_faster_rcnns_shipped_weights_and_finds_objects_by_them():
    registry = installed()
    spec = registry.model("rpn@faster_rcnn")
    data = open_dataset("scenes", registry)
    weights = find_weights(spec, "scenes", None, registry)
    model = ready_model(spec, data.info, weights, torch.device("cpu"))
    samples = [data[index] for index in range(4)]
    for sample, found in zip(samples, model.predict([one.input for one in samples]), strict=True):
        assert (box_iou(sample.target.boxes, found.boxes[:300]).max(1).values > 0.5).float().mean() > 0.8


def test_the_rpn_asks_for_a_detector_with_two_stages():
    with pytest.raises(TypeError, match=r"RPN goes around a model that is TwoStage; RetinaNet lacks \['first_stage'\]"):
        build_model(installed().model("rpn@retinanet"), INFO)
