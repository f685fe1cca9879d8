"""Pascal VOC's average precision against the development kit's procedure, written out detection by detection."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from roibench.metrics.detection import voc_ap
from roibench.structures import Prediction, Target


def reference(predictions, targets) -> dict[str, float]:
    """The kit's loop: classes, detections by confidence, the object with the largest overlap, tp / fp / neither."""
    labels = sorted({label for target in targets for label in target.labels[~target.ignored].tolist()})
    interpolated, areas = [], []
    for label in labels:
        objects = [
            [[*box, hard, False] for box, hard, k in zip(*map(torch.Tensor.tolist, fields), strict=True) if k == label]
            for fields in ((target.boxes, target.ignored, target.labels) for target in targets)
        ]
        positives = sum(not one[4] for image in objects for one in image)
        found = [
            (-score, i, box)
            for i, one in enumerate(predictions)
            for box, score, k in zip(one.boxes.tolist(), one.scores.tolist(), one.labels.tolist(), strict=True)
            if k == label
        ]
        hits = []
        for _, i, box in sorted(found, key=lambda detection: detection[0]):
            best, nearest = -1.0, None
            for one in objects[i]:
                if (overlap := iou(box, one)) > best:
                    best, nearest = overlap, one
            if best < 0.5:
                hits.append(False)
            elif not nearest[4]:
                hits.append(not nearest[5])
                nearest[5] = True
        recall = np.cumsum(hits) / positives
        precision = np.cumsum(hits) / np.arange(1, len(hits) + 1)
        interpolated.append(
            np.mean([precision[recall >= point].max(initial=0) for point in np.arange(0, 1.1, 0.1)]),
        )
        areas.append(sum((recall[k] - ([0.0, *recall])[k]) * precision[k:].max() for k in range(len(hits))))
    return {"VOC07_AP50": np.mean(interpolated), "VOC_AP50": np.mean(areas)} if labels else {}


def iou(a, b) -> float:
    width, height = min(a[2], b[2]) - max(a[0], b[0]), min(a[3], b[3]) - max(a[1], b[1])
    shared = max(width, 0) * max(height, 0)
    return shared / ((a[2] - a[0]) * (a[3] - a[1]) + (b[2] - b[0]) * (b[3] - b[1]) - shared)


def image(objects, detections) -> tuple[Prediction, Target]:
    """objects: (box, label, difficult); detections: (box, label, score)."""
    boxes, labels, third = zip(*objects, strict=True) if objects else ((), (), ())
    target = Target(
        boxes=torch.tensor(boxes, dtype=torch.float32).reshape(-1, 4),
        labels=torch.tensor(labels, dtype=torch.int64),
        ignored=torch.tensor(third, dtype=torch.bool),
    )
    boxes, labels, third = zip(*detections, strict=True) if detections else ((), (), ())
    prediction = Prediction(
        boxes=torch.tensor(boxes, dtype=torch.float32).reshape(-1, 4),
        labels=torch.tensor(labels, dtype=torch.int64),
        scores=torch.tensor(third, dtype=torch.float32),
    )
    return prediction, target


corner, side = st.sampled_from([0, 4, 8, 16]), st.sampled_from([8, 16, 24])
boxes = st.tuples(corner, corner, side, side).map(lambda b: (b[0], b[1], b[0] + b[2], b[1] + b[3]))
labels = st.integers(0, 2)


@st.composite
def datasets(draw):
    """Few coordinates, so that overlaps are equal and exactly one half; no two scores are."""
    scores = iter(draw(st.permutations([k / 64 for k in range(48)])))
    objects = st.lists(st.tuples(boxes, labels, st.booleans()), max_size=5)
    found = st.lists(st.tuples(boxes, labels), max_size=10)
    rows = draw(st.lists(st.tuples(objects, found), min_size=1, max_size=4))
    pairs = [image(o, [(box, label, next(scores)) for box, label in d]) for o, d in rows]
    return [prediction for prediction, _ in pairs], [target for _, target in pairs]


def values(predictions, targets):
    return {name: estimate.value for name, estimate in voc_ap(predictions, targets).values.items()}


@given(datasets())
def test_both_numbers_are_those_of_the_development_kits_procedure(data):
    assert values(*data) == pytest.approx(reference(*data), abs=1e-12)


def test_a_second_detection_of_an_object_is_wrong_though_its_neighbour_is_free():
    left, right, between = (0, 0, 10, 10), (2, 0, 12, 10), (0.5, 0, 10.5, 10)
    prediction, target = image([(left, 0, False), (right, 0, False)], [(left, 0, 0.9), (between, 0, 0.8)])
    assert values([prediction], [target])["VOC_AP50"] == pytest.approx(0.5)
    # Of 11 values of recall, 0 to 0.5 are reached.
    assert values([prediction], [target])["VOC07_AP50"] == pytest.approx(6 / 11)


def test_a_difficult_object_is_neither_required_nor_wrong():
    box, elsewhere = (0, 0, 10, 10), (20, 20, 30, 30)
    found = [(box, 0, 0.9), (box, 0, 0.8), (elsewhere, 0, 0.7)]
    prediction, target = image([(box, 0, True), (elsewhere, 0, False)], found)
    assert values([prediction], [target])["VOC_AP50"] == pytest.approx(1)
    required = replace(target, ignored=torch.tensor([False, False]))
    assert values([prediction], [required])["VOC_AP50"] == pytest.approx((1 + 2 / 3) / 2)


def test_a_dataset_without_objects_has_no_number():
    prediction, target = image([], [((0, 0, 4, 4), 0, 0.5)])
    assert voc_ap([prediction], [target]).values == {}


def test_the_interval_holds_the_value_and_a_resample_counts_copies():
    generator = np.random.default_rng(0)
    pairs = []
    for _ in range(30):
        x, y = generator.integers(0, 40, 2).tolist()
        box = (x, y, x + 12, y + 12)
        shift = int(generator.integers(0, 8))
        found = [((x + shift, y, x + 12 + shift, y + 12), 0, float(generator.random()))]
        pairs.append(image([(box, 0, False)], found))
    predictions, targets = map(list, zip(*pairs, strict=True))
    for estimate in voc_ap(predictions, targets).values.values():
        assert estimate.low < estimate.value < estimate.high
    assert values(predictions * 2, targets * 2) == pytest.approx(values(predictions, targets), abs=1e-12)
