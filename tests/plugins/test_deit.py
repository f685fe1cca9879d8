"""DeiT through the doors that everybody uses: its teacher, its second token, its two heads."""

from roibench.tasks.classification import ClassifierContract


class TestDeiT(ClassifierContract):
    model = "deit"
