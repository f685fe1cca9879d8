import dataclasses
from dataclasses import replace
from functools import partial
from itertools import combinations

import numpy as np
import pytest
import torch

from roibench.draw.canvas import colour
from roibench.draw.prediction import draw as draw_fields
from roibench.registry import installed
from roibench.structures import VOID, Prediction

draw = partial(draw_fields, fields=installed().fields.values())
CLASSES = ("circle", "square")
BLACK = torch.zeros(3, 128, 128, dtype=torch.uint8)


def found(*boxes, scores=None, labels=None) -> Prediction:
    count = len(boxes)
    return Prediction(
        boxes=torch.tensor(boxes, dtype=torch.float32).reshape(-1, 4),
        scores=torch.ones(count) if scores is None else torch.tensor(scores),
        labels=torch.zeros(count, dtype=torch.int64) if labels is None else torch.tensor(labels),
    )


def coloured(picture, label=0) -> np.ndarray:
    """Where the picture has the class's colour, bool [H, W]."""
    return (np.asarray(picture) == colour(label)).all(axis=2)


def test_a_small_image_is_enlarged_and_a_large_one_is_not():
    assert draw(BLACK, found(), CLASSES).size == (640, 640)
    assert draw(torch.zeros(3, 700, 900, dtype=torch.uint8), found(), CLASSES).size == (900, 700)


def test_without_detections_the_picture_is_the_image():
    image = torch.arange(3 * 128 * 128, dtype=torch.int64).remainder(251).to(torch.uint8).reshape(3, 128, 128)
    picture = np.asarray(draw(image, found(), CLASSES))
    assert (picture[::5, ::5] == image.permute(1, 2, 0).numpy()).all()


def test_a_box_is_drawn_where_it_is():
    ys, xs = np.nonzero(coloured(draw(BLACK, found((20, 40, 100, 90)), CLASSES)))
    assert abs(xs.min() - 100) <= 2 and abs(xs.max() - 500) <= 2 and abs(ys.max() - 450) <= 2


def test_boxes_without_a_label_or_a_score_are_drawn_too():
    box = found((20, 40, 100, 90))
    for bare in (dataclasses.replace(box, labels=None), dataclasses.replace(box, scores=None, labels=None)):
        ys, xs = np.nonzero(coloured(draw(BLACK, bare, CLASSES)))
        assert abs(xs.min() - 100) <= 2 and abs(xs.max() - 500) <= 2 and abs(ys.max() - 450) <= 2


def test_detections_below_the_threshold_are_left_out():
    prediction = found((10, 10, 50, 50), (60, 60, 90, 90), scores=[0.9, 0.2], labels=[0, 1])
    picture = draw(BLACK, prediction, CLASSES, score_threshold=0.3)
    assert coloured(picture, 0).any() and not coloured(picture, 1).any()


def test_tags_stay_inside_the_picture():
    for box in [(0, 0, 20, 20), (108, 0, 128, 20), (0, 120, 10, 128), (120, 120, 128, 128), (-50, -50, 200, 200)]:
        # A tag's patch is solid: at least a hundred coloured pixels wide on some line, with black or white text in it.
        picture = draw(BLACK, found(box), ("a_class_with_quite_a_name",))
        lines = coloured(picture).sum(axis=1)
        assert lines.max() > 100


def test_a_name_wider_than_the_picture_is_cut_and_its_score_kept():
    narrow, boxes = torch.zeros(3, 640, 80, dtype=torch.uint8), [(5, 50, 75, 90)]
    picture = np.asarray(draw(narrow, found(*boxes), ("an_endless_name_of_a_class",)))
    same_start = np.asarray(draw(narrow, found(*boxes), ("an_endless_story",)))
    other_score = np.asarray(draw(narrow, found(*boxes, scores=[0.5]), ("an_endless_story",)))
    assert (picture == same_start).all()
    assert (picture != other_score).any()
    assert (picture[:, [0, -1]].min(axis=2) < 200).all()  # no white letter at the edge


def test_degenerate_boxes_and_boxes_outside_are_drawn_without_an_error():
    draw(BLACK, found((50, 50, 50, 50), (90, 10, 20, 5), (300, 300, 400, 400)), CLASSES)


def test_colours_are_stable_and_far_apart():
    assert colour(3) == colour(3)
    apart = [np.abs(np.subtract(colour(a), colour(b))).sum() for a, b in combinations(range(12), 2)]
    assert min(apart) > 60


def striped(*values, height=128, width=128) -> Prediction:
    """A semantic map of equal upright stripes, one per value."""
    columns = torch.arange(width) * len(values) // width
    return Prediction(semantic_map=torch.tensor(values, dtype=torch.uint8)[columns].repeat(height, 1))


def test_a_map_colours_its_classes_and_leaves_the_background():
    image = torch.full((3, 128, 128), 100, dtype=torch.uint8)
    picture = np.asarray(draw(image, striped(0, 1, 2), CLASSES))[:640]
    stripes = picture[300, [100, 320, 540]]
    assert stripes[0].tolist() == [100, 100, 100]
    for stripe, label in zip(stripes[1:], (0, 1), strict=True):
        assert np.abs(stripe - (0.6 * np.array(colour(label)) + 40)).max() <= 1


