"""From decoded images to one normalised batch, and back to the images' own pixels."""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

from roibench.structures import Input

# Mean and standard deviation of ImageNet's RGB values in [0, 1]: what pretrained backbones were trained with.
MEAN = (0.485, 0.456, 0.406)
STD = (0.229, 0.224, 0.225)


@dataclass(frozen=True)
class ImageBatch:
    """Images of a batch, padded at the right and the bottom to one size.

    pixels: float32 [B, 3, H, W], channels-last, normalised, 0 in the padding.
    sizes: (height, width) of each image inside the batch.
    scales: (y, x) factors from the image as given to the batch.
    originals: (height, width) of each image as given.
    """

    pixels: Tensor
    sizes: list[tuple[int, int]]
    scales: list[tuple[float, float]]
    originals: list[tuple[int, int]]

    def to_batch(self, index: int, boxes: Tensor) -> Tensor:
        """xyxy boxes [N, 4] in the index-th image's own pixels -> pixels of the batch."""
        return boxes * self._factors(index, boxes)

    def to_image(self, index: int, boxes: Tensor) -> Tensor:
        """xyxy boxes [N, 4] in pixels of the batch -> the index-th image's own pixels, clipped to it."""
        height, width = self.originals[index]
        limit = boxes.new_tensor((width, height, width, height))
        return torch.minimum((boxes / self._factors(index, boxes)).clamp(min=0), limit)

    def to_images(self, maps: Tensor) -> list[Tensor]:
        """Maps [B, h, w] of the padded batch at any stride -> each interpolated (bilinear) in its image's own pixels,
        float32 [H, W].
        """
        padded = F.interpolate(maps[:, None].float(), self.pixels.shape[2:], mode="bilinear", align_corners=False)
        return [
            F.interpolate(one[None, :, :h, :w], size, mode="bilinear", align_corners=False)[0, 0]
            for one, (h, w), size in zip(padded, self.sizes, self.originals, strict=True)
        ]

    def padding(self, stride: int) -> Tensor:
        """Which locations of a map of this stride begin outside their image: bool [B, H / stride, W / stride]."""
        device = self.pixels.device
        height, width = (torch.arange(0, side, stride, device=device) for side in self.pixels.shape[2:])
        limit = torch.tensor(self.sizes, device=device)
        return (height >= limit[:, :1])[:, :, None] | (width >= limit[:, 1:])[:, None]

    def _factors(self, index: int, boxes: Tensor) -> Tensor:
        y, x = self.scales[index]
        return boxes.new_tensor((x, y, x, y))


def batch_images(
    inputs: Sequence[Input], device: torch.device, short_side: int | None, long_side: int, divisor: int
) -> ImageBatch:
    """Resizes (bilinear), normalises and pads uint8 images [3, H, W] of any sizes into one batch.

    short_side: what the shorter side becomes, in pixels; None leaves images as they are. long_side: what the longer
    side may be at most, in either case. divisor: the padded height and width are multiples of it (the largest stride).
    Raises ValueError for an input without a uint8 [3, H, W] image, or with an empty one.
    """
    for one in inputs:
        image = one.image
        if image is None or image.dtype != torch.uint8 or image.dim() != 3 or image.shape[0] != 3 or not image.numel():
            got = "none" if image is None else f"{image.dtype} {list(image.shape)}"
            raise ValueError(f"input {one.id!r}: image must be uint8 [3, H, W] with H, W > 0, got {got}")
    originals = [(one.image.shape[1], one.image.shape[2]) for one in inputs]
    sizes = [_target_size(size, short_side, long_side) for size in originals]
    height = -(-max(h for h, _ in sizes) // divisor) * divisor
    width = -(-max(w for _, w in sizes) // divisor) * divisor
    pixels = torch.zeros(len(sizes), 3, height, width, device=device).contiguous(memory_format=torch.channels_last)
    mean = torch.tensor(MEAN, device=device)[:, None, None] * 255
    std = torch.tensor(STD, device=device)[:, None, None] * 255
    for index, (one, (h, w)) in enumerate(zip(inputs, sizes, strict=True)):
        image = one.image.to(device, torch.float32)
        if image.shape[1:] != (h, w):
            image = F.interpolate(image[None], (h, w), mode="bilinear", align_corners=False)[0]
        pixels[index, :, :h, :w] = (image - mean) / std
    scales = [(h / oh, w / ow) for (h, w), (oh, ow) in zip(sizes, originals, strict=True)]
    return ImageBatch(pixels, sizes, scales, originals)


def _target_size(size: tuple[int, int], short_side: int | None, long_side: int) -> tuple[int, int]:
    height, width = size
    scale = 1.0 if short_side is None else short_side / min(size)
    scale = min(scale, long_side / max(size))
    return max(1, round(height * scale)), max(1, round(width * scale))
