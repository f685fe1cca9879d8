"""What repairing errors gains: the authors' code on real and random images, and what holds without it."""

import contextlib
import io
import json

import numpy as np
import pytest
import torch

from roibench.metrics.bootstrap import difference
from roibench.metrics.detection import coco_ap
from roibench.metrics.error_costs import FIXED, tide
from roibench.structures import Prediction, Target

SHORT = dict(zip(("Cls", "Loc", "Both", "Dupe", "Bkg", "Miss"), FIXED, strict=True))
OBJECTS = [(0, 0, 10, 10, 0), (20, 0, 30, 10, 1), (20, 30, 30, 40, 0)]


def prediction(*rows):
    """x1, y1, x2, y2, label and score of each."""
    table = torch.tensor(rows, dtype=torch.float64).reshape(-1, 6)
    return Prediction(boxes=table[:, :4], labels=table[:, 4].long(), scores=table[:, 5])


def target(*rows, **flags):
    table = torch.tensor(rows, dtype=torch.float64).reshape(-1, 5)
    named = {name: torch.tensor(values) for name, values in flags.items()}
    return Target(boxes=table[:, :4], labels=table[:, 4].long(), **named)


def gains(predictions, targets):
    return {name.removeprefix("dAP_"): one.value for name, one in tide(predictions, targets).values.items()}


def of_the_authors(predictions, targets):
    """tidecv's dAP by our names of the kinds, as fractions, and its AP50."""
    from tidecv import TIDE, Data

    true, found = Data("true"), Data("found")
    for image, (one, other) in enumerate(zip(predictions, targets, strict=True)):
        for data in (true, found):
            data.add_image(image, str(image))
        crowd = [False] * len(other.boxes) if other.crowd is None else other.crowd.tolist()
        for box, label, region in zip(xywh(other.boxes), other.labels.tolist(), crowd, strict=True):
            (true.add_ignore_region if region else true.add_ground_truth)(image, label, box)
        for box, label, score in zip(xywh(one.boxes), one.labels.tolist(), one.scores.tolist(), strict=True):
            found.add_detection(image, label, score, box)
    with contextlib.redirect_stdout(io.StringIO()):
        run = TIDE().evaluate(true, found, mode=TIDE.BOX)
    errors = {SHORT[kind.short_name]: gain / 100 for kind, gain in run.fix_main_errors().items()}
    return errors, run.ap / 100


def xywh(boxes):
    return torch.cat([boxes[:, :2], boxes[:, 2:] - boxes[:, :2]], 1).double().numpy()


def random_images(seed, images=30, classes=3):
    """Objects, some found, some found badly or several times, and boxes of nothing; no two scores are equal."""
    rng = np.random.default_rng(seed)
    predictions, targets = [], []
    for _ in range(images):
        corners, sizes = rng.integers(0, 150, (count := rng.integers(0, 7), 2)), rng.integers(10, 60, (7, 2))
        true = [(*at, *(at + size), rng.integers(classes)) for at, size in zip(corners, sizes[:count], strict=True)]
        found = []
        for *box, label in true:
            for _ in range(rng.integers(0, 4)):
                moved = np.array(box) + rng.normal(0, rng.choice([2, 12, 25]), 4)
                guess = label if rng.random() < 0.7 else rng.integers(classes)
                found.append((*np.sort(moved.reshape(2, 2), 0).ravel(), guess, rng.random()))
        for at in rng.integers(0, 150, (rng.integers(0, 3), 2)):
            found.append((*at, *(at + 20), rng.integers(classes), rng.random()))
        predictions.append(prediction(*found))
        targets.append(target(*true))
    return predictions, targets


@pytest.mark.parametrize("seed", range(4))
def test_gains_are_those_of_the_authors_code(seed):
    pytest.importorskip("tidecv", reason="the extra [test] isn't installed")
    images = random_images(seed)
    expected, ap50 = of_the_authors(*images)
    # 1e-4: where recall lies on one of its 101 points, x / 100 and numpy's linspace round differently.
    assert gains(*images) == pytest.approx(expected, abs=1e-4) and min(expected.values()) > 0
    assert coco_ap(*images).values["AP50"].value == pytest.approx(ap50)


