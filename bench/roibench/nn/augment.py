"""Augmentations: a Sample in, a Sample out, all randomness from the generator that is passed in.

They work on decoded uint8 images and on every target that has a place in the image; keypoints are mirrored in place,
left and right joints are not swapped.
"""

import dataclasses
from collections.abc import Callable, Sequence

import torch
from torch import Generator, Tensor

from roibench.structures import Sample


def horizontal_flip(sample: Sample, generator: Generator) -> Sample:
    """Mirrors left and right, half of the time."""
    return _mirrored(sample, dim=2) if _coin(generator) else sample


def vertical_flip(sample: Sample, generator: Generator) -> Sample:
    """Mirrors top and bottom, half of the time: for images without an upside, such as microscopy."""
    return _mirrored(sample, dim=1) if _coin(generator) else sample


def transpose(sample: Sample, generator: Generator) -> Sample:
    """Swaps rows and columns, half of the time; with both flips, all eight symmetries of the square."""
    if not _coin(generator):
        return sample
    image, target = sample.input.image, sample.target
    changes = {
        "boxes": None if target.boxes is None else target.boxes[:, [1, 0, 3, 2]],
        "masks": None if target.masks is None else target.masks.transpose(-1, -2),
        "semantic_map": None if target.semantic_map is None else target.semantic_map.transpose(-1, -2),
        "keypoints": None if target.keypoints is None else target.keypoints[..., [1, 0, 2]],
    }
    return _changed(sample, image.transpose(-1, -2), changes)


def colour_jitter(sample: Sample, generator: Generator) -> Sample:
    """Gain of each channel in [0.8, 1.2] and an offset in [-20, 20] grey levels."""
    gain = 0.8 + 0.4 * torch.rand(3, 1, 1, generator=generator)
    offset = 40 * torch.rand(1, generator=generator) - 20
    image = (sample.input.image * gain + offset).clamp(0, 255).to(torch.uint8)
    return _changed(sample, image, {})


AUGMENTATIONS: dict[str, Callable[[Sample, Generator], Sample]] = {
    function.__name__: function for function in (horizontal_flip, vertical_flip, transpose, colour_jitter)
}


def augment(sample: Sample, names: Sequence[str], generator: Generator) -> Sample:
    """Applies augmentations by name, in order. Raises ValueError for an unknown name."""
    for name in names:
        if name not in AUGMENTATIONS:
            raise ValueError(f"unknown augmentation {name!r}; known: {', '.join(AUGMENTATIONS)}")
        sample = AUGMENTATIONS[name](sample, generator)
    return sample


def _coin(generator: Generator) -> bool:
    return bool(torch.rand(1, generator=generator) < 0.5)


def _mirrored(sample: Sample, dim: int) -> Sample:
    """dim: of the image [3, H, W]: 2 mirrors x, 1 mirrors y."""
    image, target = sample.input.image, sample.target
    low, high = (0, 2) if dim == 2 else (1, 3)
    length = image.shape[dim]

    def boxes(old: Tensor) -> Tensor:
        new = old.clone()
        new[:, low], new[:, high] = length - old[:, high], length - old[:, low]
        return new

    def points(old: Tensor) -> Tensor:
        new = old.clone()
        new[..., low] = length - old[..., low]
        return new

    changes = {
        "boxes": None if target.boxes is None else boxes(target.boxes),
        "masks": None if target.masks is None else target.masks.flip(dim),
        "semantic_map": None if target.semantic_map is None else target.semantic_map.flip(dim - 1),
        "keypoints": None if target.keypoints is None else points(target.keypoints),
    }
    return _changed(sample, image.flip(dim), changes)


def _changed(sample: Sample, image: Tensor, changes: dict[str, Tensor | None]) -> Sample:
    known = {name: value for name, value in changes.items() if value is not None}
    return Sample(
        dataclasses.replace(sample.input, image=image.contiguous()), dataclasses.replace(sample.target, **known)
    )
