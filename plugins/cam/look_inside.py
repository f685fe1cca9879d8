"""`roibench look-inside MODEL`: one picture of what is inside a model.

The filters of its first layers, what some of its units are about, which images it takes for alike, what it takes for a
class, and what of a few images speaks for theirs.
"""

from collections.abc import Callable, Sequence
from dataclasses import replace
from io import BytesIO
from pathlib import Path
from typing import Annotated

import numpy as np
import torch
import typer
from PIL import Image

from roibench.assemble import find_weights, ready_model
from roibench.dataset import Dataset
from roibench.datasets.reference import open_dataset
from roibench.draw.prediction import draw
from roibench.files import write_atomically
from roibench.model import Model
from roibench.plugins.cam.class_visualization import Ascent, visualize
from roibench.plugins.cam.filters import first_filters, second_filters
from roibench.plugins.cam.poster import COLUMNS, Panel, Section, draw_poster, wrapped
from roibench.plugins.cam.units import BATCH, look_at_units
from roibench.registry import installed
from roibench.structures import Sample
from roibench.tasks.attribution import ATTRIBUTION, main_class

METHODS = "grad_cam,grad_cam_plus_plus,score_cam,occlusion,saliency,deconvnet,guided_backprop,guided_grad_cam"
QUERIES = 3  # images whose neighbours are shown, and whose explanations
SHOWN_AT = 160  # pixels, the width of a drawing
KERNELS = 3  # of the second layer


def filters(model: torch.nn.Module) -> list[Section]:
    second = [[Panel(one) for one in kernel] for kernel in second_filters(model, KERNELS, COLUMNS)]
    return [
        Section("Filters of the first layer", wrapped([Panel(one) for one in first_filters(model)])),
        Section(
            f"Filters of the second, one per row, its first {COLUMNS} channels: they weigh the first layer's outputs, "
            "not colours, and say little",
            second,
        ),
    ]


def units(model: torch.nn.Module, data: Dataset, images: int, channels: Sequence[int]) -> Section:
    rows = []
    for unit in look_at_units(model, data, images, channels):
        names = ["?" if one is None else data.info.classes[one] for one in unit.labels]
        patches = [Panel(one, name) for one, name in zip(unit.patches, names, strict=True)]
        patches[0] = patches[0]._replace(caption=f"unit {unit.channel}: {names[0]}")
        rows.append([*patches, *(Panel(one) for one in unit.masked)])
    return Section("Units: what they see where they fire most, and where in the image they fire", rows)


def neighbours(features: Model, data: Dataset, samples: Sequence[Sample]) -> Section:
    """The first images, and those of the others whose features are nearest."""
    inputs = [one.input for one in samples]
    found = [features.predict(inputs[start : start + BATCH]) for start in range(0, len(inputs), BATCH)]
    points = torch.stack([one.get("features") for part in found for one in part])
    nearest = torch.cdist(points[:QUERIES], points).argsort(dim=1, stable=True)[:, :COLUMNS].tolist()
    rows = [[_panel(samples[index], data) for index in row] for row in nearest]
    return Section("The first of each row, and its nearest neighbours by the features of the last maps", rows)


def class_images(model: torch.nn.Module, data: Dataset) -> Section:
    names = data.info.classes[:COLUMNS]
    side = (data.info.image_size or (128, 128))[0]
    rows = []
    for start, noise in enumerate((0.0, 0.3)):
        made = [visualize(model, label, side, Ascent(noise=noise), start) for label in range(len(names))]
        rows.append([Panel(one.image.permute(1, 2, 0).numpy(), name) for one, name in zip(made, names, strict=True)])
    return Section("Images that raise the score of a class, from grey and from noise", rows)


def explanations(
    explain: Callable[[str], Model], methods: Sequence[str], data: Dataset, samples: list[Sample]
) -> Section:
    rows = [[_panel(one, data)] for one in samples]
    for method in methods:
        model = explain(method)
        for row, sample in zip(rows, samples, strict=True):
            asked = replace(sample.input, query=main_class(sample.target))
            [found] = model.predict([asked])
            row.append(Panel(draw(asked.image, found, data.info.classes, [ATTRIBUTION], shown_at=SHOWN_AT), method))
    return Section("What speaks for the class of an image", rows)


def _panel(sample: Sample, data: Dataset) -> Panel:
    label = main_class(sample.target)
    return Panel(_image(sample), "" if label is None else data.info.classes[label])


def _image(sample: Sample) -> Image.Image:
    return Image.fromarray(np.asarray(sample.input.image.permute(1, 2, 0).cpu()))


def look_inside(
    model: Annotated[str, typer.Argument(help="a registered model that can be explained")],
    dataset: Annotated[str, typer.Option(help="icons, coco:PATH, ...")] = "icons",
    weights: Annotated[Path | None, typer.Option(help="a file that `roibench train` wrote")] = None,
    images: Annotated[int, typer.Option(help="how many of the dataset's are looked at")] = 500,
    channels: Annotated[
        str, typer.Option("--units", help="channels of its last maps, separated by commas")
    ] = "0,1,2,3,4,5",
    methods: Annotated[str, typer.Option(help="explanations, separated by commas")] = METHODS,
    out: Annotated[Path | None, typer.Option(help="a .png (default: look-inside-MODEL.png)")] = None,
) -> None:
    if not all(word.strip().isdecimal() for word in channels.split(",")):
        raise ValueError(f"--units {channels!r}: want whole numbers, separated by commas")
    registry = installed()
    data = open_dataset(dataset, registry)

    def ready(name: str) -> Model:
        spec = registry.model(name)
        return ready_model(spec, data.info, find_weights(spec, dataset, weights, registry), torch.device("cpu"))

    inside = ready(model)
    samples = [data[index] for index in range(min(images, len(data)))]
    sections = [
        *filters(inside),
        units(inside, data, images, [int(word) for word in channels.split(",")]),
        neighbours(ready(f"features@{model}"), data, samples),
        class_images(inside, data),
        explanations(
            lambda name: ready(f"{name}@{model}"), [one.strip() for one in methods.split(",")], data, samples[:QUERIES]
        ),
    ]
    picture = BytesIO()
    draw_poster(f"Inside {model}, on {dataset}", sections).savefig(picture)
    typer.echo(f"wrote {write_atomically(out or Path(f'look-inside-{model}.png'), picture.getvalue())}")
