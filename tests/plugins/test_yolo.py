"""YOLO through the doors that everybody uses, and its tensor and its loss by hand."""

from roibench.tasks.detection import DetectorContract


class TestYOLO(DetectorContract):
    model = "yolo"
