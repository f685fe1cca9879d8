"""What is said of planes."""

from roibench.claim import more_accurate


def ramps(records):
    return more_accurate(records, "ramp", "upright", "depth")
