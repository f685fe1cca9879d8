"""Receptive fields, exactly: which pixels a location of a map depends on."""

from collections.abc import Callable
from typing import NamedTuple

import torch
from torch import Tensor


class ReceptiveField(NamedTuple):
    """Of a map [h, w].

    rows: int64 [h, 2], the first and the last row of pixels that locations of a row depend on, -1 for none.
    columns: [w, 2], likewise.
    """

    rows: Tensor
    columns: Tensor

    def box(self, row: int, column: int) -> tuple[int, int, int, int]:
        """xyxy, in pixels of the image: what a location sees."""
        (top, bottom), (left, right) = self.rows[row].tolist(), self.columns[column].tolist()
        return left, top, right + 1, bottom + 1


@torch.no_grad()
def receptive_field(maps: Callable[[Tensor], Tensor], size: tuple[int, int], at_once: int = 16) -> ReceptiveField:
    """Of what gives maps [B, D, h, w] of images [B, 3, *size].

    No layer is looked at: a row of NaN goes through the image, and whatever becomes NaN depends on it. Convolutions,
    normalisations, ReLUs, poolings and sums hand NaN on; attention makes all of it NaN, as it should.
    """
    height, width = size
    found = [_reached(maps, (height, width), axis, at_once) for axis in (0, 1)]
    return ReceptiveField(*found)


def _reached(maps: Callable[[Tensor], Tensor], size: tuple[int, int], axis: int, at_once: int) -> Tensor:
    """[locations along an axis, 2]: the first and the last line of pixels that reach each."""
    reached = []
    for lines in torch.arange(size[axis]).split(at_once):
        images = torch.zeros(len(lines), 3, *size)
        for image, line in zip(images, lines.tolist(), strict=True):
            image.select(1 + axis, line).fill_(torch.nan)
        reached.append(maps(images).isnan().any(1).any(2 - axis))
    depends = torch.cat(reached)  # [lines, locations]
    first, last = depends.int().argmax(0), len(depends) - 1 - depends.flip(0).int().argmax(0)
    none = ~depends.any(0)
    return torch.stack([first.masked_fill(none, -1), last.masked_fill(none, -1)], 1)