def test_gains_are_those_of_the_authors_code_on_cocos_fixtures(coco_fixtures):
    pytest.importorskip("tidecv", reason="the extra [test] isn't installed")
    truth = json.loads(next(coco_fixtures.rglob("*instances*.json")).read_text())
    results = json.loads(next(coco_fixtures.rglob("*bbox*results.json")).read_text())
    images = sorted({one["image_id"] for one in results})
    known = {one["category_id"] for one in truth["annotations"] if one["image_id"] in images and not one["iscrowd"]}

    def rows(entries, image, *keys):
        mine = [one for one in entries if one["image_id"] == image and one["category_id"] in known]
        return [(*corners(one["bbox"]), one["category_id"], *(one[key] for key in keys)) for one in mine], mine

    predictions, targets = [], []
    for image in images:
        best = sorted(rows(results, image, "score")[0], key=lambda row: -row[-1])[:100]
        predictions.append(prediction(*best))
        boxes, mine = rows(truth["annotations"], image)
        targets.append(target(*boxes, crowd=[bool(one["iscrowd"]) for one in mine]))
    expected, _ = of_the_authors(predictions, targets)
    assert gains(predictions, targets) == pytest.approx(expected, abs=3e-4)
    assert sum(expected.values()) > 0.05


def corners(box):
    x, y, width, height = box
    return x, y, x + width, y + height


def test_each_kind_by_hand():
    right = [(*row, 0.9 - 0.1 * place) for place, row in enumerate(OBJECTS)]
    assert gains([prediction(*right)], [target(*OBJECTS)]) == dict.fromkeys(FIXED, 0)
    wrong_class = [right[0], (20, 0, 30, 10, 0, 0.95), right[2]]
    # Class 0 rises from 2 hits behind a miss to 2 hits, class 1 from nothing to everything.
    found = gains([prediction(*wrong_class)], [target(*OBJECTS)])
    assert found["class"] == pytest.approx((1 + (1 - 2 / 3)) / 2)
    assert found == {**dict.fromkeys(FIXED, 0), "class": found["class"]}
    missed = gains([prediction(*right[1:])], [target(*OBJECTS)])
    assert missed == {**dict.fromkeys(FIXED, 0), "missed": pytest.approx(50 / 101 / 2)}


def test_only_the_best_of_several_errors_about_an_object_becomes_right():
    low, high = (0, 0, 10, 4.9, 0, 0.3), (0, 0, 10, 10, 1, 0.8)
    found = gains([prediction(low, high)], [target((0, 0, 10, 10, 0))])
    assert found["class"] == pytest.approx(1) and found["location"] == 0, "the other one, of less score, goes away"


@pytest.mark.parametrize("flag", ["crowd", "ignored"])
def test_what_counts_neither_way_gains_nothing(flag):
    true = target(*OBJECTS, **{flag: [True, False, False]})
    rows = [(*row, 0.9) for row in OBJECTS] + [(1, 0, 10, 10, 0, 0.95)] * (flag == "crowd")
    assert gains([prediction(*rows)], [true]) == dict.fromkeys(FIXED, 0)


def test_without_objects_nothing_is_defined_and_without_detections_everything_is_missed():
    assert not tide([prediction((0, 0, 1, 1, 0, 0.5))], [target()]).values
    nothing = tide([prediction()] * 2, [target(*OBJECTS)] * 2)
    assert gains([prediction()], [target(*OBJECTS)]) == dict.fromkeys(FIXED[:-1], 0), "of what is left: nothing"
    assert nothing.artefacts["errors"].rows["missed"] == (6, None)


def test_a_class_that_is_never_predicted_is_left_out_where_what_was_missed_is_repaired():
    rows = [(*OBJECTS[0], 0.9), (*OBJECTS[2], 0.8)]
    assert gains([prediction(*rows)], [target(*OBJECTS)])["missed"] == pytest.approx(0.5)
    elsewhere = (60, 60, 70, 70, 1, 0.7)
    assert gains([prediction(*rows, elsewhere)], [target(*OBJECTS)])["missed"] == 0, "it has found nothing right"


def test_intervals_hold_the_value_and_two_models_are_paired():
    images, targets = random_images(7)
    first = tide(images, targets).values
    assert all(one.low <= one.value <= one.high for one in first.values())
    second = tide([prediction()] * 10 + images[10:], targets).values
    same = difference(first["dAP_missed"], tide(images, targets).values["dAP_missed"])
    assert (same.value, same.low, same.high) == (0, 0, 0)
    assert difference(second["dAP_missed"], first["dAP_missed"]).low > 0


def test_how_many_errors_there_are_is_listed():
    rows = [(*OBJECTS[0], 0.9), (*OBJECTS[0], 0.8), (60, 60, 70, 70, 1, 0.7)]
    listing = tide([prediction(*rows)], [target(*OBJECTS)]).artefacts["errors"]
    counts = {kind: count for kind, (count, _) in listing.rows.items()}
    assert counts == {**dict.fromkeys(FIXED, 0), "duplicate": 1, "background": 1, "missed": 2}
