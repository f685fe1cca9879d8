"""The task's cut, and predictions on disk."""

import torch

from roibench.measure.predictions import cut, load_predictions, same_predictions, save_predictions
from roibench.structures import Prediction
from roibench.task import RULES, Task, TaskRules


def test_the_cut_keeps_the_best_at_or_above_the_threshold_in_every_field():
    scores = torch.tensor([0.2, 0.9, 0.05, 0.04, 0.9])
    prediction = Prediction(
        boxes=torch.arange(20.0).reshape(5, 4),
        scores=scores,
        labels=torch.arange(5),
        captions=("a", "b", "c", "d", "e"),
        class_scores=torch.ones(3),
    )
    kept = cut(prediction, RULES[Task.DETECTION])
    assert kept.labels.tolist() == [1, 4, 0, 2]  # ties in their order
    assert kept.captions == ("b", "e", "a", "c")
    assert torch.equal(kept.boxes, prediction.boxes[[1, 4, 0, 2]])
    assert torch.equal(kept.class_scores, prediction.class_scores)
    assert len(cut(prediction, TaskRules((), (), max_detections=2)).boxes) == 2


def test_tasks_without_a_cut_leave_predictions_alone():
    prediction = Prediction(class_scores=torch.ones(3))
    assert cut(prediction, RULES[Task.CLASSIFICATION]) is prediction


def test_whatever_a_later_round_gives_is_compared_without_an_error():
    first = [Prediction(boxes=torch.ones(2, 4))]
    others = (torch.ones(2, 4).numpy(), torch.ones(3, 4), torch.zeros(2, 4), None)
    assert same_predictions(first, [Prediction(boxes=torch.ones(2, 4))])
    assert not any(same_predictions(first, [Prediction(boxes=other)]) for other in others)
    assert not same_predictions(first, [{"boxes": torch.ones(2, 4)}])


def test_predictions_of_every_kind_and_size_come_back(tmp_path):
    predictions = [
        Prediction(
            boxes=torch.rand(3, 4), scores=torch.rand(3), labels=torch.tensor([1, 2, 0]), captions=("x", "", "é")
        ),
        Prediction(boxes=torch.zeros(0, 4), scores=torch.zeros(0), labels=torch.zeros(0, dtype=torch.int64)),
        Prediction(semantic_map=torch.ones(4, 6, dtype=torch.uint8), masks=torch.ones(2, 4, 6, dtype=torch.bool)),
    ]
    save_predictions(tmp_path / "p.npz", ["a", "b", "c"], predictions)
    ids, loaded = load_predictions(tmp_path / "p.npz")
    assert ids == ["a", "b", "c"]
    for one, other in zip(predictions, loaded, strict=True):
        for name in Prediction.__dataclass_fields__:
            before, after = getattr(one, name), getattr(other, name)
            if isinstance(before, torch.Tensor):
                assert torch.equal(before, after) and before.dtype == after.dtype
            else:
                assert before == after
