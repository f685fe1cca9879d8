"""A layer of a generator, watched or changed on the way to the picture, and what a segmenter sees in the picture."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Protocol

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from roibench.metrics.matching import Booleans, Integers
from roibench.model import Model
from roibench.structures import Input

BATCH = 32

Segment = Callable[[Tensor], Tensor]  # uint8 pictures [B, 3, H, W] -> uint8 maps [B, H, W]
Edit = Callable[[Tensor, slice], Tensor]  # a layer's output [B, U, h, w], of which pictures -> what the next one sees


class Dissectable(Protocol):
    """A generator that can be looked into.

    layers: of whose outputs [B, units, h, w], from 0 on where a unit says nothing, the rest is computed.
    latents: what pictures are made of; a name's are always the same.
    pictures: uint8 [B, 3, H, W], on the host.
    """

    layers: nn.ModuleList

    def latents(self, names: Sequence[str]) -> Tensor: ...
    def pictures(self, latents: Tensor) -> Tensor: ...


@dataclass(frozen=True)
class Seen:
    """pictures: uint8 [N, 3, H, W]. classes: uint8 [N, H, W], what the segmenter sees in them: 0 background, class
    index + 1.
    """

    pictures: Tensor
    classes: Tensor

    def pixels(self, label: int, where: Tensor | None = None) -> Integers:
        """[N]: how many of a picture's pixels are of a class; where: bool [N, H, W], the only ones to count."""
        found = self.classes == label + 1
        return (found if where is None else found & where).sum((1, 2)).numpy()

    def showing(self, label: int, share: float) -> Booleans:
        """[N]: pictures of whose pixels at least this share is of a class."""
        return self.pixels(label) >= share * self.classes[0].numel()


@dataclass(frozen=True)
class Watched(Seen):
    """maps: float32 [N, U, h, w], a layer's output on the way."""

    maps: Tensor


@dataclass(frozen=True)
class Lens:
    """What a layer, by its index, is looked at through."""

    generator: Dissectable
    segment: Segment
    layer: int

    def watch(self, names: Sequence[str]) -> Watched:
        maps: list[Tensor] = []
        seen = self._run(names, lambda output, _which: maps.append(output.float().cpu()))
        return Watched(seen.pictures, seen.classes, torch.cat(maps))

    def look(self, names: Sequence[str], edit: Edit) -> Seen:
        return self._run(names, lambda output, which: edit(output.clone(), which))

    @torch.inference_mode()
    def _run(self, names: Sequence[str], hook: Callable[[Tensor, slice], Tensor | None]) -> Seen:
        pictures = []
        for start in range(0, len(names), BATCH):
            which = slice(start, start + BATCH)
            handle = self.generator.layers[self.layer].register_forward_hook(
                lambda _layer, _args, output, which=which: hook(output, which)
            )
            try:
                pictures.append(self.generator.pictures(self.generator.latents(names[which])))
            finally:
                handle.remove()
        return Seen(torch.cat(pictures), torch.cat([self.segment(batch) for batch in pictures]))


def segment_by(segmenter: Model, size: tuple[int, int] | None) -> Segment:
    """What a semantic segmenter sees in pictures that are enlarged to the size (height, width) of the images that it
    knows, in the pictures' own pixels. size: None to leave them as they are.
    """

    def segment(pictures: Tensor) -> Tensor:
        enlarged = F.interpolate(pictures.float(), size or pictures.shape[2:], mode="bilinear").round().to(torch.uint8)
        found = segmenter.predict([Input(str(index), image) for index, image in enumerate(enlarged)])
        maps = torch.stack([one.semantic_map for one in found])[:, None]
        return F.interpolate(maps, pictures.shape[2:], mode="nearest-exact")[:, 0]

    return segment
