"""Ramps: a dataset whose depth is known because it was made of it."""

import hashlib

import torch
from torch import Generator, Tensor

from roibench.dataset import DatasetInfo
from roibench.structures import Input, Sample, Target

_SIZE = (40, 48)
_BLIND = 4  # columns at the left, which a stereo pair wouldn't know either


def ramp(height: int, width: int, nearest: float, farthest: float) -> Tensor:
    """Depth of a tilted plane, float32 [H, W]: `nearest` metres at the lower edge of the image, `farthest` at the upper
    one. Between them the reciprocal changes evenly, as in every image of a plane.
    """
    share = (torch.arange(height) + 0.5) / height
    return (1 / torch.lerp(torch.tensor(1 / farthest), torch.tensor(1 / nearest), share))[:, None].repeat(1, width)


class Ramps:
    """Twelve chequered ramps from 8 to 2 metres, each with three coloured boxes that face the camera."""

    unbounded = False

    def __init__(self, path: None, split: str) -> None:
        self.info = DatasetInfo("ramps", split, (), image_size=_SIZE, fields=frozenset({"depth"}))
        self._samples = [_sample(index) for index in range(12)]
        digest = hashlib.sha256()
        for one, target in self._samples:
            digest.update(one.image.numpy().tobytes() + target.get("depth").numpy().tobytes())
        self.hash = digest.hexdigest()

    def __len__(self) -> int:
        return len(self._samples)

    def __getitem__(self, index: int) -> Sample:
        return self._samples[index]


def _sample(index: int) -> Sample:
    generator = torch.Generator().manual_seed(index)
    rows, columns = (torch.arange(side) // 8 for side in _SIZE)
    image = (90 + 30 * ((rows[:, None] + columns) % 2)).to(torch.uint8).repeat(3, 1, 1)
    depth = ramp(*_SIZE, nearest=2.0, farthest=8.0)
    ground = depth[:, 0].clone()
    for _ in range(3):
        height, width = _integer(8, 16, generator), _integer(8, 16, generator)
        bottom, left = _integer(height, _SIZE[0], generator), _integer(0, _SIZE[1] - width, generator)
        face = slice(bottom - height, bottom), slice(left, left + width)
        in_front = depth[face] >= ground[bottom - 1]  # which is where the box stands
        depth[face] = torch.where(in_front, ground[bottom - 1], depth[face])
        colour = torch.randint(256, (3, 1, 1), generator=generator, dtype=torch.uint8)
        image[:, *face] = torch.where(in_front, colour, image[:, *face])
    depth[:, :_BLIND] = torch.nan
    return Sample(Input(f"ramp-{index}", image), Target(extra={"depth": depth}))


def _integer(low: int, high: int, generator: Generator) -> int:
    """low and high included."""
    return int(torch.randint(low, high + 1, (), generator=generator))
