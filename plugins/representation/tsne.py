"""Images in a plane, in which those lie together that a network's features have together, beside that of their pixels.

By t-SNE (van der Maaten and Hinton 2008), which draws clusters whatever the features: trustworthiness says how far the
neighbours in a plane are neighbours among them.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from io import BytesIO
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import numpy as np
import torch
import typer
from numpy.typing import NDArray

from roibench.assemble import find_weights, ready_model
from roibench.dataset import DatasetInfo
from roibench.datasets.reference import DatasetRef, open_dataset
from roibench.draw.canvas import colour
from roibench.files import write_atomically
from roibench.metrics.representation import LEAST, MOST, Plane, lay_out
from roibench.model import Model
from roibench.registry import AT, installed
from roibench.specs import ModelSpec
from roibench.structures import Sample
from roibench.tasks.attribution import main_class

if TYPE_CHECKING:
    from matplotlib.figure import Figure

BATCH = 16
REPRESENTATIONS = ("features", "pixels")
_MARKERS = "osD^v"  # what classes of a similar colour differ in
_NAMED = 40  # classes, at most: more have no legend


def draw_planes(planes: Mapping[str, Plane], labels: Sequence[int | None], classes: Sequence[str]) -> Figure:
    """A panel per plane, a point per image in the colour that its class has in all pictures; grey where an image is
    about nothing.
    """
    from matplotlib.figure import Figure

    figure = Figure(figsize=(5.5 * len(planes), 6.2), dpi=150, layout="constrained")
    panels = figure.subplots(1, len(planes), squeeze=False)[0]
    present = sorted({label for label in labels if label is not None})
    for axes, (name, plane) in zip(panels, planes.items(), strict=True):
        for label in (None, *present):
            x, y = plane.points[[one == label for one in labels]].T
            style = {"color": "0.7", "marker": "x"} if label is None else _style(label)
            axes.scatter(x, y, s=16, linewidths=0.6, label="nothing" if label is None else classes[label], **style)
        axes.set_title(f"{name}: trustworthiness {plane.trustworthiness:.3f}", fontsize=10)
        axes.set_xticks([])
        axes.set_yticks([])
        axes.set_aspect("equal", adjustable="datalim")
    if len(present) <= _NAMED:
        handles, names = panels[0].get_legend_handles_labels()
        shown = slice(0 if None in labels else 1, None)
        figure.legend(handles[shown], names[shown], loc="outside lower center", ncols=7, fontsize=8, frameon=False)
    return figure


def _style(label: int) -> dict[str, object]:
    return {"color": [tuple(part / 255 for part in colour(label))], "marker": _MARKERS[label % len(_MARKERS)]}


def tsne(
    model: Annotated[str, typer.Argument(help="a registered model whose features are looked at")],
    dataset: Annotated[str, typer.Option(help="icons, coco:PATH, ...")] = "icons",
    weights: Annotated[Path | None, typer.Option(help="a file that `roibench train` wrote")] = None,
    images: Annotated[int, typer.Option(help=f"how many of the dataset's are drawn, {LEAST} to {MOST:,}")] = 500,
    out: Annotated[Path | None, typer.Option(help="a .png (default: tsne-MODEL.png)")] = None,
) -> None:
    if not LEAST <= images <= MOST:
        raise ValueError(f"--images {images}: want {LEAST} to {MOST:,}")
    registry, source = installed(), DatasetRef.parse(dataset)
    specs = {name: registry.model(f"{name}{AT}{model}") for name in REPRESENTATIONS}
    data = open_dataset(dataset, registry)
    path = find_weights(registry.model(model), source.name, weights, registry)
    samples = [data[index] for index in range(min(images, len(data)))]
    planes = {}
    for name, spec in specs.items():
        planes[name] = lay_out(represented(_ready(spec, data.info, path), samples))
        typer.echo(f"{name}: trustworthiness {planes[name].trustworthiness:.3f}")
    figure = draw_planes(planes, [main_class(one.target) for one in samples], data.info.classes)
    figure.suptitle(f"{len(samples):,} images of {source.label} in a plane, as {model} and their pixels have them")
    picture = BytesIO()
    figure.savefig(picture, format="png")
    typer.echo(f"wrote {write_atomically(out or Path(f'tsne-{model}.png'), picture.getvalue())}")


def represented(model: Model, samples: Sequence[Sample]) -> NDArray[np.float64]:
    """The features that a model gives for each sample, [N, D]."""
    inputs = [one.input for one in samples]
    batches = (inputs[start : start + BATCH] for start in range(0, len(inputs), BATCH))
    return np.stack([one.get("features").double().numpy() for batch in batches for one in model.predict(batch)])


def _ready(spec: ModelSpec, info: DatasetInfo, weights: Path | None) -> Model:
    try:
        return ready_model(spec, info, weights, torch.device("cpu"))
    except TypeError as error:  # of a Wrapper
        raise ValueError(f"model {spec.name!r}: {error}") from error
