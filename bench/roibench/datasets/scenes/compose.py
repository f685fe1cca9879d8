"""Lays out one scene and renders it.

Objects are placed from the front to the back, so that what an object shows is known when it is placed and never
changes: an object of which too little can be seen is not drawn, and everything drawn is labelled.
"""

from dataclasses import dataclass

import numpy as np

from roibench.datasets.scenes.backgrounds import add_noise, background
from roibench.datasets.scenes.integers import SINE_BITS, TURN, Draws, cosine, geometric, sine
from roibench.datasets.scenes.paint import Coat, choose_coat, lay
from roibench.datasets.scenes.raster import PIXEL, Frame, Point, Window, count, rasterize
from roibench.datasets.scenes.shapes import CLASSES, OUTLINES, PERSON, pose

SPLITS = ("train", "val")
MAX_OBJECTS = 10
SIZES = (8, 72)  # pixels of an image of 128: the longer side of the upright object
MIN_VISIBLE_PIXELS = 16  # and
MIN_VISIBLE_SHARE = (3, 10)  # of the object's pixels, those beyond the image's border included
_STREAMS = {"layout": 0, "background": 1, "noise": 2}
_TRIES = 8  # per object; a scene where they don't suffice has fewer objects
_MAX_NOISE = 24


@dataclass(frozen=True, slots=True)
class Scene:
    """A rendered scene of N objects, front to back.

    image: uint8 [3, H, W]. instances: uint8 [H, W], 0 background, else 1 + the object whose pixel it is. labels: [N].
    """

    image: np.ndarray
    instances: np.ndarray
    labels: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class _Object:
    """label, where it is, what it looks like; window and covered as rasterize's."""

    label: int
    frame: Frame
    coat: Coat
    window: Window
    covered: np.ndarray


def render(split: str, index: int, size: int) -> Scene:
    """The scene split[index] of size x size pixels: a function of its arguments alone."""
    draws = {name: Draws(SPLITS.index(split), index, stream) for name, stream in _STREAMS.items()}
    objects, instances = _layout(draws["layout"], size)
    picture = background(split, size, draws["background"])
    for thing in reversed(objects):
        lay(picture, thing.window, thing.covered, thing.frame, thing.coat)
    picture = add_noise(picture, draws["layout"].below(_MAX_NOISE + 1), draws["noise"])
    return Scene(picture, instances, tuple(thing.label for thing in objects))


def _layout(draws: Draws, size: int) -> tuple[list[_Object], np.ndarray]:
    """Objects, front to back, and the instance map uint8 [size, size]."""
    wanted = draws.between(1, MAX_OBJECTS)
    crowd = draws.between(3, wanted) if wanted >= 3 and draws.below(8) < 3 else 0
    sizes = geometric(SIZES[0] * PIXEL * size // 128, SIZES[1] * PIXEL * size // 128)
    crowd_label, crowd_size = draws.below(len(CLASSES)), sizes[draws.between(64, 224)]
    objects: list[_Object] = []
    instances = np.zeros((size, size), np.uint8)
    tries = 0
    while len(objects) < wanted and (tries < _TRIES * wanted or not objects):
        tries += 1
        x, y = draws.below(size * PIXEL), draws.below(size * PIXEL)
        if len(objects) < crowd:
            label, side = crowd_label, crowd_size * draws.between(224, 288) >> 8
            if objects:
                x, y = _beside(objects[draws.below(len(objects))].frame, draws)
        else:
            label, side = draws.below(len(CLASSES)), sizes[draws.below(len(sizes))]
        thing = _make(label, x, y, side // 2, draws)
        if _show(thing, instances, len(objects) + 1):
            objects.append(thing)
    return objects, instances


def _beside(neighbour: Frame, draws: Draws) -> Point:
    """A centre so near to the neighbour's that the boxes overlap: at 1/4 to 3/4 of its size, in any direction."""
    distance, angle = 2 * neighbour.half * draws.between(64, 192) >> 8, draws.below(TURN)
    return (
        neighbour.x + (distance * cosine(angle) >> SINE_BITS),
        neighbour.y + (distance * sine(angle) >> SINE_BITS),
    )


def _make(label: int, x: int, y: int, half: int, draws: Draws) -> _Object:
    if label == PERSON:
        frame = Frame(x, y, half, draws.between(-20, 20))
        outline = pose(draws).outline
    else:
        frame = Frame(x, y, half, draws.below(TURN))
        outline = OUTLINES[CLASSES[label]]
    window, covered = rasterize(frame.place(outline))
    return _Object(label, frame, choose_coat(draws, half), window, covered)


def _show(thing: _Object, instances: np.ndarray, number: int) -> bool:
    """Enters an object into the map, behind those already there; returns False if too little of it can be seen.

    A pixel is an object's if the object covers half of it or more and no object in front does.
    """
    own = count(thing.covered) >= 8
    window = thing.window.clip(*instances.shape)
    here = instances[window.top : window.bottom, window.left : window.right]
    seen = own[window.within(thing.window)] & (here == 0)
    visible, (part, whole) = int(seen.sum()), MIN_VISIBLE_SHARE
    if visible < MIN_VISIBLE_PIXELS or visible * whole < int(own.sum()) * part:
        return False
    here[seen] = number
    return True
