"""What is said of two-stage detectors."""

from collections.abc import Sequence

from roibench.claim import Ok, Verdict, every, faster, more_accurate


def two_stages(records: Sequence[Ok]) -> Verdict:
    accuracy = more_accurate(records, "faster_rcnn", "retinanet", "detection")
    return every([accuracy, faster(records, "retinanet", "faster_rcnn")])
