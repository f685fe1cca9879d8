"""Lays out one scene and renders it.

Objects are placed from the front to the back, so that what an object shows is known when it is placed and never
changes: an object of which too little can be seen is not drawn, and everything drawn is labelled.
"""

from dataclasses import dataclass

import numpy as np

from roibench.datasets.scenes.backgrounds import add_noise, background
from roibench.datasets.scenes.integers import SINE_BITS, TURN, Draws, cosine, geometric, sine
from roibench.datasets.scenes.paint import PALETTE, TEXTURES, Coat, choose_coat, lay
from roibench.datasets.scenes.raster import PIXEL, Frame, Point, Window, count, rasterize
from roibench.datasets.scenes.shapes import CLASSES, JOINTS, OUTLINES, PERSON, pose

SPLITS = ("train", "val")
MAX_OBJECTS = 10
SIZES = (8, 72)  # pixels of an image of 128: the longer side of the upright object
MIN_VISIBLE_PIXELS = 16  # and
MIN_VISIBLE_SHARE = (3, 10)  # of the object's pixels, those beyond the image's border included
_STREAMS = {"layout": 0, "background": 1, "noise": 2}
_TRIES = 8  # per object; a scene where they don't suffice has fewer objects
_MAX_NOISE = 24


# What is known of an object.
# label: into CLASSES.
# texture, colour: into TEXTURES and PALETTE.
# occluded_by: which objects cover a pixel that it would show.
# joints: of a person, x, y in units and visibility, 0 throughout where it is outside of the image.
OBJECT = np.dtype(
    [
        ("label", "u1"),
        ("texture", "u1"),
        ("colour", "u1"),
        ("occluded_by", "?", MAX_OBJECTS),
        ("joints", "<i4", (len(JOINTS), 3)),
    ]
)


@dataclass(frozen=True, slots=True)
class Scene:
    """A rendered scene of N objects, front to back.

    image: uint8 [3, H, W].
    instances: uint8 [H, W], 0 background, else 1 + the object whose pixel it is.
    objects: OBJECT [N].
    """

    image: np.ndarray
    instances: np.ndarray
    objects: np.ndarray


@dataclass(frozen=True, slots=True)
class _Object:
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


def render(split: str, index: int, size: int) -> Scene:
    """The scene split[index] of size x size pixels: a function of its arguments alone."""
    draws = {name: Draws(SPLITS.index(split), index, stream) for name, stream in _STREAMS.items()}
    objects, instances = _layout(draws["layout"], size)
    picture = background(split, size, draws["background"])
    table, colours = np.zeros(len(objects), OBJECT), tuple(PALETTE)
    for index in reversed(range(len(objects))):
        one, entry = objects[index], table[index]
        entry["label"], entry["texture"] = one.label, TEXTURES.index(one.coat.texture)
        entry["colour"] = colours.index(lay(picture, one.window, one.covered, one.frame, one.coat))
        entry["occluded_by"][_in_front(one, instances, index)] = True
        if one.joints:
            entry["joints"] = _see_joints(one.joints, instances, index)
    picture = add_noise(picture, draws["layout"].below(_MAX_NOISE + 1), draws["noise"])
    return Scene(picture, instances, table)


def _layout(draws: Draws, size: int) -> tuple[list[_Object], np.ndarray]:
    """Objects, front to back, and the instance map uint8 [size, size]."""
    planned = draws.between(1, MAX_OBJECTS)
    crowd = draws.between(3, planned) if planned >= 3 and draws.below(8) < 3 else 0
    sizes = geometric(SIZES[0] * PIXEL * size // 128, SIZES[1] * PIXEL * size // 128)
    crowd_label, crowd_size = draws.below(len(CLASSES)), sizes[draws.between(64, 224)]
    objects: list[_Object] = []
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
        one = _make(label, x, y, side // 2, draws)
        if _show(one, instances, len(objects) + 1):
            objects.append(one)
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
        outline, joints = pose(draws)
    else:
        frame = Frame(x, y, half, draws.below(TURN))
        outline, joints = OUTLINES[CLASSES[label]], ()
    window, covered = rasterize(frame.place(outline))
    own = count(covered) >= 8
    return _Object(label, frame, choose_coat(draws, half), window, covered, own, tuple(map(frame.point, joints)))


def _show(one: _Object, instances: np.ndarray, number: int) -> bool:
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


def _in_front(one: _Object, instances: np.ndarray, index: int) -> np.ndarray:
    """Which objects occlude a part of the index-th: a pixel of its own is theirs in the map."""
    window = one.window.clip(*instances.shape)
    here = instances[window.top : window.bottom, window.left : window.right]
    return np.setdiff1d(here[one.own[window.within(one.window)]], index + 1) - 1


def _see_joints(joints: tuple[Point, ...], instances: np.ndarray, index: int) -> list[tuple[int, int, int]]:
    """x, y in units and visibility: 1 where the joint's pixel is that of an object in front of the index-th, else 2.

    A joint on the outline, whose pixel is mostly what lies behind the person, is thus visible: nothing occludes it.
    """
    height, width = instances.shape
    return [
        (x, y, 1 if 0 < instances[y // PIXEL, x // PIXEL] <= index else 2)
        if 0 <= x < width * PIXEL and 0 <= y < height * PIXEL
        else (0, 0, 0)
        for x, y in joints
    ]
