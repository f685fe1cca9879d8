"""Metrics, one file per task: pure functions of predictions and targets."""

from roibench.hookspecs import hookimpl
from roibench.specs import MetricSpec


@hookimpl
def register_metrics(register):
    register(MetricSpec("coco_ap", "detection", "roibench.metrics.detection:coco_ap"))
    register(MetricSpec("voc_ap", "detection", "roibench.metrics.detection:voc_ap"))
    register(MetricSpec("mean_iou", "semantic_segmentation", "roibench.metrics.semantic_segmentation:mean_iou"))
    register(MetricSpec("top_k_accuracy", "classification", "roibench.metrics.classification:top_k_accuracy"))
    register(
        MetricSpec("localization_accuracy", "localization", "roibench.metrics.localization:localization_accuracy")
    )
    register(
        MetricSpec("coco_mask_ap", "instance_segmentation", "roibench.metrics.instance_segmentation:coco_mask_ap")
    )
    register(MetricSpec("oks_ap", "keypoints", "roibench.metrics.keypoints:oks_ap"))
    register(MetricSpec("proposal_recall", "proposals", "roibench.metrics.proposals:proposal_recall"))
    register(MetricSpec("pointing_game", "attribution", "roibench.metrics.attribution:pointing_game"))
    register(MetricSpec("max_box_acc", "attribution", "roibench.metrics.attribution:max_box_acc"))
    faithfulness = "roibench.metrics.faithfulness:"
    for name in ("insertion_deletion", "parameter_randomization"):
        register(MetricSpec(name, "attribution", faithfulness + name, needs_probe=True))
