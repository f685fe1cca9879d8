"""Object proposals: boxes that may hold an object, best first, without a class."""

from roibench.specs import MetricSpec, Value
from roibench.structures import Prediction, Target
from roibench.task import Task
from roibench.tasks.objects import BOXES, SCORES, TRUE_BOXES, true_objects


class Proposals(Task):
    name = "proposals"
    target_fields = (TRUE_BOXES,)
    prediction_fields = (BOXES, SCORES)
    max_detections = 1000
    metrics = (
        MetricSpec(
            "proposal_recall",
            name,
            "roibench.metrics.proposals:proposal_recall",
            (
                Value("recall50", ranks=True),
                Value("recall70", shown=True),
                Value("AR10", shown=True),
                Value("AR100"),
                Value("AR1000"),
            ),
        ),
    )

    def ground_truth(self, target: Target) -> Prediction:
        return true_objects(self.prediction_fields, target)
