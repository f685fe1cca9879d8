"""SSD through the doors that everybody uses, and against torchvision's."""

from roibench.tasks.detection import DetectorContract


class TestSSD(DetectorContract):
    model = "ssd"

    def targets(self):
        """The coarsest map learns from large objects alone."""
        return [super().targets()[0], self.objects((0, 0, 80, 80, 1), (84, 90, 106, 112, 0), (4, 6, 14, 15, 0))]
