from collections.abc import Callable
from typing import TypeVar

import pytest
import torch

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
