"""The checkerboard, measured and drawn: `python -m roibench.plugins.segmentation.checkerboard` writes
results/checkerboard.md and results/checkerboard.png.

A transposed convolution whose stride doesn't divide its kernel reaches some outputs more often than others (Odena et
al. 2016). That is seen in what it makes of a map that is the same everywhere, and in the gradient of the convolution
with the same weights, which is a multiplication by the same matrix. Both are measured with equal weights, where nothing
but the overlap shows; with those of an initialisation; and with those that the segmenters have learned, whose maps of
class scores are measured, too.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import torch
import torch.nn.functional as F
from scipy.stats import ttest_ind
from torch import Tensor

from roibench.assemble import ready_model
from roibench.datasets.reference import open_dataset
from roibench.files import write_atomically
from roibench.metrics.checkerboard import checkerboard
from roibench.plugins.segmentation import WAYS
from roibench.plugins.segmentation.upsampling import Up, UpsamplingSegmenter, Way
from roibench.registry import Registry, installed
from roibench.weights import shipped_weights

if TYPE_CHECKING:
    from matplotlib.figure import Figure

KERNELS: tuple[Way, ...] = ("transposed_3x3", "transposed_4x4", "transposed_2x2")
CHANNELS, SIDE, SEEDS = 32, 24, 30
IMAGES = 50  # of val
UNTOLD = "can't be told"
MARKDOWN, PICTURE = Path("results/checkerboard.md"), Path("results/checkerboard.png")


@dataclass(frozen=True)
class Measured:
    """What a layer's weights make, as fractions (metrics.checkerboard), one number per layer that was looked at.

    outputs: of a map that is the same everywhere.
    gradients: of the strided convolution with the same weights, when all of its outputs matter alike.
    """

    outputs: Tensor
    gradients: Tensor

    @property
    def row(self) -> str:
        return " | ".join(f"{100 * one.mean():.1f} ± {100 * one.std(correction=0):.1f}" for one in self)

    def __iter__(self) -> Iterator[Tensor]:
        yield from (self.outputs, self.gradients)


def equal(way: Way) -> Up:
    """A layer whose weights are all the same: only the overlap is left."""
    layer = Up(way, CHANNELS)
    torch.nn.init.constant_(layer.convolution.weight, 1.0)
    return layer


def initialised(way: Way) -> list[Up]:
    layers = []
    for seed in range(SEEDS):
        torch.manual_seed(seed)
        layers.append(Up(way, CHANNELS))
    return layers


def measure(layers: Sequence[Up]) -> Measured:
    return Measured(*(torch.tensor([made(one) for one in layers]) for made in (_of_outputs, _of_gradients)))


def _of_outputs(layer: Up) -> float:
    return float(checkerboard(_inner(response(layer)), 2).mean())


@torch.no_grad()
def response(layer: Up) -> Tensor:
    """[C, 2 SIDE, 2 SIDE]: what the layer makes of ones."""
    return layer.convolution(torch.ones(1, layer.convolution.in_channels, SIDE, SIDE))[0]


def _of_gradients(layer: Up) -> float:
    convolution = layer.convolution
    pixels = torch.zeros(1, convolution.out_channels, 2 * SIDE, 2 * SIDE, requires_grad=True)
    F.conv2d(pixels, convolution.weight, stride=convolution.stride, padding=convolution.padding).sum().backward()
    return float(checkerboard(_inner(pixels.grad[0]), 2).mean())


def _inner(maps: Tensor) -> Tensor:
    """Without what the border changes."""
    return maps[..., 4:-4, 4:-4]


def trained(registry: Registry) -> dict[Way, UpsamplingSegmenter]:
    """The segmenters that have weights."""
    info, found = open_dataset("scenes", registry, split="val").info, {}
    for way in WAYS:
        spec = registry.models[f"upsampling_{way}"]
        weights = shipped_weights(spec, "scenes", registry)
        if weights is not None and weights.is_file():
            found[way] = ready_model(spec, info, weights, torch.device("cpu"))
    return found


@torch.inference_mode()
def score_maps(model: UpsamplingSegmenter, images: int, registry: Registry) -> Tensor:
    """[images, 1 + classes, H, W] of the first images of val."""
    data = open_dataset("scenes", registry, split="val")
    return torch.cat([model.scores(model.batch([data[index].input]).pixels) for index in range(images)])


def table(registry: Registry, models: dict[Way, UpsamplingSegmenter], images: int = IMAGES) -> str:
    lines = [
        "# Checkerboards",
        "",
        "How much of a map's energy repeats every 2 pixels (every 16, which all four ways up together make), in %; the",
        "mean ± the standard deviation over layers or images.",
        "Written by `python -m roibench.plugins.segmentation.checkerboard`.",
        "",
        "| kernel | weights | outputs | gradients |",
        "| :-- | :-- | --: | --: |",
    ]
    measured = {}
    for way in KERNELS:
        kinds = {"equal": [equal(way)], f"initialised, {SEEDS} seeds": initialised(way)}
        if way in models:
            kinds["learned, 4 layers"] = list(models[way].decoder.ways)
        for kind, layers in kinds.items():
            measured[way, kind] = measure(layers)
            lines.append(f"| {_name(way)} | {kind} | {measured[way, kind].row} |")
    lines += ["", f"4x4/s2 and 2x2/s2 show less of it than 3x3/s2: {'; '.join(_verdicts(measured))}.", ""]
    if models:
        lines += ["| way up | score maps, every 2 | every 16 |", "| :-- | --: | --: |"]
        for way, model in models.items():
            maps = score_maps(model, images, registry)
            shares = (checkerboard(maps, period).mean(1) for period in (2, 16))
            cells = (f"{100 * one.mean():.3f} ± {100 * one.std(correction=0):.3f}" for one in shares)
            lines.append(f"| {_name(way)} | {' | '.join(cells)} |")
    return "\n".join(lines) + "\n"


def _name(way: Way) -> str:
    return f"{way.removeprefix('transposed_')}/s2" if way in KERNELS else way.replace("_", " ")


def _verdicts(measured: dict[tuple[Way, str], Measured]) -> Iterator[str]:
    """Each kind of weights on its own, of outputs; gradients are the same."""
    for kind in dict.fromkeys(kind for _, kind in measured):
        if any((way, kind) not in measured for way in KERNELS):
            continue
        three, *others = (measured[way, kind].outputs for way in KERNELS)
        found = [_is_less(other, three) for other in others]
        yield f"{kind}: {'held' if all(found) else 'not held' if False in found else UNTOLD}"


def _is_less(ours: Tensor, theirs: Tensor) -> bool | None:
    """By Welch's 95 % interval of the difference of the means; None where it holds 0. Of one layer each, as it is."""
    if len(ours) == 1:
        return bool(ours < theirs)
    found = ttest_ind(ours.numpy(), theirs.numpy(), equal_var=False).confidence_interval()
    return None if found.low <= 0 <= found.high else bool(found.high < 0)


