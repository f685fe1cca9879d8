"""What is said of estimators of one box or one pose."""

from collections.abc import Sequence

from roibench.claim import Ok, Verdict, more_accurate


def box_per_class(records: Sequence[Ok]) -> Verdict:
    """The two differ in the last layer alone."""
    return more_accurate(records, "localizer_per_class", "localizer", "localization")


def heat_maps(records: Sequence[Ok]) -> Verdict:
    return more_accurate(records, "pose_heatmaps", "pose", "keypoints")


def absolute_distances(records: Sequence[Ok]) -> Verdict:
    """The two differ in the loss alone."""
    return more_accurate(records, "pose_l1", "pose", "keypoints")
