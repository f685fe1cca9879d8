"""Metrics, one file per task: pure functions of predictions and targets."""

from roibench.hookspecs import hookimpl
from roibench.tasks import MetricSpec, Task


@hookimpl
def register_metrics(register):
    register(MetricSpec("coco_ap", Task.DETECTION, "roibench.metrics.detection:coco_ap"))
    register(MetricSpec("voc_ap", Task.DETECTION, "roibench.metrics.detection:voc_ap"))
    register(MetricSpec("mean_iou", Task.SEMANTIC_SEGMENTATION, "roibench.metrics.semantic_segmentation:mean_iou"))
    register(MetricSpec("top_k_accuracy", Task.CLASSIFICATION, "roibench.metrics.classification:top_k_accuracy"))
    register(
        MetricSpec("localization_accuracy", Task.LOCALIZATION, "roibench.metrics.localization:localization_accuracy")
    )
    register(
        MetricSpec("coco_mask_ap", Task.INSTANCE_SEGMENTATION, "roibench.metrics.instance_segmentation:coco_mask_ap")
    )
    register(MetricSpec("oks_ap", Task.KEYPOINTS, "roibench.metrics.keypoints:oks_ap"))
    register(MetricSpec("proposal_recall", Task.PROPOSALS, "roibench.metrics.proposals:proposal_recall"))
    register(MetricSpec("pointing_game", Task.ATTRIBUTION, "roibench.metrics.attribution:pointing_game"))
    register(MetricSpec("max_box_acc", Task.ATTRIBUTION, "roibench.metrics.attribution:max_box_acc"))
    faithfulness = "roibench.metrics.faithfulness:"
    for name in ("insertion_deletion", "parameter_randomization"):
        register(MetricSpec(name, Task.ATTRIBUTION, faithfulness + name, needs_probe=True))
