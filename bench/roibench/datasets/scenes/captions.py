"""A sentence per object, such as "a small striped red star left of a blue ring", each word of which is true.

The size is that of what can be seen: the longer side of the box makes less than an eighth of the image in a small
object, a quarter or more in a large one. A solid object has no word for its texture; of two colours the named one is
what the stripes, dots or checks lie on. The other object is the nearest, by the gap between the boxes, then by the
distance of their centres.
"""

from typing import NamedTuple

import numpy as np

from roibench.datasets.scenes.paint import PALETTE, TEXTURES
from roibench.datasets.scenes.shapes import CLASSES

SIZES = ("small", "medium", "large")
TEXTURE_WORDS = dict(zip(TEXTURES, ("", "striped", "dotted", "checked"), strict=True))
# left of: the box ends where the other's begins, or before.
# behind: the other occludes a part of it.
# next to: none of the others, as a disc in the hole of a ring.
RELATIONS = ("left of", "right of", "above", "below", "in front of", "behind", "next to")
# By what they tell; of an object and its neighbour, the object's own come first.
WORD_KINDS = {
    "size": SIZES,
    "texture": tuple(filter(None, TEXTURE_WORDS.values())),
    "colour": tuple(PALETTE),
    "class": CLASSES,
    "relation": RELATIONS,
}
VOCABULARY = tuple(
    dict.fromkeys(" ".join(("a", "an", *SIZES, *TEXTURE_WORDS.values(), *PALETTE, *CLASSES, *RELATIONS)).split())
)
_COLOURS = tuple(PALETTE)

Box = tuple[int, int, int, int]


class _Object(NamedTuple):
    """What a caption needs to know of an object.

    name: of its class.
    texture: one of TEXTURES.
    colour: one of PALETTE.
    occluded_by: which of the scene's objects cover a part of it, by index.
    box: of what can be seen.
    """

    name: str
    texture: str
    colour: str
    occluded_by: list[bool]
    box: Box


def describe(objects: np.ndarray, boxes: np.ndarray, size: int) -> tuple[str, ...]:
    """Captions of N objects: compose.OBJECT [N], their boxes int [N, 4], the image's side; all in pixels."""
    columns = (objects[name].tolist() for name in ("label", "texture", "colour", "occluded_by"))
    described = [
        _Object(CLASSES[label], TEXTURES[texture], _COLOURS[colour], occluded_by, box)
        for label, texture, colour, occluded_by, box in zip(*columns, boxes.tolist(), strict=True)
    ]
    return tuple(_caption(index, described, size) for index in range(len(described)))


def _caption(index: int, objects: list[_Object], size: int) -> str:
    one = objects[index]
    x1, y1, x2, y2 = one.box
    side = max(x2 - x1, y2 - y1)
    extent = SIZES[int(8 * side >= size) + int(4 * side >= size)]
    words = ["a", extent, TEXTURE_WORDS[one.texture], one.colour, one.name]
    if others := [other for other in range(len(objects)) if other != index]:
        nearest = min(others, key=lambda other: _distances(one.box, objects[other].box))
        colour = objects[nearest].colour
        words += [
            _relation(index, nearest, objects),
            "an" if colour == "orange" else "a",
            colour,
            objects[nearest].name,
        ]
    return " ".join(filter(None, words))


def _relation(index: int, other: int, objects: list[_Object]) -> str:
    if objects[other].occluded_by[index]:
        return "in front of"
    if objects[index].occluded_by[other]:
        return "behind"
    gaps = _gaps(objects[index].box, objects[other].box)
    return RELATIONS[gaps.index(max(gaps))] if max(gaps) >= 0 else "next to"


def _gaps(box: Box, other: Box) -> tuple[int, int, int, int]:
    """How far a box lies to the left of another, to its right, above and below it; negative where it does not."""
    return other[0] - box[2], box[0] - other[2], other[1] - box[3], box[1] - other[3]


def _distances(box: Box, other: Box) -> tuple[int, int]:
    """Squares of the gap between two boxes and of their centres' distance, the latter in half pixels."""
    left, right, above, below = _gaps(box, other)
    across, down = (box[k] + box[k + 2] - other[k] - other[k + 2] for k in (0, 1))
    return max(0, left, right) ** 2 + max(0, above, below) ** 2, across**2 + down**2
