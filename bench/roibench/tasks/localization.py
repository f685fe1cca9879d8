"""Localization: the class of the image, and the box of its main object."""

from roibench.specs import MetricSpec, Value
from roibench.structures import Prediction, Target
from roibench.task import Frame, TargetField, Task
from roibench.tasks.classification import CLASS_SCORES
from roibench.tasks.objects import BOXES, TRUE_BOXES, TRUE_LABELS


def check_main(value: object, frame: Frame) -> str | None:
    return None if isinstance(value, int) and value >= 0 else f"main is {value!r}; want the index of an object"


class Localization(Task):
    name = "localization"
    target_fields = (TRUE_BOXES, TRUE_LABELS, TargetField("main", check_main))
    prediction_fields = (BOXES, CLASS_SCORES)
    metrics = (
        MetricSpec(
            "localization_accuracy",
            name,
            "roibench.metrics.localization:localization_accuracy",
            (Value("accuracy50", ranks=True), Value("known_class50", shown=True), Value("box_iou", shown=True)),
        ),
    )

    def ground_truth(self, target: Target) -> Prediction:
        if target.main is None:
            return Prediction()
        kept = slice(target.main, target.main + 1)
        return Prediction(boxes=target.boxes[kept], labels=target.labels[kept])
