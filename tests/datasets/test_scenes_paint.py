"""Textures against their definitions, and colours that can be told from what they lie on."""

import numpy as np
import pytest

from roibench.datasets.scenes.integers import Draws
from roibench.datasets.scenes.paint import PALETTE, TEXTURES, Coat, _distance, _pattern, choose_coat, lay
from roibench.datasets.scenes.raster import PIXEL, Disc, Frame, Part, Window, count, rasterize

PITCH = 16  # pixels


def textured(texture: str, x: float, y: float) -> bool:
    """Whether a point, in periods from the object's origin, shows the second colour."""
    x, y = x % 1, y % 1
    return {
        "stripes": x >= 0.5,
        "checks": (x >= 0.5) != (y >= 0.5),
        "dots": np.hypot(x - 0.5, y - 0.5) <= 84 / 256,
    }[texture]


@pytest.mark.parametrize("texture", [texture for texture in TEXTURES if texture != "solid"])
@pytest.mark.parametrize("turn", [0, 64, 23])
def test_a_texture_turns_with_its_object(texture, turn):
    frame, window = Frame(5 * PIXEL, -3 * PIXEL, 100, turn), Window(-20, -20, 20, 20)
    found = _pattern(Coat(texture, PALETTE, 1, PITCH * PIXEL), frame, window)
    angle = 2 * np.pi * turn / 256
    wrong = 0
    for row, y in enumerate(np.arange(-20, 20, 0.25) + 0.125):
        for column, x in enumerate(np.arange(-20, 20, 0.25) + 0.125):
            across = ((x - 5) * np.cos(angle) + (y + 3) * np.sin(angle)) / PITCH
            down = ((y + 3) * np.cos(angle) - (x - 5) * np.sin(angle)) / PITCH
            wrong += textured(texture, across, down) != found[row, column]
    assert wrong <= 0.02 * found.size, "integers differ from the definition at most along the edges"


def test_small_objects_are_solid_and_large_ones_show_two_periods():
    for half, textures in ((5 * PIXEL, {"solid"}), (6 * PIXEL, set(TEXTURES)), (36 * PIXEL, set(TEXTURES))):
        coats = [choose_coat(Draws(0, index, 0), half) for index in range(300)]
        assert {coat.texture for coat in coats} == textures
        assert all(coat.pitch <= half for coat in coats if coat.texture != "solid")


@pytest.mark.parametrize("ground", [*PALETTE.values(), (128, 128, 128), (0, 0, 0), (255, 255, 255)])
def test_an_object_stands_out_from_what_it_lies_on(ground):
    window, covered = rasterize((Part(Disc((20 * PIXEL, 20 * PIXEL), 9 * PIXEL)),))
    inside = np.zeros((40, 40), bool)
    inside[window.top : window.bottom, window.left : window.right] = count(covered) == 16
    for index in range(60):
        picture = np.empty((3, 40, 40), np.uint8)
        picture[:] = np.array(ground)[:, None, None]
        coat = choose_coat(Draws(1, index, 0), 9 * PIXEL)
        name = lay(picture, window, covered, Frame(20 * PIXEL, 20 * PIXEL, 9 * PIXEL, 0), coat)
        seen = {tuple(colour) for colour in picture[:, inside].T.tolist()}
        own = [colour for colour in coat.colours.values() if colour in seen]
        assert coat.colours[name] in own
        assert _distance(coat.colours[name], ground) >= 160
        if coat.texture == "solid":
            assert len(seen) == 1
        else:
            assert any(_distance(a, b) >= 160 for a in own for b in own)
        assert (picture[:, 0] == np.array(ground)[:, None]).all(), "nothing is painted outside"
