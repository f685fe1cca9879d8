"""CenterNet through the doors that everybody uses, and its targets by hand."""

from roibench.tasks.detection import DetectorContract


class TestCenterNet(DetectorContract):
    model = "centernet"
