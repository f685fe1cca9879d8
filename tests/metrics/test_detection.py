import json
from dataclasses import replace

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from roibench.metrics.average_precision import coco_summary
from roibench.metrics.detection import coco_ap, match_boxes
from roibench.structures import Prediction, Target

NOTHING_FOUND = Prediction(boxes=torch.zeros(0, 4), scores=torch.zeros(0), labels=torch.zeros(0, dtype=torch.int64))
NOTHING_THERE = Target(boxes=torch.zeros(0, 4), labels=torch.zeros(0, dtype=torch.int64))


def values(predictions, targets):
    return {name: estimate.value for name, estimate in coco_ap(predictions, targets).values.items()}


def scene(generator: np.random.Generator, images: int, classes: int, objects: int = 6, detections: int = 12):
    """Random images whose detections scatter around the objects; eighths of a pixel, so that float32 is exact."""
    predictions, targets = [], []
    for _ in range(images):
        n, m = generator.integers(0, objects + 1), generator.integers(0, detections + 1)
        size = generator.choice([16, 40, 120], (n, 1)) + generator.integers(-8, 9, (n, 2))
        corner = generator.integers(0, 60, (n, 2))
        boxes = np.concatenate([corner, corner + size], 1).astype(float)
        labels = generator.integers(classes, size=n)
        seen = generator.integers(n, size=m) if n else np.zeros(0, int)
        jitter = np.round(generator.normal(0, 3, (len(seen), 4)) * 8) / 8
        guess = np.where(generator.random(len(seen)) < 0.8, labels[seen], generator.integers(classes, size=len(seen)))
        scores = generator.permutation(1 << 16)[: len(seen)] / (1 << 16)
        predictions.append(
            Prediction(
                boxes=torch.tensor(boxes[seen] + jitter, dtype=torch.float32),
                scores=torch.tensor(scores, dtype=torch.float32),
                labels=torch.tensor(guess),
            )
        )
        targets.append(
            Target(
                boxes=torch.tensor(boxes, dtype=torch.float32),
                labels=torch.tensor(labels),
                areas=torch.tensor(size.prod(1) * 0.75, dtype=torch.float32),
                crowd=torch.tensor(generator.random(n) < 0.1),
                ignored=torch.tensor(generator.random(n) < 0.1),
            )
        )
    return predictions, targets


@st.composite
def images(draw):
    """Few coordinates and few scores, so that equal IoUs, tied scores and areas on a border all happen; with empty
    images, crowds and ignored objects."""
    corner, side = st.sampled_from([0, 8, 16, 32]), st.sampled_from([16, 32, 48, 96])
    box = st.tuples(corner, corner, side, side)
    classes = draw(st.integers(1, 3))
    label = st.integers(0, classes - 1)
    true = st.lists(st.tuples(box, label, st.booleans(), st.booleans(), st.sampled_from([0.5, 1.0])), max_size=6)
    found = st.lists(st.tuples(box, label, st.integers(1, 8)), max_size=12)
    predictions, targets = [], []
    for objects, detections in draw(st.lists(st.tuples(true, found), min_size=1, max_size=4)):
        boxes = _boxes([o[0] for o in objects])
        sides = boxes[:, 2:] - boxes[:, :2]
        targets.append(
            Target(
                boxes=boxes,
                labels=torch.tensor([o[1] for o in objects], dtype=torch.int64),
                crowd=torch.tensor([o[2] for o in objects], dtype=torch.bool),
                ignored=torch.tensor([o[3] for o in objects], dtype=torch.bool),
                areas=sides.prod(1) * torch.tensor([o[4] for o in objects]),
            )
        )
        predictions.append(
            Prediction(
                boxes=_boxes([d[0] for d in detections]),
                labels=torch.tensor([d[1] for d in detections], dtype=torch.int64),
                scores=torch.tensor([d[2] / 8 for d in detections]),
            )
        )
    return predictions, targets


