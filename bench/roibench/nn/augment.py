"""Augmentations: a Sample in, a Sample out, all randomness from the generator that is passed in.

They work on decoded uint8 images and on every common target that has a place in the image. A mirrored person's left
hand is a right one: joints that are named left and right change places. So do words for places in captions, which keeps
Scenes' captions true; free text about left and right becomes as true as exchanged words make it. What a task of its own
knows (Target.extra) is left out of a mirrored image: how it would move isn't known.
"""

import dataclasses
import re
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import torch
from torch import Generator, Tensor

from roibench.structures import Sample

_HORIZONTAL = {"left": "right", "right": "left"}
_VERTICAL = {"above": "below", "below": "above", "top": "bottom", "bottom": "top"}
_DIAGONAL = {"left of": "above", "right of": "below", "above": "left of", "below": "right of"}
_DIAGONAL |= {"left": "top", "right": "bottom", "top": "left", "bottom": "right"}


def horizontal_flip(sample: Sample, generator: Generator, joints: Sequence[str]) -> Sample:
    """Mirrors left and right, half of the time."""
    return mirror(sample, joints) if _coin(generator) else sample


def mirror(sample: Sample, joints: Sequence[str]) -> Sample:
    """Left and right exchanged. joints: as in `augment`."""
    return _mirrored(sample, 2, joints, _HORIZONTAL)


def vertical_flip(sample: Sample, generator: Generator, joints: Sequence[str]) -> Sample:
    """Mirrors top and bottom, half of the time: for images without an upside, such as microscopy."""
    return _mirrored(sample, 1, joints, _VERTICAL) if _coin(generator) else sample


def transpose(sample: Sample, generator: Generator, joints: Sequence[str]) -> Sample:
    """Swaps rows and columns, half of the time; with both flips, all eight symmetries of the square."""
    if not _coin(generator):
        return sample
    image, target = sample.input.image, sample.target
    changes = {
        "boxes": None if target.boxes is None else target.boxes[:, [1, 0, 3, 2]],
        "masks": None if target.masks is None else target.masks.transpose(-1, -2),
        "semantic_map": None if target.semantic_map is None else target.semantic_map.transpose(-1, -2),
        "keypoints": None if target.keypoints is None else _counterparts(target.keypoints[..., [1, 0, 2]], joints),
        "captions": _reworded(target.captions, _DIAGONAL),
        "extra": {},
    }
    return _changed(sample, image.transpose(-1, -2), changes)


def colour_jitter(sample: Sample, generator: Generator, joints: Sequence[str]) -> Sample:
    """Gain of each channel in [0.8, 1.2] and an offset in [-20, 20] grey levels."""
    gain = 0.8 + 0.4 * torch.rand(3, 1, 1, generator=generator)
    offset = 40 * torch.rand(1, generator=generator) - 20
    image = (sample.input.image * gain + offset).clamp(0, 255).to(torch.uint8)
    return _changed(sample, image, {})


GEOMETRIC = ("horizontal_flip", "vertical_flip", "transpose")  # of a sample: its targets move with its pixels
AUGMENTATIONS: dict[str, Callable[[Sample, Generator, Sequence[str]], Sample]] = {
    function.__name__: function for function in (horizontal_flip, vertical_flip, transpose, colour_jitter)
}


def augment(sample: Sample, names: Sequence[str], generator: Generator, joints: Sequence[str]) -> Sample:
    """Applies augmentations by name, in order. Raises ValueError for an unknown name.

    joints: DatasetInfo.joints, the names of the keypoints, if the target has any.
    """
    for name in names:
        if name not in AUGMENTATIONS:
            raise ValueError(f"unknown augmentation {name!r}; known: {', '.join(AUGMENTATIONS)}")
        sample = AUGMENTATIONS[name](sample, generator, joints)
    return sample


def _coin(generator: Generator) -> bool:
    return bool(torch.rand(1, generator=generator) < 0.5)


def _mirrored(sample: Sample, dim: int, joints: Sequence[str], words: Mapping[str, str]) -> Sample:
    """dim: of the image [3, H, W]: 2 mirrors x, 1 mirrors y. words: what captions have instead."""
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
        return _counterparts(new, joints)

    changes = {
        "boxes": None if target.boxes is None else boxes(target.boxes),
        "masks": None if target.masks is None else target.masks.flip(dim),
        "semantic_map": None if target.semantic_map is None else target.semantic_map.flip(dim - 1),
        "keypoints": None if target.keypoints is None else points(target.keypoints),
        "captions": _reworded(target.captions, words),
        "extra": {},
    }
    return _changed(sample, image.flip(dim), changes)


def _counterparts(keypoints: Tensor, joints: Sequence[str]) -> Tensor:
    """Keypoints [N, J, 3] of a mirrored image: left and right exchanged, and absent ones at 0, 0 as they were."""
    order = []
    for index, name in enumerate(joints):
        other = re.sub(r"left|right", lambda match: _HORIZONTAL[match[0]], name)
        order.append(joints.index(other) if other in joints else index)
    keypoints = keypoints[:, order]
    return torch.where(keypoints[..., 2:] > 0, keypoints, 0)


def _reworded(captions: tuple[str, ...] | None, words: Mapping[str, str]) -> tuple[str, ...] | None:
    """All words exchanged at once; of two that begin alike, the longer one."""
    if captions is None:
        return None
    pattern = rf"\b({'|'.join(sorted(words, key=len, reverse=True))})\b"
    return tuple(re.sub(pattern, lambda match: words[match[0]], caption) for caption in captions)


def _changed(sample: Sample, image: Tensor, changes: Mapping[str, Any]) -> Sample:
    known = {name: value for name, value in changes.items() if value is not None}
    return Sample(
        dataclasses.replace(sample.input, image=image.contiguous()), dataclasses.replace(sample.target, **known)
    )
