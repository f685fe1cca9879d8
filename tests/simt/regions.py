"""What the launchers over regions of interest take: structures, tables, and boxes that are hard to pool."""

import ctypes
import math
from ctypes import c_bool, c_double, c_float, c_int, c_int64, c_void_p

import torch
from torch import Tensor

CONTIGUOUS, CHANNELS_LAST = torch.contiguous_format, torch.channels_last


class FeatureMap(ctypes.Structure):
    _fields_ = [(name, c_int) for name in ("batch", "channels", "height", "width")] + [("channels_last", c_bool)]


def feature_map(features: Tensor) -> FeatureMap:
    return FeatureMap(*features.shape, is_channels_last(features))


def is_channels_last(t: Tensor) -> bool:
    return t.is_contiguous(memory_format=CHANNELS_LAST) and not t.is_contiguous()


def format_of(t: Tensor) -> torch.memory_format:
    return CHANNELS_LAST if is_channels_last(t) else CONTIGUOUS


def in_memory(t: Tensor) -> Tensor:
    """The same memory as one row: launchers take bare pointers."""
    return t.permute(0, 2, 3, 1).reshape(-1) if is_channels_last(t) else t.reshape(-1)


def coordinates_of(features: Tensor) -> torch.dtype:
    return torch.float64 if features.dtype == torch.float64 else torch.float32


class Windows(ctypes.Structure):
    _fields_ = (
        [("map", FeatureMap), ("count", c_int64), ("grids", c_int), ("bins", c_int), ("edges", c_int)]
        + [(name, c_void_p) for name in ("grid", "bin", "edge", "image")]
    )  # fmt: skip


class GridOfBins(ctypes.Structure):
    _fields_ = [(name, c_int) for name in ("rows", "columns", "first_bin", "first_edge")]


def fill_windows(kernels, features: Tensor, grids, rois: Tensor | None, scale: float = 1.0, last: int = 1) -> Windows:
    """The tables of RoIs, or without them of the maps themselves; `last` as in geometry/bins.h."""
    count = len(features if rois is None else rois)
    bins, edges = sum(rows * columns for rows, columns in grids), sum(map(sum, grids))
    sizes = {"grid": 4 * len(grids), "bin": 4 * bins, "edge": 2 * count * edges, "image": count}
    tables = {name: torch.full((size,), -7, dtype=torch.int32) for name, size in sizes.items()}
    windows = Windows(feature_map(features), count, len(grids), bins, edges, *(t.data_ptr() for t in tables.values()))
    windows.tensors = list(tables.values())  # kept as long as the pointers
    placed = GridOfBins(0, 0, 0, 0)
    for g, (rows, columns) in enumerate(grids):
        placed = GridOfBins(rows, columns, placed.first_bin, placed.first_edge)
        if rois is None:
            kernels.grid_of_maps(windows, g, placed)
        else:
            height, width = (max(size - 1 + last, 0) for size in features.shape[2:])
            boxes = rois.to(coordinates_of(features))
            kernels.grid_of_rois[boxes.dtype](windows, g, placed, boxes, scale, last, height, width)
        placed = GridOfBins(0, 0, placed.first_bin + rows * columns, placed.first_edge + rows + columns)
    return windows


def nasty_rois(images: int, n: int = 60) -> Tensor:
    numbers = [0.0, 2.0, 3.5, 0.5, -0.5, 1e-30, -3.0, 7.0, 1e4, -1e4, 3e7, -3e7, 1e15, -1e15, 3e38, -3e38]
    numbers += [math.inf, -math.inf, math.nan]
    generator = torch.Generator().manual_seed(3)
    boxes = torch.tensor(numbers, dtype=torch.float64)[torch.randint(len(numbers), (n, 4), generator=generator)]
    return torch.cat([torch.randint(0, images, (n, 1), generator=generator), boxes], dim=1)


def foreign_rois(images: int) -> Tensor:
    """Of no image."""
    return torch.tensor([[image, 0, 0, 3, 3] for image in (-1.0, images, 1e30, -math.inf, math.nan)])


def scalar_of(dtype: torch.dtype):
    return c_double if dtype == torch.float64 else c_float
