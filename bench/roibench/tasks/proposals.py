"""Object proposals: boxes that may hold an object, best first, without a class."""

from roibench.specs import MetricSpec, Value
from roibench.tasks.objects import BOXES, SCORES, TRUE_BOXES, ObjectTask


class Proposals(ObjectTask):
    name = "proposals"
    target_fields = (TRUE_BOXES,)
    prediction_fields = (BOXES, SCORES)
    score_threshold = None
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
