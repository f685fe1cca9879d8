"""Localizers through the doors that everybody uses; their losses against torchvision's and torch's."""

from roibench.tasks.localization import LocalizerContract


class TestLocalizer(LocalizerContract):
    model = "localizer"


class TestLocalizerPerClass(LocalizerContract):
    model = "localizer_per_class"