def test_a_maps_outlines_are_solid():
    picture = draw(BLACK, striped(1, 2), CLASSES).crop((0, 0, 640, 640))
    for label in (0, 1):
        ys, xs = np.nonzero(coloured(picture, label))
        assert set(ys) == set(range(640)) and np.abs(xs - 320).max() <= 4


def test_the_legend_stands_below_and_names_each_class_of_the_map_with_its_share():
    picture = draw(BLACK, striped(0, 2, 2, 2), CLASSES)
    assert picture.width == 640 and picture.height > 640
    legend = picture.crop((0, 640, *picture.size))
    assert not coloured(legend, 0).any()  # the circle isn't in the map
    left = coloured(legend, 1).nonzero()[1]
    assert left.size > 100 and left.max() < 50  # the largest stands first
    one, other = (np.asarray(draw(BLACK, striped(0, 2), names)) for names in (CLASSES, ("circle", "ring")))
    assert (one != other).any() and (one[:640] == other[:640]).all()


def test_a_legend_of_many_classes_is_wrapped_and_a_long_name_is_shortened():
    few, many = (draw(BLACK, striped(*range(count)), [f"class {i}" for i in range(20)]) for count in (3, 20))
    assert many.width == few.width == 640 and many.height > few.height
    assert all(coloured(many.crop((0, 640, *many.size)), label).any() for label in range(19))
    draw(
        torch.zeros(3, 640, 40, dtype=torch.uint8),
        striped(1, height=640, width=40),
        ("an_endless_name_of_a_class",) * 2,
    )


def test_a_map_of_one_pixel_or_of_the_largest_class_is_drawn():
    draw(torch.zeros(3, 1, 1, dtype=torch.uint8), striped(1, height=1, width=1), CLASSES)
    draw(BLACK, striped(254), [str(i) for i in range(254)])


def test_a_ground_truth_with_void_pixels_is_drawn():
    assert draw(BLACK, striped(0, VOID), CLASSES).height > 640


def test_boxes_lie_on_top_of_a_map():
    both = dataclasses.replace(found((20, 40, 100, 90)), semantic_map=striped(2).semantic_map)
    ys, _ = np.nonzero(coloured(draw(BLACK, both, CLASSES)))
    assert abs(ys.max() - 450) <= 2


def bars(picture, label) -> tuple[int, int]:
    """Where a class's bar ends below the picture, and at which height it stands."""
    ys, xs = np.nonzero(coloured(picture.crop((0, 640, *picture.size)), label))
    return int(xs.max()), int(ys.min())


def test_the_best_five_classes_are_bars_as_long_as_their_scores():
    scores = torch.tensor([0.05, 0.5, 0.02, 0.3, 0.01, 0.12])
    picture = draw(BLACK, Prediction(class_scores=scores), tuple("abcdef"))
    assert picture.width == 640 and (np.asarray(picture)[:640] == 0).all()
    ends, heights = zip(*(bars(picture, label) for label in (1, 3, 5, 0, 2)), strict=True)
    for end, score in zip(ends, (0.5, 0.3, 0.12, 0.05, 0.02), strict=True):
        assert end / 640 == pytest.approx(score, abs=0.02)
    assert list(heights) == sorted(heights)
    assert not coloured(picture, 4).any()  # the sixth


def test_bars_name_their_classes_whatever_their_length():
    for score in (0.0, 0.2, 1.0):
        one, other = (
            np.asarray(draw(BLACK, Prediction(class_scores=torch.tensor([score])), (name,)))
            for name in ("ring", "cross")
        )
        assert (one != other).any() and (one[:640] == other[:640]).all()
    narrow = torch.zeros(3, 640, 40, dtype=torch.uint8)
    draw(narrow, Prediction(class_scores=torch.tensor([0.4, 0.6])), ("an_endless_name_of_a_class",) * 2)


def test_what_has_nothing_to_draw_is_the_image():
    assert not np.asarray(draw(BLACK, Prediction(), CLASSES)).any()


def test_limbs_connect_the_joints_that_are_there():
    joints = torch.zeros(1, 14, 3)
    joints[0, 12], joints[0, 13] = torch.tensor([64.0, 60.0, 1.0]), torch.tensor([64.0, 20.0, 1.0])  # neck and head
    person = Prediction(keypoints=joints, scores=torch.ones(1), labels=torch.zeros(1, dtype=torch.int64))
    seen = coloured(draw(BLACK, person, CLASSES))
    assert seen[200, 315:325].any() and not seen[200, :300].any(), "half-way between the two, and nowhere else"
    others = replace(person, keypoints=joints[:, 9:])  # five joints: nobody knows which of them a limb connects
    assert not coloured(draw(BLACK, others, CLASSES))[200].any()
