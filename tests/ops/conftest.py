"""Every operator's tests run on every device of this machine: they say `ops`, and get it for the CPU and for CUDA.

On the CPU `ops` is roibench.ops. For CUDA it puts its arguments on the GPU and brings the results back, and gradients
with them, so that what a test makes and compares with stays on the CPU.
"""

from collections.abc import Callable
from types import ModuleType
from typing import Any, TypeVar

import pytest
import random_regions
import torch
from torch import Tensor

from roibench import ops as operators

T = TypeVar("T")

WHY_NO_CUDA = (
    f"no CUDA operators: {operators.build_info()['cuda_missing']}"
    if not operators.build_info()["cuda"]
    else "no GPU"
    if not torch.cuda.is_available()
    else None
)


def is_dense(x: Tensor) -> bool:
    """Whether its memory has no gaps, so that a copy has the same strides."""
    formats = torch.contiguous_format, torch.channels_last
    return any(x.is_contiguous(memory_format=each) for each in formats if x.dim() == 4 or each is formats[0])


def moved(x: Any, device: str) -> Any:
    """Tensors, also in lists and tuples, on that device with the strides that they had; anything else as it is."""
    if isinstance(x, list | tuple):
        return type(x)(moved(each, device) for each in x)
    if not isinstance(x, Tensor) or x.device.type == device:
        return x
    # Results are dense; memory that elements share can't be written. `to` is what transforms and tangents pass through.
    if device == "cpu" or is_dense(x) or 0 in x.stride():
        return x.to(device)
    return torch.empty_strided(x.shape, x.stride(), dtype=x.dtype, device=device).copy_(x)


class OperatorsOnGpu:
    """roibench.ops for tensors that live on the CPU."""

    def __init__(self) -> None:
        for name in operators.__all__:
            setattr(self, name, self._on_gpu(getattr(operators, name)))

    @staticmethod
    def _on_gpu(op: Callable) -> Callable:
        def on_gpu(*arguments: Any, **options: Any) -> Any:
            on_device = {key: moved(value, "cuda") for key, value in options.items()}
            return moved(op(*moved(arguments, "cuda"), **on_device), "cpu")

        return on_gpu


@pytest.fixture(
    scope="session",
    params=["cpu", pytest.param("cuda", marks=pytest.mark.skipif(WHY_NO_CUDA is not None, reason=str(WHY_NO_CUDA)))],
)
def device(request: pytest.FixtureRequest) -> str:
    if request.param == "cuda":
        torch.backends.cudnn.allow_tf32 = False  # what ATen does for our operators is compared in float32
    return request.param


@pytest.fixture(scope="session")
def gpu() -> None:
    """For tests of what only a GPU does."""
    if WHY_NO_CUDA is not None:
        pytest.skip(WHY_NO_CUDA)


@pytest.fixture(scope="session")
def ops(device: str) -> "ModuleType | OperatorsOnGpu":
    return operators if device == "cpu" else OperatorsOnGpu()


@pytest.fixture(scope="session")
def put(device: str) -> Callable[[T], T]:
    """Puts what a test gives to torch.ops itself on the device."""
    return lambda x: moved(x, device)


@pytest.fixture
def deterministic():
    """Gradients are summed in a fixed order on every device, as they always are on the CPU."""
    before = torch.are_deterministic_algorithms_enabled()
    torch.use_deterministic_algorithms(True)
    yield
    torch.use_deterministic_algorithms(before)


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
    return random_regions.random_map


@pytest.fixture(scope="session")
def random_rois() -> Callable[..., Tensor]:
    return random_regions.random_rois
