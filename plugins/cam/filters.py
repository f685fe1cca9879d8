"""The kernels of a network's first two convolutions as pictures."""

import numpy as np
from torch import Tensor, nn

COLOURS = 3


def first_filters(model: nn.Module) -> list[np.ndarray]:
    """The kernels of the first convolution that sees three channels, float32 [h, w, 3] in the unit interval, each from
    its least to its largest value. Empty where there is none.
    """
    return [_spread(kernel.permute(1, 2, 0)) for layer in _layers(model)[:1] for kernel in layer.weight.detach()]


def second_filters(model: nn.Module, kernels: int, channels: int) -> list[list[np.ndarray]]:
    """Of the first convolution after it with windows larger than a location, some kernels, channel by channel: float32
    [h, w], all of a kernel from its least to its largest value.

    A channel of a deeper kernel weighs the outputs of another layer's, which are no colours, and the kernel is a sum
    over all of them: looked at one by one, they say little.
    """
    return [
        list(_spread(kernel[:channels])) for layer in _layers(model)[1:2] for kernel in layer.weight[:kernels].detach()
    ]


def _layers(model: nn.Module) -> list[nn.Conv2d]:
    """The first convolution that sees colours, and those after it that see a window of several channels."""
    found: list[nn.Conv2d] = []
    for one in (module for module in model.modules() if isinstance(module, nn.Conv2d)):
        sees = one.weight.shape[1] > 1 and one.kernel_size != (1, 1) if found else one.in_channels == COLOURS
        if sees:
            found.append(one)
    return found


def _spread(kernel: Tensor) -> np.ndarray:
    kernel = kernel.float().cpu()
    low, high = kernel.min(), kernel.max()
    return ((kernel - low) / (high - low).clamp(min=1e-12)).numpy()
