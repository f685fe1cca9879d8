"""The checkerboard that ways up leave behind (Odena et al. 2016, https://distill.pub/2016/deconv-checkerboard)."""

import torch
from torch import Tensor


def checkerboard(maps: Tensor, period: int) -> Tensor:
    """How much of maps [..., H, W] repeats every `period` pixels along both axes: [...], a fraction.

    The energy at the frequencies that are multiples of 1 / period, but for the mean's, over all of it, the mean's among
    it: what the average tile of period x period pixels varies by, over the mean square. 0 for maps that are 0. Of H and
    W only whole tiles count, in the middle. Raises ValueError for a period below 2, or maps smaller than a tile.
    """
    height, width = maps.shape[-2:]
    if period < 2 or min(height, width) < period:
        raise ValueError(f"period {period} of maps of {height} x {width}: want from 2 up to the shorter side")
    top, left = height % period // 2, width % period // 2
    rows, columns = height // period, width // period
    whole = maps[..., top : top + rows * period, left : left + columns * period].double()
    tile = whole.unflatten(-1, (columns, period)).unflatten(-3, (rows, period)).mean((-4, -2))
    energy = whole.square().mean((-2, -1))
    varies = tile.var((-2, -1), correction=0)
    return torch.where(energy > 0, varies / energy.clamp(min=torch.finfo(torch.float64).tiny), 0.0)
