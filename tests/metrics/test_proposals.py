import contextlib
import io
from dataclasses import replace

import numpy as np
import pytest
import torch
from pycocotools.coco import COCO
from pycocotools.cocoeval import COCOeval

from roibench.metrics.proposals import proposal_recall
from roibench.structures import Prediction, Target


def values(predictions, targets):
    return {name: estimate.value for name, estimate in proposal_recall(predictions, targets).values.items()}


def scene(seed, images=12, proposals=150):
    """Proposals scattered around the objects and elsewhere; eighths of a pixel, so that float32 is exact."""
    generator = np.random.default_rng(seed)
    predictions, targets = [], []
    for _ in range(images):
        n = int(generator.integers(0, 7))
        corner = generator.integers(0, 90, (n + proposals, 2))
        boxes = np.concatenate([corner, corner + generator.integers(8, 60, corner.shape)], 1).astype(float)
        true, found = boxes[:n], boxes[n:]
        if n:
            near = generator.random(proposals) < 0.3
            jitter = np.round(generator.normal(0, 5, (near.sum(), 4)) * 8) / 8
            found[near] = true[generator.integers(n, size=near.sum())] + jitter
        scores = generator.permutation(1 << 12)[:proposals] / (1 << 12)
        predictions.append(
            Prediction(boxes=torch.tensor(found).float(), scores=torch.tensor(scores, dtype=torch.float32))
        )
        crowd = torch.tensor(generator.random(n) < 0.1)
        targets.append(Target(boxes=torch.tensor(true).float(), labels=torch.arange(n) % 3, crowd=crowd))
    return predictions, targets


def pycocotools_recall(predictions, targets):
    """[thresholds, limits]: COCOeval's recall without classes."""
    annotations, results = [], []
    for i, (prediction, target) in enumerate(zip(predictions, targets, strict=True)):
        for box, crowd in zip(_xywh(target.boxes), target.crowd.tolist(), strict=True):
            annotations.append(
                {"id": len(annotations) + 1, "image_id": i, "category_id": 1, "bbox": box, "area": box[2] * box[3]}
                | {"iscrowd": int(crowd)}
            )
        for box, score in zip(_xywh(prediction.boxes), prediction.scores.tolist(), strict=True):
            results.append({"image_id": i, "category_id": 1, "bbox": box, "score": score})
    coco = COCO()
    coco.dataset = {
        "images": [{"id": i} for i in range(len(targets))],
        "categories": [{"id": 1}],
        "annotations": annotations,
    }
    with contextlib.redirect_stdout(io.StringIO()):
        coco.createIndex()
        evaluation = COCOeval(coco, coco.loadRes(results), "bbox")
        evaluation.params.useCats = 0
        evaluation.params.maxDets = [10, 100, 1000]
        evaluation.evaluate()
        evaluation.accumulate()
    return evaluation.eval["recall"][:, 0, 0]


def _xywh(boxes):
    boxes = boxes.double().numpy()
    return np.concatenate([boxes[:, :2], boxes[:, 2:] - boxes[:, :2]], axis=1).tolist()


@pytest.mark.parametrize("seed", range(3))
def test_the_recalls_are_those_of_pycocotools_without_classes(seed):
    data = scene(seed)
    recall = pycocotools_recall(*data)
    expected = {"recall50": recall[0, 2], "recall70": recall[4, 2]}
    expected |= dict(zip(("AR10", "AR100", "AR1000"), recall.mean(0), strict=True))
    assert {name: values(*data)[name] for name in expected} == pytest.approx(expected, abs=1e-12)
    assert 0.1 < expected["AR10"] < expected["AR100"] < expected["AR1000"] < 0.9


def test_the_curve_rises_to_the_value():
    found = values(*scene(0))
    for name in ("recall50", "recall70"):
        curve = [found[f"{name}_at_{count}"] for count in (1, 2, 5, 10, 20, 50, 100, 200, 500, 1000, 2000)]
        assert curve == sorted(curve) and curve[0] < curve[-1] == found[name]


OBJECTS = Target(boxes=torch.tensor([[0.0, 0, 10, 10], [50, 50, 60, 60]]))


def propose(*boxes):
    return Prediction(boxes=torch.tensor(boxes).float().reshape(-1, 4), scores=torch.linspace(1, 0.5, len(boxes)))


def test_recall_by_hand():
    # IoU 0.6 with the first object: right at 0.5, 0.55 and 0.6.
    result = proposal_recall([propose([0, 0, 10, 6], [80, 80, 90, 90])], [OBJECTS])
    numbers = {name: estimate.value for name, estimate in result.values.items() if "_at_" not in name}
    assert numbers == pytest.approx({"recall50": 0.5, "recall70": 0, "AR10": 0.15, "AR100": 0.15, "AR1000": 0.15})
    assert result.per_image["recall50"].tolist() == [0.5]


def test_only_the_best_proposals_count():
    late = propose(*[[80, 80, 90, 90]] * 10, [0, 0, 10, 10])
    assert values([late], [OBJECTS])["AR10"] == 0
    assert values([late], [OBJECTS])["AR100"] == 0.5
    last = propose(*[[80, 80, 90, 90]] * 2000, [0, 0, 10, 10])
    assert values([last], [OBJECTS])["recall50"] == 0


def test_one_proposal_covers_one_object():
    twins = Target(boxes=OBJECTS.boxes[:1].repeat(2, 1))
    assert values([propose([0, 0, 10, 10])], [twins])["recall50"] == 0.5
    assert values([propose([0, 0, 10, 10], [0, 0, 10, 10])], [twins])["recall50"] == 1


@pytest.mark.parametrize("field", ["crowd", "ignored"])
def test_crowds_and_ignored_objects_need_not_be_covered(field):
    target = replace(OBJECTS, **{field: torch.tensor([False, True])})
    assert values([propose([0, 0, 10, 10])], [target])["recall50"] == 1


def test_objects_count_alike_whatever_image_they_are_on():
    empty = Target(boxes=torch.zeros(0, 4))
    one = Target(boxes=OBJECTS.boxes[:1])
    result = proposal_recall([propose(), propose([0, 0, 10, 10]), propose([0, 0, 1, 1])], [OBJECTS, one, empty])
    assert result.values["recall50"].value == pytest.approx(1 / 3)
    assert result.per_image["recall50"].nan_to_num(-1).tolist() == [0, 1, -1]
    nothing = proposal_recall([propose([0, 0, 1, 1])], [empty])
    assert nothing.values == {}


def test_intervals_surround_the_value():
    for estimate in proposal_recall(*scene(1, images=40, proposals=60)).values.values():
        assert 0 < estimate.low < estimate.value < estimate.high < 1


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"boxes": None}, "prediction of image 1: no boxes"),
        ({"scores": None}, "prediction of image 1: no scores"),
        ({"scores": torch.ones(2)}, "prediction of image 1: 2 scores for 1 boxes"),
        ({"boxes": torch.full((1, 4), float("nan"))}, "prediction of image 1: NaN or infinite boxes"),
    ],
)
def test_a_broken_prediction_is_named(change, message):
    good = propose([0, 0, 1, 1])
    with pytest.raises(ValueError, match=message):
        proposal_recall([good, replace(good, **change)], [OBJECTS] * 2)
