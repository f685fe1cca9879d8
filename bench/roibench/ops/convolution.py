"""Convolutions that enlarge a map."""

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor

from roibench.ops.roi import pair


def conv_transpose2d(
    input: Tensor,
    weight: Tensor,
    bias: Tensor | None = None,
    stride: int | Sequence[int] = 1,
    padding: int | Sequence[int] = 0,
    output_padding: int | Sequence[int] = 0,
    groups: int = 1,
    dilation: int | Sequence[int] = 1,
) -> Tensor:
    r"""Transposed convolution (Zeiler et al. 2010; Long et al. 2015, arXiv 1411.4038): torch's, faster on the CPU.

    A convolution is a multiplication of the flattened map by a sparse matrix X, whose bands are the kernel (for one
    axis a Toeplitz matrix). This is the multiplication by X\ :sup:`T`: it has the shapes of the convolution's gradient,
    and neither inverts it nor is the gradient of anything here. Each input pixel adds its value times the kernel to the
    output, ``stride`` pixels apart::

        out[n, o, y * stride - padding + dilation * i, x * stride - padding + dilation * j]
            += input[n, c, y, x] * weight[c, o, i, j]

    Args:
        input: [N, C, H, W], or [C, H, W].
        weight: [C, C_out / groups, height, width], in the dtype of input.
        bias: [C_out], or None.
        stride: output pixels between the kernels of neighbouring input pixels; an integer or (y, x), as what follows.
        padding: pixels cut from each side of the output.
        output_padding: rows and columns added at the bottom and on the right, less than stride or dilation.
        groups: input and output channels are split into so many groups that don't meet.
        dilation: output pixels between neighbouring weights.

    Returns:
        [N, C_out, height, width] (or without N) in the dtype of input, and channels-last where input is, with
        height = (H - 1) * stride - 2 * padding + dilation * (kernel height - 1) + output_padding + 1.
        Differentiable by input, weight and bias, any number of times. Under autocast it runs in the lower precision.
        Empty where N is 0, and where padding leaves no row or no column and torch's own convolution in that dtype
        returns.

    The arithmetic is torch's: oneDNN's, or cuDNN's, with TF32 where ``torch.backends.cudnn`` allows it. Where that does
    not, a weight of 4 x 4 with stride 2, padding 1 and up to 128 channels has a CUDA kernel of its own.

    Raises:
        ValueError: a wrong shape, size or device; a parameter of 2^31 or more.
        TypeError: input that is no floating-point numbers, or weight or bias of another dtype.
    """
    if torch.compiler.is_exporting():  # runtimes have torch's operator, and none has this one
        return F.conv_transpose2d(input, weight, bias, stride, padding, output_padding, groups, dilation)
    if input.dim() == 3:
        return conv_transpose2d(input[None], weight, bias, stride, padding, output_padding, groups, dilation)[0]
    return torch.ops.roibench.conv_transpose2d(
        input,
        weight,
        bias,
        pair("stride", stride),
        pair("padding", padding),
        pair("output_padding", output_padding),
        groups,
        pair("dilation", dilation),
    )
