"""From uint8 images to what a network of a fixed input takes, and boxes back to the images' own pixels."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import torch
import torch.nn.functional as F
from torch import Tensor

Resize = Literal["letterbox", "stretch", "crop", "keep"]
CROP_SHARE = 0.875  # of the shorter side: 224 of 256, as classifiers are evaluated


@dataclass(frozen=True)
class Feeding:
    """How a network is fed.

    size: (height, width) of its input; of `keep` nothing is resized, and batches are of images of one size.
    resize: letterbox keeps the proportions and pads; stretch doesn't; crop resizes the shorter side and cuts out the
        centre; keep leaves images as they are.
    channels: in which order.
    scale: what pixels are divided by. mean, std: then subtracted, and divided by, in the order of `channels`.
    pad: where a letterbox's image lies. pad_value: the padding's, of 255.
    """

    size: tuple[int, int]
    resize: Resize = "letterbox"
    channels: Literal["rgb", "bgr"] = "rgb"
    scale: float = 255.0
    mean: tuple[float, float, float] = (0.0, 0.0, 0.0)
    std: tuple[float, float, float] = (1.0, 1.0, 1.0)
    pad: Literal["centre", "corner"] = "centre"
    pad_value: int = 114


@dataclass(frozen=True)
class Placed:
    """Where an image lies in the network's input. scale: (y, x) from its own pixels to the input's. offset: (y, x) of
    its upper left corner there. original: its (height, width).
    """

    scale: tuple[float, float]
    offset: tuple[float, float]
    original: tuple[int, int]

    def to_image(self, boxes: Tensor) -> Tensor:
        """xyxy boxes [N, 4] in pixels of the input -> in the image's own, clipped to it."""
        (sy, sx), (oy, ox), (height, width) = self.scale, self.offset, self.original
        boxes = (boxes - boxes.new_tensor((ox, oy, ox, oy))) / boxes.new_tensor((sx, sy, sx, sy))
        return torch.minimum(boxes.clamp(min=0), boxes.new_tensor((width, height, width, height)))


def feed(images: Sequence[Tensor], feeding: Feeding) -> tuple[Tensor, list[Placed]]:
    """uint8 RGB [3, H, W] each -> float32 [B, 3, height, width], and where each lies in it."""
    placed = [_place(image, feeding) for image in images]
    batch = torch.stack([pixels for pixels, _ in placed])
    if feeding.channels == "bgr":
        batch = batch.flip(1)
    batch = batch.float() / feeding.scale
    if any(feeding.mean) or set(feeding.std) != {1.0}:
        mean, std = (batch.new_tensor(values)[:, None, None] for values in (feeding.mean, feeding.std))
        batch = (batch - mean) / std
    return batch, [place for _, place in placed]


def _place(image: Tensor, feeding: Feeding) -> tuple[Tensor, Placed]:
    (height, width), (rows, columns) = image.shape[1:], feeding.size
    original = (height, width)
    match feeding.resize:
        case "keep":
            return image, Placed((1.0, 1.0), (0.0, 0.0), original)
        case "stretch":
            return _resized(image, rows, columns), Placed((rows / height, columns / width), (0.0, 0.0), original)
        case "crop":
            factor = max(rows / height, columns / width) / CROP_SHARE
            h, w = max(rows, round(height * factor)), max(columns, round(width * factor))
            top, left = (h - rows) // 2, (w - columns) // 2
            cut = _resized(image, h, w)[:, top : top + rows, left : left + columns]
            return cut, Placed((h / height, w / width), (-float(top), -float(left)), original)
    factor = min(rows / height, columns / width)
    h, w = max(1, round(height * factor)), max(1, round(width * factor))
    top, left = ((rows - h) // 2, (columns - w) // 2) if feeding.pad == "centre" else (0, 0)
    canvas = torch.full((3, rows, columns), feeding.pad_value, dtype=torch.uint8)
    canvas[:, top : top + h, left : left + w] = _resized(image, h, w)
    # The one factor, not h / height: networks see squares as squares, and rounding is the last pixel's.
    return canvas, Placed((factor, factor), (float(top), float(left)), original)


def _resized(image: Tensor, height: int, width: int) -> Tensor:
    """Bilinear between pixel centres, without smoothing, as OpenCV's default."""
    if image.shape[1:] == (height, width):
        return image
    return F.interpolate(image[None], (height, width), mode="bilinear", align_corners=False)[0]
