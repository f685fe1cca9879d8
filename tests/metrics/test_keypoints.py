import json
from dataclasses import replace

import numpy as np
import pytest
import torch

from roibench.metrics.keypoints import oks, oks_ap
from roibench.structures import Prediction, Target


def values(predictions, targets):
    return {name: estimate.value for name, estimate in oks_ap(predictions, targets).values.items()}


def scene(seed, images=25, joints=17):
    """Random persons, some of them without joints; predictions scatter around them; quarters of a pixel."""
    generator = np.random.default_rng(seed)
    predictions, targets = [], []
    for _ in range(images):
        people = int(generator.integers(0, 5))
        corner, side = generator.integers(0, 200, (people, 2)), generator.integers(20, 160, (people, 2))
        boxes = np.concatenate([corner, corner + side], 1).astype(np.float32)
        places = corner[:, None] + np.round(generator.random((people, joints, 2)) * side[:, None] * 4) / 4
        visibility = generator.integers(0, 3, (people, joints, 1)) * (generator.random((people, 1, 1)) < 0.8)
        seen = generator.integers(max(people, 1), size=7 * (people > 0))
        noise = generator.normal(0, generator.choice([1, 4, 20], (len(seen), 1, 1)), (len(seen), joints, 2))
        found = np.round((places[seen] + noise) * 4) / 4
        stray = generator.integers(0, 300, (2, joints, 2))
        keypoints = np.concatenate([found, stray]).astype(np.float32)
        scores = generator.permutation(1 << 12)[: len(keypoints)] / (1 << 12)
        predictions.append(
            Prediction(
                keypoints=torch.tensor(np.concatenate([keypoints, np.ones_like(keypoints[..., :1])], 2)),
                scores=torch.tensor(scores, dtype=torch.float32),
            )
        )
        targets.append(
            Target(
                keypoints=torch.tensor(np.concatenate([places * (visibility > 0), visibility], 2), dtype=torch.float32),
                boxes=torch.tensor(boxes),
                areas=torch.tensor(side.prod(1) * 0.5, dtype=torch.float32),
                crowd=torch.tensor(generator.random(people) < 0.1),
                ignored=torch.tensor(generator.random(people) < 0.1),
            )
        )
    return predictions, targets


def as_json(predictions, targets):
    annotations, results = [], []
    for i, (prediction, target) in enumerate(zip(predictions, targets, strict=True)):
        for k in range(len(target.boxes)):
            x1, y1, x2, y2 = target.boxes[k].tolist()
            annotations.append(
                {"id": len(annotations) + 1, "image_id": i, "category_id": 1, "bbox": [x1, y1, x2 - x1, y2 - y1]}
                | {"area": float(target.areas[k]), "keypoints": target.keypoints[k].flatten().tolist()}
                | {"num_keypoints": int((target.keypoints[k, :, 2] > 0).sum())}
                | {"iscrowd": int(target.crowd[k]), "ignored": int(target.ignored[k])}
            )
        for keypoints, score in zip(prediction.keypoints, prediction.scores, strict=True):
            entry = {"image_id": i, "category_id": 1, "score": float(score)}
            results.append(entry | {"keypoints": keypoints.flatten().tolist()})
    ground_truth = {
        "images": [{"id": i} for i in range(len(targets))],
        "categories": [{"id": 1}],
        "annotations": annotations,
    }
    return ground_truth, results


@pytest.mark.parametrize("seed", range(4))
def test_the_ten_numbers_are_those_of_pycocotools(coco_json_numbers, seed):
    data = scene(seed)
    numbers = values(*data)
    del numbers["PCK"]
    expected = coco_json_numbers(*as_json(*data), "keypoints")
    assert numbers == pytest.approx(expected, abs=1e-12)
    assert 0.05 < expected["AP"] < 0.9


