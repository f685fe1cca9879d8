"""Localization: the class of the image, and the box of its main object."""

import pytest
import torch

from roibench.contract import NetworkContract
from roibench.model import TrainableModel
from roibench.specs import MetricSpec, Value
from roibench.structures import Prediction, Target
from roibench.task import Frame, TargetField, Task
from roibench.tasks.classification import CLASS_SCORES
from roibench.tasks.objects import BOXES, TRUE_BOXES, TRUE_LABELS


def check_main(value: object, frame: Frame) -> str | None:
    return None if isinstance(value, int) and value >= 0 else f"main is {value!r}; want the index of an object"


class LocalizerContract(NetworkContract):
    """What the localization task relies on, of a network that learns one object of each image."""

    def targets(self) -> list[Target]:
        boxes = torch.tensor([[20.0, 30.0, 90.0, 100.0], [5.0, 5.0, 25.0, 25.0]])
        labels = torch.tensor([0, 2])
        return [
            Target(boxes=boxes, labels=labels, main=0, image_label=0),
            Target(boxes=boxes, labels=labels, main=1, image_label=2),
        ]

    def empty_targets(self) -> list[Target]:
        """Images without a main object."""
        nothing = Target(boxes=torch.zeros(0, 4), labels=torch.zeros(0, dtype=torch.int64))
        return [nothing, nothing]

    def test_every_image_has_one_box_and_probabilities(self, eager: TrainableModel) -> None:
        for prediction in eager.predict(self.noise((128, 128), (1, 1), (3, 300))):
            assert prediction.boxes.dtype == torch.float32 and prediction.boxes.shape == (1, 4)
            assert prediction.class_scores.shape == (len(self.info.classes),)
            assert prediction.class_scores.sum().item() == pytest.approx(1, abs=1e-5)

    def test_an_image_alone_and_beside_others_of_any_size_gives_the_same(self, eager: TrainableModel) -> None:
        inputs = self.noise((70, 100), (128, 128), (9, 250), (400, 300))
        together = eager.predict(inputs)
        for one, beside in zip(inputs, together, strict=True):
            [alone] = eager.predict([one])
            assert torch.allclose(alone.boxes, beside.boxes, atol=1e-3 * max(one.image.shape))
            assert torch.allclose(alone.class_scores, beside.class_scores, atol=1e-5)


class Localization(Task):
    name = "localization"
    target_fields = (TRUE_BOXES, TRUE_LABELS, TargetField("main", check_main))
    prediction_fields = (BOXES, CLASS_SCORES)
    metrics = (
        MetricSpec(
            "localization_accuracy",
            name,
            "roibench.metrics.localization:localization_accuracy",
            (
                Value("accuracy50", ranks=True),
                Value("known_class50", shown=True),
                Value("MaxBoxAccV2", shown=True),
                Value("box_iou", shown=True),
            ),
        ),
    )

    contract = LocalizerContract

    def ground_truth(self, target: Target) -> Prediction:
        if target.main is None:
            return Prediction()
        kept = slice(target.main, target.main + 1)
        return Prediction(boxes=target.boxes[kept], labels=target.labels[kept])
