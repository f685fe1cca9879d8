import os

import pytest

from simt.build import Lane
from simt.kernels import Kernels

# First come first served, last come first served, and at random.
SCHEDULES = (0, 1, 2)


@pytest.fixture(scope="session")
def lane() -> Lane:
    """ROIBENCH_SIMT names the lane that these tests run in; lanes.py runs them in all."""
    lane = Lane.parse(os.environ.get("ROIBENCH_SIMT", "source"))
    if lane.missing:
        pytest.skip(f"lane {lane}: {lane.missing}")
    return lane


@pytest.fixture(scope="session")
def operators(lane) -> Kernels:
    return Kernels(lane)


@pytest.fixture(params=SCHEDULES)
def kernels(request, operators) -> Kernels:
    """The operators' launchers, under several schedules."""
    operators.seed = request.param
    return operators
