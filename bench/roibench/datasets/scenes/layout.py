"""Lays out images: which objects they hold, and what of each can be seen.

Objects are placed from the front to the back, so that what an object shows is known when it is placed and never
changes: an object of which too little can be seen is not drawn, and everything drawn is labelled.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from roibench.datasets.scenes.integers import SINE_BITS, TURN, Draws, cosine, geometric, sine
from roibench.datasets.scenes.paint import Coat, choose_coat
from roibench.datasets.scenes.raster import PIXEL, Frame, Point, Window, count, rasterize
from roibench.datasets.scenes.shapes import CLASSES, OUTLINES, PERSON, pose

MAX_OBJECTS = 10
SIZES = (8, 72)  # pixels of an image of 128: the longer side of the upright object
ICON_SIZES = (24, 96)  # likewise: the longer side of the main object, turned as it is
MAX_DISTRACTORS = 3
MIN_VISIBLE_PIXELS = 16  # and
MIN_VISIBLE_SHARE = (3, 10)  # of the object's pixels, those beyond the image's border included
_TRIES = 8  # per object; a scene where they don't suffice has fewer objects
_DISTRACTOR_TRIES = 64  # per distractor; many are too large, or behind the main object


@dataclass(frozen=True, slots=True)
class Object:
    """An object before it is drawn.

    label: into CLASSES.
    frame: where it is.
    coat: what it looks like.
    window: as rasterize's.
    covered: as rasterize's.
    own: bool [h, w], the window's pixels of which it covers half or more.
    joints: of a person, in units.
    """

    label: int
    frame: Frame
    coat: Coat
    window: Window
    covered: np.ndarray
    own: np.ndarray
    joints: tuple[Point, ...]


class Layout(NamedTuple):
    """What sets one dataset's images apart from another's.

    place: lays out an image of size x size pixels: objects, front to back, and the instance map uint8 [size, size].
    stream: the first of three streams of random integers that only this layout draws from.
    """

    place: Callable[[Draws, int], tuple[list[Object], np.ndarray]]
    stream: int


def _place_scene(draws: Draws, size: int) -> tuple[list[Object], np.ndarray]:
    """As Layout.place: 1 to 10 objects anywhere, a crowd of one class among them in three of eight images or less."""
    planned = draws.between(1, MAX_OBJECTS)
    crowd = draws.between(3, planned) if planned >= 3 and draws.below(8) < 3 else 0
    sizes = geometric(SIZES[0] * PIXEL * size // 128, SIZES[1] * PIXEL * size // 128)
    crowd_label, crowd_size = draws.below(len(CLASSES)), sizes[draws.between(64, 224)]
    objects: list[Object] = []
    instances = np.zeros((size, size), np.uint8)
    tries = 0
    while len(objects) < planned and (tries < _TRIES * planned or not objects):
        if tries == _TRIES * planned:
            crowd = 0  # in a tiny image its objects may be too small ever to be shown
        tries += 1
        x, y = draws.below(size * PIXEL), draws.below(size * PIXEL)
        if len(objects) < crowd:
            label, side = crowd_label, crowd_size * draws.between(224, 288) >> 8
            if objects:
                x, y = _beside(objects[draws.below(len(objects))].frame, draws)
        else:
            label, side = draws.below(len(CLASSES)), sizes[draws.below(len(sizes))]
        one = make(label, x, y, side // 2, draws)
        if show(one, instances, len(objects) + 1):
            objects.append(one)
    return objects, instances


def _place_icon(draws: Draws, size: int) -> tuple[list[Object], np.ndarray]:
    """As Layout.place: one main object, whole and in front; in half of the images there are distractors, too.

    A distractor is of another class, and covers a quarter of what the main object does, or less.
    """
    low, high = (side * PIXEL * size // 128 for side in ICON_SIZES)
    sizes = geometric(low, high)
    label, distractors = draws.below(len(CLASSES)), draws.below(2) * draws.between(1, MAX_DISTRACTORS)
    while True:  # its class is fixed, so that the retries leave the classes balanced
        half = sizes[draws.below(len(sizes))] // 2
        x, y = draws.between(half, size * PIXEL - half), draws.between(half, size * PIXEL - half)
        main, instances = make(label, x, y, half, draws), np.zeros((size, size), np.uint8)
        whole = main.window.clip(size, size) == main.window
        if whole and show(main, instances, 1) and low <= _longer_side(instances) * PIXEL <= high:
            break
    objects, sizes = [main], geometric(half // 4, half)
    for _ in range(distractors):
        label_behind = (label + draws.between(1, len(CLASSES) - 1)) % len(CLASSES)
        for _ in range(_DISTRACTOR_TRIES):
            x, y, side = draws.below(size * PIXEL), draws.below(size * PIXEL), sizes[draws.below(len(sizes))]
            one = make(label_behind, x, y, side // 2, draws)
            if 4 * one.own.sum() <= main.own.sum() and show(one, instances, len(objects) + 1):
                objects.append(one)
                break
    return objects, instances


SCENES = Layout(_place_scene, stream=0)
ICONS = Layout(_place_icon, stream=3)


def _beside(neighbour: Frame, draws: Draws) -> Point:
    """A centre so near to the neighbour's that the boxes overlap: at 1/4 to 3/4 of its size, in any direction."""
    distance, angle = 2 * neighbour.half * draws.between(64, 192) >> 8, draws.below(TURN)
    return (
        neighbour.x + (distance * cosine(angle) >> SINE_BITS),
        neighbour.y + (distance * sine(angle) >> SINE_BITS),
    )


def _longer_side(instances: np.ndarray) -> int:
    """Of the box around everything in an instance map that isn't empty, in pixels."""
    return max(int(np.ptp(places)) + 1 for places in instances.nonzero())


def make(label: int, x: int, y: int, half: int, draws: Draws) -> Object:
    """An object of a given class, place and half size, in units; all else is random."""
    if label == PERSON:
        frame = Frame(x, y, half, draws.between(-20, 20))
        outline, joints = pose(draws)
    else:
        frame = Frame(x, y, half, draws.below(TURN))
        outline, joints = OUTLINES[CLASSES[label]], ()
    window, covered = rasterize(frame.place(outline))
    own = count(covered) >= 8
    return Object(label, frame, choose_coat(draws, half), window, covered, own, tuple(map(frame.point, joints)))


def show(one: Object, instances: np.ndarray, number: int) -> bool:
    """Enters an object into the map, behind those already there; returns False if too little of it can be seen.

    A pixel is an object's if it is among its own and of no object in front.
    """
    window = one.window.clip(*instances.shape)
    here = instances[window.top : window.bottom, window.left : window.right]
    seen = one.own[window.within(one.window)] & (here == 0)
    visible, (part, whole) = int(seen.sum()), MIN_VISIBLE_SHARE
    if visible < MIN_VISIBLE_PIXELS or visible * whole < int(one.own.sum()) * part:
        return False
    here[seen] = number
    return True
