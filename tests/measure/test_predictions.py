"""The task's filter, and predictions on disk."""

import torch

from roibench.measure.predictions import load_predictions, same_predictions, save_predictions
from roibench.structures import Prediction
from roibench.tasks.classification import Classification
from roibench.tasks.detection import Detection
from roibench.tasks.proposals import Proposals


def test_the_filter_keeps_the_best_at_or_above_the_threshold_in_every_field():
    scores = torch.tensor([0.2, 0.9, 0.05, 0.04, 0.9])
    prediction = Prediction(
        boxes=torch.arange(20.0).reshape(5, 4),
        scores=scores,
        labels=torch.arange(5),
        class_scores=torch.ones(3),
    )
    kept = Detection().filter(prediction)
    assert kept.labels.tolist() == [1, 4, 0, 2]  # ties in their order
    assert torch.equal(kept.boxes, prediction.boxes[[1, 4, 0, 2]])
    assert torch.equal(kept.class_scores, prediction.class_scores)
    assert len(Proposals().filter(prediction).boxes) == 5  # which has no threshold


def test_tasks_without_a_filter_leave_predictions_alone():
    prediction = Prediction(class_scores=torch.ones(3))
    assert Classification().filter(prediction) is prediction


def test_whatever_a_later_round_gives_is_compared_without_an_error():
    first = [Prediction(boxes=torch.ones(2, 4))]
    others = (torch.ones(2, 4).numpy(), torch.ones(3, 4), torch.zeros(2, 4), None)
    assert same_predictions(first, [Prediction(boxes=torch.ones(2, 4))])
    assert not any(same_predictions(first, [Prediction(boxes=other)]) for other in others)
    assert not same_predictions(first, [{"boxes": torch.ones(2, 4)}])


def test_predictions_of_every_kind_and_size_come_back(tmp_path):
    predictions = [
        Prediction(
            boxes=torch.rand(3, 4),
            scores=torch.rand(3),
            labels=torch.tensor([1, 2, 0]),
            captions=("x", "", "é"),
            extra={"moods": ("calm", "", "é"), "depth": torch.rand(3, 5)},
        ),
        Prediction(boxes=torch.zeros(0, 4), scores=torch.zeros(0), labels=torch.zeros(0, dtype=torch.int64)),
        Prediction(semantic_map=torch.ones(4, 6, dtype=torch.uint8), masks=torch.ones(2, 4, 6, dtype=torch.bool)),
    ]
    save_predictions(tmp_path / "p.npz", ["a", "b", "c"], predictions)
    ids, loaded = load_predictions(tmp_path / "p.npz")
    assert ids == ["a", "b", "c"]
    for one, other in zip(predictions, loaded, strict=True):
        assert same_predictions([one], [other])
        assert all(a.dtype == other.get(n).dtype for n, a in one.known.items() if isinstance(a, torch.Tensor))