def test_cocos_own_fixture(coco_fixtures, coco_json_numbers):
    folder = coco_fixtures / "tests/keypoints_dataset"
    ground_truth, results = (json.loads((folder / f"{name}_dataset.json").read_text()) for name in ("gt", "dt"))
    for result in results:
        del result["bbox"]  # COCO takes a prediction's area from its joints, unless it is given a box
    objects = ground_truth["annotations"]
    boxes = torch.tensor([a["bbox"] for a in objects], dtype=torch.float64)
    boxes[:, 2:] += boxes[:, :2]
    target = Target(
        keypoints=torch.tensor([a["keypoints"] for a in objects], dtype=torch.float64).reshape(-1, 17, 3),
        boxes=boxes,
        areas=torch.tensor([a["area"] for a in objects], dtype=torch.float64),
        crowd=torch.tensor([bool(a["iscrowd"]) for a in objects]),
    )
    prediction = Prediction(
        keypoints=torch.tensor([r["keypoints"] for r in results], dtype=torch.float64).reshape(-1, 17, 3),
        scores=torch.tensor([r["score"] for r in results], dtype=torch.float64),
    )
    numbers = values([prediction], [target])
    del numbers["PCK"]
    assert numbers == pytest.approx(coco_json_numbers(ground_truth, results, "keypoints"), abs=1e-9)


def person(*joints, box=(0, 0, 10, 20), **fields):
    return Target(keypoints=torch.tensor([joints], dtype=torch.float32), boxes=torch.tensor([box]).float(), **fields)


def guess(*people, scores=None):
    scores = torch.linspace(1, 0.5, len(people)) if scores is None else torch.tensor(scores)
    return Prediction(keypoints=torch.tensor(people, dtype=torch.float32), scores=scores)


def test_other_skeletons_have_one_sigma():
    true, boxes = np.array([[[0.0, 0, 2], [10, 0, 1], [5, 5, 0]]]), np.array([[0.0, 0, 10, 10]])
    likeness = oks(np.array([[[3.0, 4], [10, 0], [99, 99]]]), true, boxes, np.array([100.0]))
    assert likeness[0, 0] == pytest.approx((np.exp(-25 / (2 * 100 * (2 * 0.067) ** 2)) + 1) / 2)


def test_pck_by_hand():
    # The longer side is 20, so that 4 px are right and 4.1 are wrong; an absent joint doesn't count.
    target = person((5, 0, 2), (5, 10, 1), (5, 20, 2), (0, 0, 0))
    prediction = guess(((5, 4, 1), (5, 14.1, 1), (5, 20, 1), (0, 0, 1)))
    result = oks_ap([prediction], [target])
    assert result.values["PCK"].value == pytest.approx(2 / 3)
    assert result.artefacts["PCK per joint"] == pytest.approx([1, 0, 1, np.nan], nan_ok=True)


def test_pck_takes_as_many_predictions_as_there_are_objects_the_best_scored_ones():
    target, right, wrong = person((5, 5, 2)), ((5, 5, 1),), ((50, 50, 1),)
    assert values([guess(right, wrong)], [target])["PCK"] == 1
    assert values([guess(wrong, right)], [target])["PCK"] == 0
    pair = Target(
        keypoints=torch.tensor([[[5.0, 5, 2]], [[50, 50, 2]]]),
        boxes=torch.tensor([[0.0, 0, 10, 10], [45, 45, 55, 55]]),
    )
    assert values([guess(wrong, right)], [pair])["PCK"] == 1
    assert values([guess(wrong)], [pair])["PCK"] == 0.5
    crowd = replace(pair, crowd=torch.tensor([True, False]))
    assert values([guess(right, wrong)], [crowd])["PCK"] == 0


def test_what_never_has_joints_is_no_person():
    """A prediction on a ball is wrong; one on a person whose joints nobody annotated is neither."""
    boxes = torch.tensor([[0.0, 0, 10, 10], [100, 100, 110, 110]])
    keypoints = torch.tensor([[[5.0, 5, 2]], [[0, 0, 0]]])
    prediction = guess(((105, 105, 1),), ((5, 5, 1),))
    ball = Target(keypoints=keypoints, boxes=boxes, labels=torch.tensor([0, 1]))
    assert values([prediction], [ball])["AP"] == pytest.approx(0.5)
    unknown = replace(ball, labels=torch.tensor([0, 0]))
    assert values([prediction], [unknown])["AP"] == pytest.approx(1)
    assert values([prediction], [replace(ball, labels=None)])["AP"] == pytest.approx(1)


