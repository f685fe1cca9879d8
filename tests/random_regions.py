"""Feature maps and regions of interest that the operators' tests and their kernels' share."""

import torch
from torch import Tensor


def random_map(
    *shape: int, dtype: torch.dtype = torch.float64, memory_format=torch.contiguous_format, seed: int = 0
) -> Tensor:
    numbers = torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)
    return numbers.to(dtype).contiguous(memory_format=memory_format)


def random_rois(n: int, images: int, height: float, width: float, seed: int = 1) -> Tensor:
    """Inside the map, across its border, beside it, smaller than a pixel, reversed, and larger than the map."""
    generator = torch.Generator().manual_seed(seed)
    extent = torch.tensor([width, height], dtype=torch.float64)
    centre = (torch.rand(n, 2, generator=generator, dtype=torch.float64) * 1.4 - 0.2) * extent
    half = extent * (0.4 * torch.randn(n, 2, generator=generator, dtype=torch.float64) + 0.3)
    image = torch.randint(0, images, (n, 1), generator=generator)
    return torch.cat([image, centre - half, centre + half], dim=1)
