"""R-FCN through the doors that everybody uses, and its votes against torchvision's."""

from roibench.tasks.detection import DetectorContract


class TestRFCN(DetectorContract):
    model = "rfcn"