def picture(registry: Registry, models: dict[Way, UpsamplingSegmenter]) -> "Figure":
    """A row for equal weights and one for an initialisation; where there are models, one for a class's scores."""
    from matplotlib.figure import Figure

    rows: list[dict[str, np.ndarray]] = [
        {f"{_name(way)}, equal weights": _chained([equal(way)] * 3) for way in KERNELS},
        {f"{_name(way)}, initialised": _chained(initialised(way)[:3]) for way in KERNELS},
    ]
    if models:
        maps = {way: score_maps(model, 1, registry)[0] for way, model in models.items()}
        shown = next(iter(maps.values()))[1:].amax((1, 2)).argmax()
        rows += [
            {f"{_name(way)}, scores": maps[way][1 + shown].numpy() for way in part if way in maps}
            for part in (KERNELS, WAYS[:3])
        ]
    figure = Figure(figsize=(7.5, 2.7 * len(rows)), dpi=150, layout="constrained")
    panels = figure.subplots(len(rows), len(KERNELS), squeeze=False)
    for axes, row in zip(panels, rows, strict=True):
        for one in axes:
            one.axis("off")
        for one, (title, values) in zip(axes, row.items(), strict=False):
            half = max(np.ptp(values) / 2, abs(values.mean()) / 2)  # what is the same everywhere is grey
            one.imshow(values, cmap="gray", vmin=values.mean() - half, vmax=values.mean() + half)
            one.set_title(title, fontsize=9)
    return figure


@torch.no_grad()
def _chained(layers: Sequence[Up]) -> np.ndarray:
    """A channel of what layers, one after the other, make of ones; a patch in the middle."""
    x = torch.ones(1, CHANNELS, 12, 12)
    for layer in layers:
        x = layer.convolution(x)
    return x[0, 0, 16:-16, 16:-16].numpy()


def main() -> None:
    registry = installed()
    models = trained(registry)
    write_atomically(MARKDOWN, table(registry, models).encode())
    picture(registry, models).savefig(PICTURE)
    print(f"wrote {MARKDOWN} and {PICTURE}")


if __name__ == "__main__":
    main()
