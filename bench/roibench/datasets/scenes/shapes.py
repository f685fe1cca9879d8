"""The twelve classes as outlines, upright and centred: the longer side spans -1024..1024, x right, y down."""

from typing import NamedTuple

from roibench.datasets.scenes.integers import SINE_BITS, Draws, cosine, sine
from roibench.datasets.scenes.raster import Disc, Part, Point, Polygon

CLASSES = (
    "circle", "square", "triangle", "star", "ring", "cross", "crescent", "heart", "arrow", "hexagon", "ell", "person",
)  # fmt: skip
PERSON = CLASSES.index("person")

# Names and order are those of the Leeds Sports Pose dataset; right and left are the person's own.
JOINTS = (
    "right ankle", "right knee", "right hip", "left hip", "left knee", "left ankle",
    "right wrist", "right elbow", "right shoulder", "left shoulder", "left elbow", "left wrist",
    "neck", "head top",
)  # fmt: skip


def _polygon(*corners: Point) -> tuple[Part, ...]:
    return (Part(Polygon(corners)),)


OUTLINES: dict[str, tuple[Part, ...]] = {
    "circle": (Part(Disc((0, 0), 1024)),),
    "square": _polygon((-1024, -1024), (1024, -1024), (1024, 1024), (-1024, 1024)),
    "triangle": _polygon((0, -887), (1024, 887), (-1024, 887)),
    "star": _polygon(
        (0, -974), (278, -280), (1024, -230), (451, 249), (633, 974),
        (0, 577), (-633, 974), (-451, 249), (-1024, -230), (-278, -280),
    ),
    "ring": (Part(Disc((0, 0), 1024)), Part(Disc((0, 0), 560), subtract=True)),
    "cross": _polygon(
        (-330, -1024), (330, -1024), (330, -330), (1024, -330), (1024, 330), (330, 330),
        (330, 1024), (-330, 1024), (-330, 330), (-1024, 330), (-1024, -330), (-330, -330),
    ),
    "crescent": (Part(Disc((0, 0), 1024)), Part(Disc((480, 0), 860), subtract=True)),
    "heart": (
        Part(Disc((-480, -440), 544)),
        Part(Disc((480, -440), 544)),
        *_polygon((0, 1000), (-900, -94), (-480, -440), (0, -560), (480, -440), (900, -94)),
    ),
    "arrow": _polygon(
        (0, -1024), (760, -200), (290, -200), (290, 1024), (-290, 1024), (-290, -200), (-760, -200)
    ),
    "hexagon": _polygon((1024, 0), (512, 887), (-512, 887), (-1024, 0), (-512, -887), (512, -887)),
    "ell": _polygon((-700, -1024), (-180, -1024), (-180, 504), (700, 504), (700, 1024), (-700, 1024)),
}  # fmt: skip


class Body(NamedTuple):
    """A person in a pose.

    outline: its parts.
    joints: 14, in the order of JOINTS.
    """

    outline: tuple[Part, ...]
    joints: tuple[Point, ...]


_TORSO = _polygon((-300, -670), (300, -670), (200, 130), (-200, 130))
_UP = 128  # angles of the body count from straight down, clockwise as seen
_NECK = (0, -640)
_SHOULDERS = {-1: (-230, -590), 1: (230, -590)}  # -1 is the image's left: the person's right, for it faces us
_HIPS = {-1: (-120, 60), 1: (120, 60)}
_LEG, _ARM = (440, 110), (320, 88)  # length of each of the limb's two bones, and half its width


def pose(draws: Draws) -> Body:
    """A person who faces us, with limbs and head at random angles."""
    head = draws.between(-12, 12)
    parts = list(_TORSO)
    parts.append(Part(Disc(_reach(_NECK, _UP + head, 190), 200)))
    joints: dict[str, Point] = {"neck": _NECK, "head top": _reach(_NECK, _UP + head, 384)}
    for side, name in ((-1, "right"), (1, "left")):
        thigh = draws.between(-6, 40)
        shin = thigh - draws.between(-8, 40)
        upper = draws.between(4, 112)
        lower = upper + draws.between(-12, 72)
        bones = (
            ("hip", "knee", "ankle", _HIPS, _LEG, thigh, shin),
            ("shoulder", "elbow", "wrist", _SHOULDERS, _ARM, upper, lower),
        )
        for root, middle, end, origins, (length, width), first, second in bones:
            a = origins[side]
            b = _reach(a, -side * first, length)
            c = _reach(b, -side * second, length)
            parts += _bone(a, b, -side * first, width) + _bone(b, c, -side * second, width)
            joints |= {f"{name} {root}": a, f"{name} {middle}": b, f"{name} {end}": c}
    return Body(tuple(parts), tuple(joints[name] for name in JOINTS))


def _reach(start: Point, angle: int, length: int) -> Point:
    """The point at a distance from another; angle 0 is straight down, 64 is to the image's left."""
    return start[0] - (length * sine(angle) >> SINE_BITS), start[1] + (length * cosine(angle) >> SINE_BITS)


def _bone(start: Point, end: Point, angle: int, width: int) -> list[Part]:
    """A stroke with round ends; width is half its thickness."""
    x, y = width * cosine(angle) >> SINE_BITS, width * sine(angle) >> SINE_BITS
    (x0, y0), (x1, y1) = start, end
    stroke = Polygon(((x0 + x, y0 + y), (x1 + x, y1 + y), (x1 - x, y1 - y), (x0 - x, y0 - y)))
    return [Part(stroke), Part(Disc(start, width)), Part(Disc(end, width))]
