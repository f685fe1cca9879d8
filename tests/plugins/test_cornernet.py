"""CornerNet through the doors that everybody uses, and its pooling and grouping by hand."""

from roibench.tasks.detection import DetectorContract


class TestCornerNet(DetectorContract):
    model = "cornernet"
