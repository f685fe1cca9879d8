"""Renders one scene: its background, its objects from the back to the front, its noise."""

from dataclasses import dataclass

import numpy as np

from roibench.datasets.scenes.backgrounds import add_noise, background
from roibench.datasets.scenes.integers import Draws
from roibench.datasets.scenes.layout import MAX_OBJECTS, SCENES, Layout, Object
from roibench.datasets.scenes.paint import PALETTE, TEXTURES, lay
from roibench.datasets.scenes.raster import PIXEL, Point
from roibench.datasets.scenes.shapes import JOINTS

SPLITS = ("train", "val", "test")
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


def render(split: str, index: int, size: int, layout: Layout = SCENES) -> Scene:
    """The scene split[index] of size x size pixels: a function of its arguments alone."""
    places, ground, noise = (Draws(SPLITS.index(split), index, layout.stream + k) for k in range(3))
    objects, instances = layout.place(places, size)
    picture = background(split, size, ground)
    table, colours = np.zeros(len(objects), OBJECT), tuple(PALETTE)
    for index in reversed(range(len(objects))):
        one, entry = objects[index], table[index]
        entry["label"], entry["texture"] = one.label, TEXTURES.index(one.coat.texture)
        entry["colour"] = colours.index(lay(picture, one.window, one.covered, one.frame, one.coat))
        entry["occluded_by"][_in_front(one, instances, index)] = True
        if one.joints:
            entry["joints"] = _see_joints(one.joints, instances, index)
    picture = add_noise(picture, places.below(_MAX_NOISE + 1), noise)
    return Scene(picture, instances, table)


def _in_front(one: Object, instances: np.ndarray, index: int) -> np.ndarray:
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