def test_without_people_there_is_no_value_and_without_predictions_it_is_0():
    nobody = Target(keypoints=torch.zeros(0, 3, 3), boxes=torch.zeros(0, 4))
    silence = Prediction(keypoints=torch.zeros(0, 3, 3), scores=torch.zeros(0))
    assert values([silence], [nobody]) == {}
    somebody = person((5, 5, 2), (1, 1, 2), (2, 2, 1), areas=torch.tensor([5000.0]))
    numbers = values([silence, silence], [nobody, somebody])
    assert set(numbers.values()) == {0.0}
    assert numbers.keys() == {"AP", "AP50", "AP75", "APmedium", "AR", "AR50", "AR75", "ARmedium", "PCK"}


def test_intervals_surround_the_value():
    estimates = oks_ap(*scene(0, images=60, joints=14)).values
    for name in ("AP", "AR", "PCK"):
        assert 0 < estimates[name].low < estimates[name].value < estimates[name].high < 1


@pytest.mark.parametrize(
    ("prediction", "target", "message"),
    [
        ({"keypoints": None}, {}, "prediction of image 1: no keypoints"),
        ({"keypoints": torch.zeros(1, 2, 3)}, {}, "prediction of image 1: 2 joints, the ground truth has 1"),
        ({"keypoints": torch.zeros(1, 1, 2)}, {}, r"prediction of image 1: keypoints are \[1, 1, 2\], want"),
        ({"keypoints": torch.full((1, 1, 3), float("inf"))}, {}, "prediction of image 1: NaN or infinite keypoints"),
        ({"scores": torch.ones(2)}, {}, "prediction of image 1: 2 scores for 1 keypoints"),
        ({}, {"boxes": torch.ones(2, 4)}, "target of image 1: 2 boxes for 1 keypoints"),
        ({"keypoints": torch.ones(1, 2, 3)}, {"keypoints": torch.ones(1, 2, 3)}, "targets of 1 and 2 joints"),
    ],
)
def test_what_is_broken_is_named(prediction, target, message):
    good, true = guess(((5, 5, 1),)), person((5, 5, 2))
    with pytest.raises(ValueError, match=message):
        oks_ap([good, replace(good, **prediction)], [true, replace(true, **target)])


def test_predictions_of_a_label_that_has_no_joints_do_not_count():
    """As in COCO, whose keypoints are those of persons: boxes of other things may come with zeros for joints."""
    predictions, targets = scene(0)
    ball = Target(
        boxes=torch.tensor([[5.0, 5.0, 40.0, 40.0]]),
        labels=torch.ones(1, dtype=torch.int64),
        keypoints=torch.zeros(1, 17, 3),
        areas=torch.tensor([900.0]),
        crowd=torch.zeros(1, dtype=torch.bool),
        ignored=torch.zeros(1, dtype=torch.bool),
    )
    balls = Prediction(
        keypoints=torch.zeros(3, 17, 3),
        scores=torch.tensor([0.99, 0.98, 0.97]),
        labels=torch.ones(3, dtype=torch.int64),
    )
    persons = [replace(one, labels=torch.zeros(len(one.boxes), dtype=torch.int64)) for one in targets]
    found = [replace(one, labels=torch.zeros(len(one.scores), dtype=torch.int64)) for one in predictions]
    beside = [
        Target.of({name: torch.cat([value, ball.get(name)]) for name, value in one.known.items()}) for one in persons
    ]
    stray = [
        Prediction.of({name: torch.cat([balls.get(name), value]) for name, value in one.known.items()}) for one in found
    ]
    assert values(stray, beside) == values(found, persons) == values(predictions, targets)
    assert values(stray, persons) != values(found, persons), "a label that no object has is a wrong one"
