from itertools import combinations

import numpy as np
import torch

from roibench.report.draw import colour, draw
from roibench.structures import Prediction

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
