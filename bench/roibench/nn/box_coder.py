"""Boxes as deltas from reference boxes, and back (Girshick et al. 2014, appendix C)."""

import math
from dataclasses import dataclass

import torch
from torch import Tensor


@dataclass(frozen=True)
class BoxCoder:
    """Box deltas t = ((x - xr) / wr, (y - yr) / hr, log(w / wr), log(h / hr)) * weights, with x, y the boxes' centres.

    weights: of the four.
    largest_ratio: bounds w / wr and h / hr when decoding, so that an untrained network can't overflow.
    """

    weights: tuple[float, float, float, float] = (1.0, 1.0, 1.0, 1.0)
    largest_ratio: float = 1000 / 16

    def encode(self, boxes: Tensor, references: Tensor) -> Tensor:
        """xyxy boxes and references [N, 4] -> box deltas [N, 4]. Sides must be positive."""
        wr, hr, xr, yr = _centre_form(references)
        w, h, x, y = _centre_form(boxes)
        deltas = torch.stack([(x - xr) / wr, (y - yr) / hr, torch.log(w / wr), torch.log(h / hr)], dim=-1)
        return deltas * deltas.new_tensor(self.weights)

    def decode(self, deltas: Tensor, references: Tensor) -> Tensor:
        """Box deltas [..., 4] and xyxy references [..., 4], of shapes that broadcast -> xyxy boxes [..., 4]."""
        wr, hr, xr, yr = _centre_form(references)
        dx, dy, dw, dh = (deltas / deltas.new_tensor(self.weights)).unbind(-1)
        limit = math.log(self.largest_ratio)
        half_w = dw.clamp(max=limit).exp() * wr / 2
        half_h = dh.clamp(max=limit).exp() * hr / 2
        x, y = dx * wr + xr, dy * hr + yr
        return torch.stack([x - half_w, y - half_h, x + half_w, y + half_h], dim=-1)


def _centre_form(boxes: Tensor) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """xyxy [..., 4] -> width, height, centre x, centre y."""
    x1, y1, x2, y2 = boxes.unbind(-1)
    return x2 - x1, y2 - y1, (x1 + x2) / 2, (y1 + y2) / 2


def clip_boxes(boxes: Tensor, size: tuple[int, int]) -> Tensor:
    """xyxy boxes [..., 4], clipped to an image of (height, width) pixels."""
    height, width = size
    return torch.stack(
        [
            boxes[..., 0].clamp(0, width),
            boxes[..., 1].clamp(0, height),
            boxes[..., 2].clamp(0, width),
            boxes[..., 3].clamp(0, height),
        ],
        dim=-1,
    )
