"""Layers that enlarge a map by transposed convolution, with learned weights."""

import torch
from torch import Tensor, nn

from roibench import ops


class UpConvolution(nn.ConvTranspose2d):
    """torch's layer on this project's operator. It takes no output size: that follows from the input's."""

    def forward(self, x: Tensor) -> Tensor:
        """Maps [B, C, H, W] -> [B, C_out, H_out, W_out]; roibench.ops.conv_transpose2d has the formula."""
        return ops.conv_transpose2d(
            x, self.weight, self.bias, self.stride, self.padding, self.output_padding, self.groups, self.dilation
        )


class BilinearUpsampling(UpConvolution):
    """Enlarges maps by a whole factor: bilinear interpolation to begin with, and learned from there on.

    After Long et al. 2015 (arXiv 1411.4038, section 3.3). Inside it equals torch.nn.functional.interpolate with
    align_corners=False; in the outer half of the border's pixels it fades, because beyond there are zeros.
    """

    def __init__(self, channels: int, factor: int) -> None:
        super().__init__(channels, channels, 2 * factor - factor % 2, stride=factor, padding=factor // 2, bias=False)
        side = self.kernel_size[0]
        distance = torch.arange(side) - (side - 1) / 2
        triangle = 1 - distance.abs() / factor
        with torch.no_grad():
            self.weight.zero_()
            self.weight[range(channels), range(channels)] = torch.outer(triangle, triangle)
