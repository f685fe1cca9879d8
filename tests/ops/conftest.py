from collections.abc import Callable
from typing import TypeVar

import pytest
import torch
from torch import Tensor

T = TypeVar("T")


@pytest.fixture
def threads():
    """threads(n, f): f() with n threads."""
    before = torch.get_num_threads()

    def run(n: int, f: Callable[[], T]) -> T:
        torch.set_num_threads(n)
        return f()

    yield run
    torch.set_num_threads(before)


@pytest.fixture(scope="session")
def random_map() -> Callable[..., Tensor]:
    def make(*shape: int, seed: int = 0, dtype: torch.dtype = torch.float64) -> Tensor:
        return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64).to(dtype)

    return make


@pytest.fixture(scope="session")
def random_rois() -> Callable[..., Tensor]:
    """Inside the map, across its border, beside it, smaller than a pixel, reversed, and larger than the map."""

    def make(n: int, images: int, height: float, width: float, seed: int = 1) -> Tensor:
        generator = torch.Generator().manual_seed(seed)
        extent = torch.tensor([width, height], dtype=torch.float64)
        centre = (torch.rand(n, 2, generator=generator, dtype=torch.float64) * 1.4 - 0.2) * extent
        half = extent * (0.4 * torch.randn(n, 2, generator=generator, dtype=torch.float64) + 0.3)
        image = torch.randint(0, images, (n, 1), generator=generator)
        return torch.cat([image, centre - half, centre + half], dim=1)

    return make
