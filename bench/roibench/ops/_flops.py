"""FLOP formulas for torch.utils.flop_counter.

Importing that module loads Triton, which takes longer than everything here, so the formulas are registered when
somebody else imports it: before anybody can count.
"""

import importlib.abc
import importlib.util
import sys
from collections.abc import Sequence
from importlib.machinery import ModuleSpec
from types import ModuleType

import torch

COUNTER = "torch.utils.flop_counter"


def samples(bins: int, sampling_ratio: int) -> int:
    """Bilinear samples of an operator call. Adaptive sampling depends on the boxes; 2 x 2 per bin stands for it."""
    per_axis = sampling_ratio if sampling_ratio > 0 else 2
    return bins * per_axis * per_axis


def roi_align_flop(
    input_shape: Sequence[int],
    rois_shape: Sequence[int],
    spatial_scale: float,
    pooled_height: int,
    pooled_width: int,
    sampling_ratio: int,
    *args: object,
    **kwargs: object,
) -> int:
    """Four multiply-adds per sample, RoI and channel."""
    return 2 * 4 * rois_shape[0] * input_shape[1] * samples(pooled_height * pooled_width, sampling_ratio)


def roi_align_backward_flop(
    grad_shape: Sequence[int],
    rois_shape: Sequence[int],
    input_size: Sequence[int],
    spatial_scale: float,
    sampling_ratio: int,
    *args: object,
    **kwargs: object,
) -> int:
    """The same products as forward."""
    return roi_align_flop(input_size, rois_shape, spatial_scale, *grad_shape[2:], sampling_ratio)


def register(counter: ModuleType) -> None:
    counter.register_flop_formula(torch.ops.roibench.roi_align)(roi_align_flop)
    counter.register_flop_formula(torch.ops.roibench.roi_align_backward)(roi_align_backward_flop)


class RegisterOnImport(importlib.abc.MetaPathFinder):
    def find_spec(self, name: str, path: object = None, target: object = None) -> ModuleSpec | None:
        if name != COUNTER:
            return None
        sys.meta_path.remove(self)
        spec = importlib.util.find_spec(name)
        load = spec.loader.exec_module

        def load_and_register(module: ModuleType) -> None:
            load(module)
            register(module)

        spec.loader.exec_module = load_and_register
        return spec


if COUNTER in sys.modules:
    register(sys.modules[COUNTER])
else:
    sys.meta_path.insert(0, RegisterOnImport())
