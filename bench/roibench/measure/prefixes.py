"""Prefixes of a dataset: its first images, in numbers of the series 1, 2, 5, 10, 20, 50 ..., so that cells that were
measured on different numbers of images have some in common.
"""

from itertools import count, takewhile

LEAST = 50  # images: an accuracy of fewer says little


def series(most: int) -> list[int]:
    """1, 2, 5, 10, 20, 50 ... up to `most`."""
    numbers = (digit * 10**exponent for exponent in count() for digit in (1, 2, 5))
    return list(takewhile(lambda number: number <= most, numbers))


def prefix(images: float) -> int:
    """How many are measured where so many could be: the next lower of the series. A few numbers that are far apart, so
    that a model is mostly measured on the same images.
    """
    return series(max(1, int(images)))[-1]


def prefixes(images: int) -> list[int]:
    """The prefixes of so many images that accuracies are compared over."""
    return [number for number in series(images - 1) if number >= LEAST]
