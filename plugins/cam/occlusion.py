"""Occlusion (Zeiler and Fergus 2013, arXiv 1311.2901, section 4.2): what the score loses behind a grey patch.

The patch goes over the image step by step; a pixel's relevance is the mean loss of the patches that cover it. The
model is asked for nothing but its scores.
"""

from collections.abc import Iterator, Mapping
from dataclasses import replace
from typing import Any

import torch
from torch import Tensor, nn

from roibench.dataset import DatasetInfo
from roibench.plugins.cam.explainer import Explainable
from roibench.plugins.cam.pixels import Asked, PixelExplainer

GREY = 0.0  # the mean colour, as pixels are normalised
AT_ONCE = 32  # images behind patches


class Occlusion(PixelExplainer):
    """patch: its side. step: how far it is moved. Both in pixels of what the network sees."""

    def __init__(self, inner: Explainable, patch: int = 24, step: int = 12) -> None:
        super().__init__(inner)
        self.patch, self.step = patch, step

    def relevance(self, asked: Asked) -> Tensor:
        pixels = asked.batch.pixels
        loss, covered = torch.zeros_like(pixels[:, 0]), torch.zeros_like(pixels[:, 0])
        windows = list(self._windows(*pixels.shape[2:]))
        together = max(1, AT_ONCE // len(pixels))
        for begin in range(0, len(windows), together):
            some = windows[begin : begin + together]
            for (rows, columns), lost in zip(some, self._losses(asked, some), strict=True):
                loss[:, rows, columns] += lost[:, None, None]
                covered[:, rows, columns] += 1
        return loss / covered.clamp(min=1)

    def _losses(self, asked: Asked, windows: list[tuple[slice, slice]]) -> Tensor:
        """[windows, B]."""
        batch, count = asked.batch, len(windows)
        behind = batch.pixels.repeat(count, 1, 1, 1)
        for (rows, columns), images in zip(windows, behind.split(len(batch.pixels)), strict=True):
            images[:, :, rows, columns] = GREY
        repeated = replace(
            batch,
            pixels=behind,
            sizes=batch.sizes * count,
            scales=batch.scales * count,
            originals=batch.originals * count,
        )
        scores = self.inner.class_scores(repeated).gather(1, asked.classes.repeat(count)[:, None])
        return asked.scores - scores.view(count, -1)

    def _windows(self, height: int, width: int) -> Iterator[tuple[slice, slice]]:
        """Rows and columns of each position; the last ones end at the border, or beyond it."""
        for top in _positions(height, self.patch, self.step):
            for left in _positions(width, self.patch, self.step):
                yield slice(top, top + self.patch), slice(left, left + self.patch)


def _positions(length: int, patch: int, step: int) -> range:
    return range(0, max(0, length - patch) + step, step)


def build(info: DatasetInfo, config: Mapping[str, Any], inner: nn.Module) -> Occlusion:
    return Occlusion(inner, **config)
