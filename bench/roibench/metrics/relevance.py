"""Maps of relevance: scaled to the unit interval, and the boxes around what stands out."""

import numpy as np
from scipy import ndimage

from roibench.metrics.matching import Booleans, Floats

_TOUCHING = np.ones((3, 3), bool)  # pixels that touch at a corner are one component


def components(above: Booleans) -> Floats:
    """The boxes [K, 4] of the components of a mask [H, W]."""
    numbered, count = ndimage.label(above, _TOUCHING)
    places = ndimage.find_objects(numbered, count)
    return np.array([(x.start, y.start, x.stop, y.stop) for y, x in places], np.float64).reshape(-1, 4)


def scaled(relevance: Floats) -> Floats:
    """A map between 0 and 1; all 0 where it is the same everywhere."""
    low, high = relevance.min(), relevance.max()
    return (relevance - low) / (high - low) if high > low else np.zeros_like(relevance)