def _boxes(corners_and_sides) -> torch.Tensor:
    boxes = torch.tensor(corners_and_sides, dtype=torch.float32).reshape(-1, 4)
    boxes[:, 2:] += boxes[:, :2]
    return boxes


@settings(max_examples=80, deadline=None)
@given(images())
def test_the_twelve_numbers_are_those_of_pycocotools(coco_numbers, data):
    matching = match_boxes(*data)
    numbers = coco_summary(matching, np.ones((1, matching.images)))
    defined = {name: float(number[0]) for name, number in numbers.items() if not np.isnan(number[0])}
    assert len(numbers) == 12
    assert defined == pytest.approx(coco_numbers(*data), abs=1e-12)


@pytest.mark.parametrize("seed", range(3))
def test_larger_data_agree_with_pycocotools_too(coco_numbers, seed):
    data = scene(np.random.default_rng(seed), images=60, classes=4, detections=40)
    assert values(*data) == pytest.approx(coco_numbers(*data), abs=1e-12)


def test_at_most_100_detections_of_a_class_are_scored():
    target = Target(boxes=torch.tensor([[0.0, 0, 10, 10]]), labels=torch.tensor([0]))
    boxes = torch.tensor([[50.0, 50, 60, 60]]).repeat(101, 1)
    boxes[100] = target.boxes[0]
    prediction = Prediction(boxes=boxes, scores=torch.linspace(1, 0.5, 101), labels=torch.zeros(101, dtype=torch.int64))
    assert values([prediction], [target])["AP"] == 0
    first = replace(prediction, scores=prediction.scores.flip(0))
    assert values([first], [target])["AR1"] == 1


def test_a_weight_of_k_is_k_copies_of_the_image(coco_numbers):
    generator = np.random.default_rng(7)
    predictions, targets = scene(generator, images=25, classes=3)
    # Scores differ between images, so that copies stand side by side in the ranking as the weights assume.
    ranks = torch.randperm(sum(len(p.scores) for p in predictions), generator=torch.Generator().manual_seed(0))
    scores = torch.split((ranks + 1) / len(ranks), [len(p.scores) for p in predictions])
    predictions = [replace(p, scores=s) for p, s in zip(predictions, scores, strict=True)]
    weights = generator.integers(0, 4, (5, 25))
    numbers = coco_summary(match_boxes(predictions, targets), weights)
    for r, row in enumerate(weights):
        copied = [np.repeat(np.array(x, dtype=object), row).tolist() for x in (predictions, targets)]
        defined = {name: number[r] for name, number in numbers.items() if not np.isnan(number[r])}
        assert defined == pytest.approx(coco_numbers(*copied), abs=1e-12)


def test_intervals_surround_the_value_and_shrink_with_more_images():
    widths = []
    for count in (40, 400):
        result = coco_ap(*scene(np.random.default_rng(0), images=count, classes=2))
        ap = result.values["AP"]
        assert 0 < ap.low < ap.value < ap.high < 1
        widths.append(ap.high - ap.low)
    assert widths[1] < widths[0] / 2


def test_ap_per_class_averages_to_ap():
    result = coco_ap(*scene(np.random.default_rng(2), images=50, classes=5))
    per_class = result.artefacts["AP per class"]
    assert sorted(per_class) == [0, 1, 2, 3, 4]
    assert np.mean(list(per_class.values())) == pytest.approx(result.values["AP"].value)


def test_what_the_ground_truth_leaves_undefined_is_no_value():
    target = Target(boxes=torch.tensor([[0.0, 0, 10, 10]]), labels=torch.tensor([0]))
    assert values([NOTHING_FOUND], [target]).keys() == {"AP", "AP50", "AP75", "APsmall"} | {
        "AR1", "AR10", "AR100", "ARsmall"
    }  # fmt: skip
    assert coco_ap([NOTHING_FOUND], [NOTHING_THERE]).values == {}


