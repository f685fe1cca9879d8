"""Units: channels of the maps that explanations look at (feature_layer), and what they are about.

A unit's patches are its receptive field where it fires most, one per image (Zeiler and Fergus 2013, arXiv 1311.2901);
its masks are where it is among the highest half per cent of all that it says of the dataset (Bau et al. 2017, arXiv
1704.05796).
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
import torch
from PIL import Image
from torch import Tensor, nn

from roibench.dataset import Dataset
from roibench.nn.images import ImageBatch
from roibench.nn.receptive_field import ReceptiveField, receptive_field

BATCH = 16
QUANTILE = 0.995
PATCHES = 6  # of a unit, and as many masks


@dataclass(frozen=True)
class Unit:
    """channel: its index. patches: what it sees where it fires most. masked: the same images, dark where it doesn't
    fire. labels: of the images.
    """

    channel: int
    patches: tuple[Image.Image, ...]
    masked: tuple[Image.Image, ...]
    labels: tuple[int | None, ...]


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
