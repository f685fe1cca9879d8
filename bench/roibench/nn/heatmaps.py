"""Objects as points of heat maps, one map per class: what is learned of them, and how points are found again.

After Law & Deng 2018 (arXiv 1808.01244, section 3.2), whom Zhou et al. 2019 (arXiv 1904.07850) follow. Coordinates are
those of the map: a point at x lies in the location floor(x).
"""

import math
from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn

# IoU with the object of a box whose points are off by a radius: CornerNet's. CenterNet's code has 0.7, with which most
# objects of small images have no radius.
MIN_OVERLAP = 0.3
PRIOR = 0.1  # the probability of every class everywhere, at the start of training


class Head(nn.Sequential):
    """A hidden 3x3 convolution, then a 1x1 one to `values` maps."""

    def __init__(self, channels: int, values: int) -> None:
        hidden, output = nn.Conv2d(channels, channels, 3, padding=1, bias=False), nn.Conv2d(channels, values, 1)
        nn.init.kaiming_normal_(hidden.weight, mode="fan_out", nonlinearity="relu")
        nn.init.normal_(output.weight, std=0.01)
        nn.init.zeros_(output.bias)
        super().__init__(hidden, nn.BatchNorm2d(channels), nn.ReLU(), output)


def heat_head(channels: int, classes: int) -> Head:
    """One that begins by calling every class rare."""
    head = Head(channels, classes)
    nn.init.constant_(head[-1].bias, -math.log((1 - PRIOR) / PRIOR))
    return head


def gaussian_radius(sizes: Tensor, overlap: float = MIN_OVERLAP) -> Tensor:
    """Widths and heights [K, 2] -> how far both corners may be off, at most, for an IoU of `overlap`, [K].

    The least of three cases: both corners inside the box, both outside, or one of each. Each is a root of a quadratic
    equation; the authors' code divides two of them by 2 instead of 2 a, which makes its radii larger.
    """
    total, area = sizes.sum(1), sizes.prod(1)
    one_each = _root(torch.ones_like(total), -total, area * (1 - overlap) / (1 + overlap))
    inside = _root(torch.full_like(total, 4.0), -2 * total, (1 - overlap) * area)
    outside = -_root(torch.full_like(total, 4 * overlap), -2 * overlap * total, -(1 - overlap) * area)
    return torch.stack([one_each, inside, outside]).amin(0)


def _root(a: Tensor, b: Tensor, c: Tensor) -> Tensor:
    """The lesser root of a x^2 + b x + c = 0."""
    return (-b - (b**2 - 4 * a * c).clamp(min=0).sqrt()) / (2 * a)


def locations(points: Tensor, size: tuple[int, int]) -> Tensor:
    """Points x, y [K, 2] -> int64 [2, K], row and column of the location of each; beyond the map, the nearest."""
    height, width = size
    x, y = points.long().unbind(-1)
    return torch.stack([y.clamp(0, height - 1), x.clamp(0, width - 1)])


def heat_targets(
    image: Tensor, labels: Tensor, rows: Tensor, columns: Tensor, radius: Tensor, shape: torch.Size
) -> Tensor:
    """K points of a batch as Gaussians that fall to exp(-4.5) at their radius, and are 1 at their own location.

    image, labels, rows, columns: int64 [K]. radius: [K]. shape: of the maps [B, C, H, W], which are returned. Where
    Gaussians of a class meet, the larger value stands.
    """
    targets = torch.zeros(shape, device=radius.device)
    classes, height, width = shape[1:]
    reach = radius.floor().clamp(min=0)
    sigma = (2 * reach + 1) / 6
    y, x = (torch.arange(side, device=radius.device) for side in (height, width))
    dy, dx = y - rows[:, None], x - columns[:, None]
    gaussian = torch.exp(-(dy**2)[:, :, None] / (2 * sigma**2)[:, None, None])
    gaussian = gaussian * torch.exp(-(dx**2)[:, None] / (2 * sigma**2)[:, None, None])
    near = (dy.abs()[:, :, None] <= reach[:, None, None]) & (dx.abs()[:, None] <= reach[:, None, None])
    plane = (image * classes + labels)[:, None, None].expand(-1, height, width)
    return targets.flatten(0, 1).scatter_reduce(0, plane, gaussian * near, "amax").view(shape)


def heat_loss(logits: Tensor, targets: Tensor, undecided: Tensor, alpha: float = 2.0, beta: float = 4.0) -> Tensor:
    """Penalty-reduced focal loss per object (CenterNet's equation 1, CornerNet's equation 1).

    logits, targets: [B, C, H, W]. Where the target is 1, the loss is -(1 - p)^alpha log p; elsewhere
    -(1 - target)^beta p^alpha log(1 - p), 0 at `undecided` locations, bool [B, H, W].
    """
    probability = logits.sigmoid()
    positive = targets == 1
    found = (1 - probability) ** alpha * F.logsigmoid(logits)
    absent = (1 - targets) ** beta * probability**alpha * F.logsigmoid(-logits)
    total = torch.where(positive, found, absent.masked_fill(undecided[:, None], 0)).sum()
    return -total / positive.sum().clamp(min=1)


class Peaks(NamedTuple):
    """The best k peaks of each image, best first, all [B, k]: scores, class, row and column."""

    scores: Tensor
    labels: Tensor
    rows: Tensor
    columns: Tensor

    def read(self, maps: Tensor) -> Tensor:
        """Maps [B, D, H, W] -> what they hold at the peaks, [B, k, D]."""
        place = (self.rows * maps.shape[-1] + self.columns)[:, None].expand(-1, maps.shape[1], -1)
        return maps.flatten(2).gather(2, place).transpose(1, 2)

    def points(self, offsets: Tensor) -> Tensor:
        """x, y [B, k, 2] of the peaks, moved from their locations' corners by offsets [B, 2, H, W], x before y."""
        return torch.stack([self.columns, self.rows], -1) + self.read(offsets)


def peaks(heat: Tensor, count: int) -> Peaks:
    """Of probabilities [B, C, H, W], the locations that none of the eight around them exceeds: no more suppression."""
    summits = heat * (F.max_pool2d(heat, 3, 1, 1) == heat)
    height, width = heat.shape[2:]
    scores, index = summits.flatten(1).topk(min(count, heat[0].numel()))
    place = index % (height * width)
    return Peaks(scores, index // (height * width), place // width, place % width)


def offset_targets(points: Tensor, rows: Tensor, columns: Tensor) -> Tensor:
    """What points x, y [K, 2] are off their locations' corners, [K, 2]."""
    return points - torch.stack([columns, rows], -1)