def test_nothing_found_scores_zero_and_everything_found_scores_one():
    target = Target(boxes=torch.tensor([[0.0, 0, 10, 10], [0, 0, 50, 50]]), labels=torch.tensor([0, 1]))
    perfect = Prediction(boxes=target.boxes, labels=target.labels, scores=torch.ones(2))
    assert set(values([NOTHING_FOUND] * 2, [target, NOTHING_THERE]).values()) == {0.0}
    assert list(values([perfect, NOTHING_FOUND], [target, NOTHING_THERE]).values()) == pytest.approx([1.0] * 10)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"scores": torch.tensor([float("nan")])}, "prediction of image 1: NaN or infinite scores"),
        ({"boxes": torch.tensor([[0, 0, float("inf"), 1]])}, "prediction of image 1: NaN or infinite boxes"),
        ({"scores": torch.ones(2)}, "prediction of image 1: 2 scores for 1 boxes"),
        ({"labels": None}, "prediction of image 1: no labels"),
    ],
)
def test_a_broken_prediction_is_named(change, message):
    good = Prediction(boxes=torch.tensor([[0.0, 0, 1, 1]]), scores=torch.ones(1), labels=torch.tensor([0]))
    with pytest.raises(ValueError, match=message):
        coco_ap([good, replace(good, **change)], [NOTHING_THERE, NOTHING_THERE])


def test_predictions_and_targets_must_be_of_the_same_images():
    with pytest.raises(ValueError, match="2 predictions for 1 targets"):
        coco_ap([NOTHING_FOUND] * 2, [NOTHING_THERE])


def from_json(ground_truth: dict, results: list[dict]) -> tuple[list[Prediction], list[Target]]:
    """COCO JSON as the suite sees it: float32 corners, images by id, classes by category."""
    predictions, targets = [], []
    for image in sorted(entry["id"] for entry in ground_truth["images"]):
        objects = [a for a in ground_truth["annotations"] if a["image_id"] == image]
        found = [r for r in results if r["image_id"] == image]
        targets.append(
            Target(
                boxes=_corners(objects),
                labels=torch.tensor([a["category_id"] for a in objects], dtype=torch.int64),
                crowd=torch.tensor([bool(a["iscrowd"]) for a in objects], dtype=torch.bool),
                areas=torch.tensor([a["area"] for a in objects], dtype=torch.float32),
            )
        )
        predictions.append(
            Prediction(
                boxes=_corners(found),
                labels=torch.tensor([r["category_id"] for r in found], dtype=torch.int64),
                scores=torch.tensor([r["score"] for r in found], dtype=torch.float32),
            )
        )
    return predictions, targets


def _corners(annotations) -> torch.Tensor:
    boxes = np.array([a["bbox"] for a in annotations], dtype=np.float64).reshape(-1, 4)
    return torch.tensor(np.concatenate([boxes[:, :2], boxes[:, :2] + boxes[:, 2:]], 1), dtype=torch.float32)


@pytest.mark.parametrize(
    ("ground_truth", "results", "published"),
    [
        (
            "tests/dataset/cocoapi/instances_val2014_100.json",
            "results/instances_val2014_fakebbox100_results.json",
            {"AP": 0.504581, "AP50": 0.696973, "AP75": 0.572982},
        ),
        ("tests/dataset/gt_dataset.json", "tests/dataset/dt_dataset.json", {}),
        ("tests/dataset/gt_ignore_test.json", "tests/dataset/dt_ignore_test.json", {}),
    ],
)
def test_cocos_own_fixtures(coco_fixtures, coco_json_numbers, ground_truth, results, published):
    ground_truth, results = (json.loads((coco_fixtures / file).read_text()) for file in (ground_truth, results))
    for annotation in ground_truth["annotations"]:
        annotation["image_id"] = int(annotation["image_id"])  # one of the files has strings
    for image in ground_truth["images"]:
        image["id"] = int(image["id"])
    numbers = values(*from_json(ground_truth, results))
    assert numbers == pytest.approx(coco_json_numbers(ground_truth, results), abs=1e-6)
    assert {name: numbers[name] for name in published} == pytest.approx(published, abs=1e-6)
