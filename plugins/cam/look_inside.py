"""A poster of what is inside a model: the filters of its first layer, and what some of its units are about.

A unit is a channel of the maps that explanations look at (feature_layer). Its patches are its receptive field where it
fires most, one per image (Zeiler and Fergus 2013, arXiv 1311.2901); its masks are where it is among the highest half
per cent of all that it says of the dataset (Bau et al. 2017, arXiv 1704.05796).
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from io import BytesIO
from pathlib import Path
from typing import Annotated

import numpy as np
import torch
import typer
from PIL import Image, ImageDraw, ImageFont
from torch import Tensor, nn

from roibench.assemble import find_weights, ready_model
from roibench.dataset import Dataset
from roibench.datasets.reference import DatasetRef, open_dataset
from roibench.files import write_atomically
from roibench.nn.images import ImageBatch
from roibench.nn.receptive_field import ReceptiveField, receptive_field
from roibench.registry import installed

BATCH = 16
QUANTILE = 0.995
PATCHES = 6  # of a unit, and as many masks
_SIDE, _GAP, _FILTER = 96, 6, 48  # pixels


@dataclass(frozen=True)
class Unit:
    """channel: its index. patches: what it sees where it fires most. masked: the same images, dark where it doesn't
    fire. labels: of the images.
    """

    channel: int
    patches: tuple[Image.Image, ...]
    masked: tuple[Image.Image, ...]
    labels: tuple[int | None, ...]


def first_filters(model: nn.Module) -> list[Image.Image]:
    """The kernels of the first convolution that sees three channels, as pictures, each from its least to its largest
    value. Those of deeper layers have more channels than a picture: they say little, and aren't drawn.
    """
    layer = next((one for one in model.modules() if isinstance(one, nn.Conv2d) and one.in_channels == 3), None)
    return [] if layer is None else [_picture(kernel) for kernel in layer.weight.detach().float()]


def _picture(kernel: Tensor) -> Image.Image:
    low, high = kernel.min(), kernel.max()
    pixels = (255 * (kernel - low) / (high - low).clamp(min=1e-12)).round().to(torch.uint8)
    return Image.fromarray(pixels.permute(1, 2, 0).numpy()).resize((_FILTER, _FILTER), Image.Resampling.NEAREST)


def look_at_units(model: nn.Module, data: Dataset, images: int, units: Sequence[int]) -> list[Unit]:
    """Some channels of model.feature_layer over the first images of a dataset, all of which must have one size.

    Raises ValueError for a channel that isn't there.
    """
    inputs = [data[index].input for index in range(min(images, len(data)))]
    maps = torch.cat([_features(model, model.batch(inputs[i : i + BATCH])) for i in range(0, len(inputs), BATCH)])
    if wrong := [unit for unit in units if not 0 <= unit < maps.shape[1]]:
        raise ValueError(f"unit {wrong[0]}: want 0 to {maps.shape[1] - 1}")
    batch = model.batch(inputs[:1])
    field = receptive_field(lambda pixels: _features(model, _of_pixels(batch, pixels)), tuple(batch.pixels.shape[2:]))
    found = []
    for channel in units:
        one = maps[:, channel]
        best = one.flatten(1).amax(1).topk(min(PATCHES, len(one))).indices.tolist()
        threshold = float(one.flatten().quantile(QUANTILE)) if one.numel() < 2**24 else float(one.max())
        chosen = [inputs[index].image for index in best]
        found.append(
            Unit(
                channel,
                tuple(_patch(image, one[index], field, batch) for image, index in zip(chosen, best, strict=True)),
                tuple(_masked(image, one[index] > threshold) for image, index in zip(chosen, best, strict=True)),
                tuple(data[index].target.image_label for index in best),
            )
        )
    return found


def _of_pixels(batch: ImageBatch, pixels: Tensor) -> ImageBatch:
    """Other pixels in place of a batch's only image."""
    count = len(pixels)
    return replace(
        batch, pixels=pixels, sizes=batch.sizes * count, scales=batch.scales * count, originals=batch.originals * count
    )


@torch.inference_mode()
def _features(model: nn.Module, batch: ImageBatch) -> Tensor:
    """The first output of feature_layer, [B, D, h, w]: of a pyramid, the finest level's."""
    seen: list[Tensor] = []
    handle = model.feature_layer.register_forward_hook(lambda _, __, output: seen.append(output.float().cpu()))
    try:
        model.class_scores(batch)
    finally:
        handle.remove()
    return seen[0]


