"""Metrics, one file per task: pure functions of predictions and targets."""

from roibench.hookspecs import hookimpl
from roibench.specs import MetricSpec, Value


@hookimpl
def register_metrics(register):
    coco = _values("AP", "AP50 AP75", "APsmall APmedium APlarge AR1 AR10 AR100 ARsmall ARmedium ARlarge")
    oks = _values("AP", "AP50 AP75", "AR AR50 AR75 APmedium ARmedium APlarge ARlarge PCK")
    recall = _values("recall50", "recall70 AR10", "AR100 AR1000")
    localization = _values("accuracy50", "known_class50 box_iou")
    insertion_deletion = (
        Value("insertion", shown=True),
        Value("deletion", higher_is_better=False, shown=True),
        Value("faithfulness", plotted=True),
    )
    voc = (Value("VOC07_AP50"), Value("VOC_AP50"))
    max_box = (Value("MaxBoxAccV2", shown=True),)
    randomization = (Value("randomization", higher_is_better=False, shown=True),)
    for task, module, name, values in (
        ("detection", "detection", "coco_ap", coco),
        ("detection", "detection", "voc_ap", voc),
        ("semantic_segmentation", "semantic_segmentation", "mean_iou", _values("mIoU", "pixel_accuracy")),
        ("classification", "classification", "top_k_accuracy", _values("top1", "top5")),
        ("localization", "localization", "localization_accuracy", localization),
        ("instance_segmentation", "instance_segmentation", "coco_mask_ap", coco),
        ("keypoints", "keypoints", "oks_ap", oks),
        ("proposals", "proposals", "proposal_recall", recall),
        ("attribution", "attribution", "pointing_game", _values("pointing", "energy")),
        ("attribution", "faithfulness", "insertion_deletion", insertion_deletion),
        ("attribution", "attribution", "max_box_acc", max_box),
        ("attribution", "faithfulness", "parameter_randomization", randomization),
    ):
        place = f"roibench.metrics.{module}:{name}"
        register(MetricSpec(name, task, place, values, needs_probe=module == "faithfulness"))


def _values(ranks: str, shown: str, others: str = "") -> tuple[Value, ...]:
    """Fractions, the higher the better, by their names."""
    beside = [Value(name, shown=True) for name in shown.split()]
    return (Value(ranks, ranks=True), *beside, *map(Value, others.split()))
