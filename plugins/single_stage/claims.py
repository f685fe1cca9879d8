"""What is said of single-stage detectors."""

from collections.abc import Sequence

from roibench.claim import Ok, Verdict, more_accurate


def focal_loss(records: Sequence[Ok]) -> Verdict:
    """The two differ in the loss alone."""
    return more_accurate(records, "retinanet", "retinanet_cross_entropy", "detection")
