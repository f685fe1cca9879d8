"""What is said of networks that classify every pixel."""

from collections.abc import Sequence

from roibench.claim import Ok, Verdict, every, faster, more_accurate, takes_at_most

TASK = "semantic_segmentation"


def remembered_maxima(records: Sequence[Ok]) -> Verdict:
    return more_accurate(records, "upsampling_max_unpool", "upsampling_bed_of_nails", TASK)


def learned_way(records: Sequence[Ok]) -> Verdict:
    return more_accurate(records, "upsampling_transposed_4x4", "upsampling_bilinear", TASK)


def way_down(records: Sequence[Ok]) -> Verdict:
    names = "fcn", "fcn_full_resolution"
    return every([more_accurate(records, *names, TASK), faster(records, *names)])


def convolutional(records: Sequence[Ok]) -> Verdict:
    shared, alone = (f"sliding_window_segmenter shared={shared}" for shared in (1, 0))
    return takes_at_most(records, shared, alone, 0.1)
