"""Backgrounds: crops of photographs that scikit-image ships, under random light, blur and noise.

All of them are in the public domain or CC0, and PNG, whose decoding is exact. Splits crop from regions that share no
pixel. The regions hold no person and no drawn shape, for nothing on a background is labelled.
"""

import hashlib
from functools import cache
from importlib.resources import files
from io import BytesIO
from typing import NamedTuple

import numpy as np
from PIL import Image

from roibench.datasets.scenes.integers import Draws
from roibench.datasets.scenes.raster import Window

_TEST_ROWS = 132  # a crop for an image of 128, with what blurring takes


class Photograph(NamedTuple):
    """A photograph that scikit-image ships.

    name: of the file in skimage/data.
    sha256: of the file, hex.
    train_and_test: the pixels that these two splits may show.
    val: likewise.
    """

    name: str
    sha256: str
    train_and_test: Window
    val: Window

    def window(self, split: str) -> Window:
        """The pixels that a split may show. Test has the lowest rows of what it shares with train, at most half."""
        if split == "val":
            return self.val
        shared = self.train_and_test
        border = shared.bottom - min(_TEST_ROWS, (shared.bottom - shared.top) // 2)
        return shared._replace(top=border) if split == "test" else shared._replace(bottom=border)


PHOTOGRAPHS = (
    Photograph(  # Eileen Collins's suit, and a space shuttle's model; NASA, public domain
        "astronaut.png",
        "88431cd9653ccd539741b555fb0a46b61558b301d4110412b5bc28b5e3ea6cb5",
        train_and_test=Window(0, 210, 350, 512),
        val=Window(350, 0, 512, 512),
    ),
    Photograph(  # CC0Textures, CC0
        "brick.png",
        "7966caf324f6ba843118d98f7a07746d22f6a343430add0233eca5f6eaaa8fcf",
        train_and_test=Window(0, 0, 350, 512),
        val=Window(350, 0, 512, 512),
    ),
    Photograph(  # a lawn; then the skyline behind it; Lav Varshney, CC0
        "camera.png",
        "b0793d2adda0fa6ae899c03989482bff9a42d3d5690fc7e3648f2795d730c23a",
        train_and_test=Window(290, 280, 512, 512),
        val=Window(300, 60, 512, 280),
    ),
    Photograph(  # Chelsea the cat; Stefan van der Walt, CC0
        "chelsea.png",
        "596aa1e7cb875eb79f437e310381d26b338a81c2da23439704a73c4651e8c4bb",
        train_and_test=Window(0, 0, 290, 300),
        val=Window(290, 0, 451, 300),
    ),
    Photograph(  # a cup on a table; Rachel Michetti, CC0
        "coffee.png",
        "cc02f8ca188b167c775a7101b5d767d1e71792cf762c33d6fa15a4599b5a8de7",
        train_and_test=Window(0, 0, 430, 400),
        val=Window(430, 0, 600, 400),
    ),
    Photograph(  # linolafett, CC0
        "grass.png",
        "b6b6022426b38936c43a4ac09635cd78af074e90f42ffa8227ac8b7452d39f89",
        train_and_test=Window(0, 0, 350, 512),
        val=Window(350, 0, 512, 512),
    ),
    Photograph(  # CC0Textures, CC0
        "gravel.png",
        "c48615b451bf1e606fbd72c0aa9f8cc0f068ab7111ef7d93bb9b0f2586440c12",
        train_and_test=Window(0, 0, 350, 512),
        val=Window(350, 0, 512, 512),
    ),
)


def background(split: str, size: int, draws: Draws) -> np.ndarray:
    """A random background: uint8 [3, size, size]."""
    photograph = draws.below(len(PHOTOGRAPHS))
    passes = draws.below(3)
    region = _region(split, photograph)
    crop = _crop(region, size + 2 * passes, draws).astype(np.int32)
    for _ in range(passes):
        crop = _blur(crop)
    light = draws.between(128, 288)
    gain = np.array([light + draws.between(-48, 48) for _ in range(3)], np.int32)[:, None, None]
    offset = draws.between(-16, 32)
    return np.clip((crop * gain >> 8) + offset, 0, 255).astype(np.uint8)


def add_noise(picture: np.ndarray, amplitude: int, draws: Draws) -> np.ndarray:
    """The picture (uint8) with noise of a triangular distribution, at most `amplitude` either way."""
    octets = draws.octets(2 * picture.size).reshape(2, *picture.shape).astype(np.int16)
    noise = ((octets[0] + octets[1] - 255) * np.int16(amplitude) + 128) >> 8
    return np.clip(picture + noise, 0, 255).astype(np.uint8)


@cache
def _region(split: str, index: int) -> np.ndarray:
    """The pixels of one photograph that the split may show: uint8 [3, h, w]."""
    photograph = PHOTOGRAPHS[index]
    data = (files("skimage") / "data" / photograph.name).read_bytes()
    found = hashlib.sha256(data).hexdigest()
    if found != photograph.sha256:
        raise RuntimeError(
            f"scikit-image's {photograph.name} has SHA-256 {found}, Scenes needs {photograph.sha256}: "
            "install the scikit-image that RoIBench requires"
        )
    window = photograph.window(split)
    pixels = np.asarray(Image.open(BytesIO(data)).convert("RGB"))
    return np.ascontiguousarray(pixels[window.top : window.bottom, window.left : window.right].transpose(2, 0, 1))


def _crop(region: np.ndarray, size: int, draws: Draws) -> np.ndarray:
    """A random square of the region, mirrored and turned at random; a region too small is continued mirrored."""
    _, height, width = region.shape
    top, left = draws.below(max(1, height - size + 1)), draws.below(max(1, width - size + 1))
    rows, columns = (_mirror(np.arange(start, start + size), n) for start, n in ((top, height), (left, width)))
    if draws.below(2):
        columns = columns[::-1]
    if draws.below(2):
        rows = rows[::-1]
    crop = region[:, rows[:, None], columns[None, :]]
    return crop.transpose(0, 2, 1) if draws.below(2) else crop


def _mirror(index: np.ndarray, length: int) -> np.ndarray:
    index = index % (2 * length)
    return np.minimum(index, 2 * length - 1 - index)


def _blur(picture: np.ndarray) -> np.ndarray:
    """[1 2 1] / 4 along both axes; the border of one pixel is lost."""
    rows = picture[:, :-2] + 2 * picture[:, 1:-1] + picture[:, 2:]
    return (rows[:, :, :-2] + 2 * rows[:, :, 1:-1] + rows[:, :, 2:] + 8) >> 4
