from collections.abc import Callable
from typing import TypeVar

import pytest
import torch
from hypothesis import HealthCheck, settings

# No deadline: the first example pays for lazy initialisation, and machines that run tests are busy.
settings.register_profile("ops", deadline=None, max_examples=50, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("ops")

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
