"""Convolutions and transposed ones as matrices, drawn: `python -m roibench.plugins.segmentation.matrices` writes
results/convolution_matrices.png, which docs/upsampling.md explains.
"""

from pathlib import Path
from typing import TYPE_CHECKING

import torch

from roibench.nn.toeplitz import contributions, convolution_matrix

if TYPE_CHECKING:
    from matplotlib.figure import Figure

PICTURE = Path("results/convolution_matrices.png")
LENGTH = 9  # of the row that is convolved
COARSE = 8  # of the row that is enlarged
KERNEL = torch.tensor([[[1.0, 2.0, 3.0]]])


def picture() -> "Figure":
    """Above: the matrices of strides 1 and 2, and the transpose of the latter. Below: how much of an input of ones each
    output of three kernels receives.
    """
    from matplotlib.figure import Figure

    matrices = {
        "X, stride 1": convolution_matrix(KERNEL, [LENGTH], 1, 1),
        "X, stride 2": convolution_matrix(KERNEL, [LENGTH], 2, 1),
        "its transpose: the way up": convolution_matrix(KERNEL, [LENGTH], 2, 1).T,
    }
    figure = Figure(figsize=(8.5, 5.2), dpi=150, layout="constrained")
    above, below = figure.subplots(2, 3, height_ratios=(3, 2))
    for axes, (title, matrix) in zip(above, matrices.items(), strict=True):
        axes.imshow(matrix.numpy(), cmap="Blues", vmin=0, vmax=3)
        for row, column in matrix.nonzero().tolist():
            value = int(matrix[row, column])
            axes.text(column, row, value, ha="center", va="center", fontsize=7, color="white" if value > 1 else "black")
        axes.set_title(f"{title}: {matrix.shape[0]} x {matrix.shape[1]}", fontsize=9)
        axes.set_xlabel("input", fontsize=8)
        axes.set_ylabel("output", fontsize=8)
        axes.set_xticks([])
        axes.set_yticks([])
    for axes, (side, padding) in zip(below, ((3, 1), (4, 1), (2, 0)), strict=True):
        heights = contributions(side, 2, COARSE, padding).numpy()
        axes.bar(range(len(heights)), heights, color="C0")
        axes.set_ylim(0, 2.4)
        axes.set_yticks([0, 1, 2])
        axes.set_xticks([])
        axes.set_title(f"kernel {side}, stride 2: inputs per output", fontsize=9)
        axes.spines[["top", "right"]].set_visible(False)
    return figure


def main() -> None:
    picture().savefig(PICTURE)
    print(f"wrote {PICTURE}")


if __name__ == "__main__":
    main()