def _patch(image: Tensor, activation: Tensor, field: ReceptiveField, batch: ImageBatch) -> Image.Image:
    row, column = divmod(int(activation.argmax()), activation.shape[1])
    box = batch.to_image(0, torch.tensor([field.box(row, column)], dtype=torch.float32))[0]
    left, top, right, bottom = box.round().int().tolist()
    return _drawn(image).crop((left, top, max(left + 1, right), max(top + 1, bottom)))


def _masked(image: Tensor, fires: Tensor) -> Image.Image:
    picture = np.asarray(_drawn(image), np.float32)
    mask = Image.fromarray((255 * fires.numpy()).astype(np.uint8)).resize(
        picture.shape[1::-1], Image.Resampling.BILINEAR
    )
    lit = 0.25 + 0.75 * np.asarray(mask, np.float32)[..., None] / 255
    return Image.fromarray((picture * lit).round().astype(np.uint8))


def _drawn(image: Tensor) -> Image.Image:
    return Image.fromarray(image.permute(1, 2, 0).cpu().numpy())


def write_poster(model: nn.Module, name: str, data: Dataset, images: int, units: Sequence[int], out: Path) -> Path:
    """Draws all of it into a .png; returns its path."""
    filters, found = first_filters(model), look_at_units(model, data, images, units)
    font = ImageFont.load_default(size=14)
    line, columns = sum(font.getmetrics()) + _GAP, 2 * PATCHES
    width = max(columns * (_SIDE + _GAP) + 3 * _GAP, 40 * _GAP)
    per_row = max(1, (width - _GAP) // (_FILTER + _GAP))
    rows = -(-len(filters) // per_row)
    height = 3 * line + rows * (_FILTER + _GAP) + len(found) * (line + _SIDE + _GAP) + _GAP
    sheet = Image.new("RGB", (width, height), "white")
    pen = ImageDraw.Draw(sheet)
    y = _GAP
    pen.text((_GAP, y), f"{name}: filters of its first layer", fill="black", font=font)
    y += line
    for index, one in enumerate(filters):
        sheet.paste(one, (_GAP + index % per_row * (_FILTER + _GAP), y + index // per_row * (_FILTER + _GAP)))
    y += rows * (_FILTER + _GAP) + _GAP
    pen.text((_GAP, y), "units: what they see where they fire most; where they fire", fill="black", font=font)
    y += line
    for unit in found:
        names = ", ".join("?" if one is None else data.info.classes[one] for one in unit.labels)
        pen.text((_GAP, y), f"unit {unit.channel}: {names}", fill="black", font=font)
        y += line
        for place, one in enumerate((*unit.patches, *unit.masked)):
            shift = _GAP if place >= PATCHES else 0
            sheet.paste(one.resize((_SIDE, _SIDE)), (_GAP + place * (_SIDE + _GAP) + shift, y))
        y += _SIDE + _GAP
    picture = BytesIO()
    sheet.save(picture, "png")
    return write_atomically(out, picture.getvalue())


def look_inside(
    model: Annotated[str, typer.Argument(help="a registered model that can be explained")],
    dataset: Annotated[str, typer.Option(help="icons, coco:PATH, ...")] = "icons",
    weights: Annotated[Path | None, typer.Option(help="a file that `roibench train` wrote")] = None,
    images: Annotated[int, typer.Option(help="how many of the dataset's are looked at")] = 500,
    units: Annotated[str, typer.Option(help="channels of its last maps, separated by commas")] = "0,1,2,3,4,5,6,7",
    out: Annotated[Path | None, typer.Option(help="a .png (default: look-inside-MODEL.png)")] = None,
) -> None:
    if not all(word.strip().isdecimal() for word in units.split(",")):
        raise ValueError(f"--units {units!r}: want whole numbers, separated by commas")
    registry = installed()
    spec, data = registry.model(model), open_dataset(dataset, registry)
    path = find_weights(spec, DatasetRef.parse(dataset).name, weights, registry)
    ready = ready_model(spec, data.info, path, torch.device("cpu"))
    channels, file = [int(word) for word in units.split(",")], out or Path(f"look-inside-{model}.png")
    typer.echo(f"wrote {write_poster(ready, model, data, images, channels, file)}")
