"""What `roibench doctor` says of CUDA."""

import pytest
import torch

from roibench import ops
from roibench.doctor import cuda_state

BUILT = {"cuda": True, "cuda_version": "13.0", "cuda_archs": "8.0;9.0+PTX", "cuda_missing": None}


@pytest.fixture
def gpu(monkeypatch: pytest.MonkeyPatch) -> None:
    """As torch sees one; whether anything runs on it is another matter."""
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "get_device_name", lambda: "A GPU")
    monkeypatch.setattr(torch.cuda, "get_device_capability", lambda: (7, 5))


def test_cpu_only_says_what_was_missing_when_it_was_built():
    missing = "no nvcc on the PATH when it was built"
    assert cuda_state({"cuda": False, "cuda_missing": missing}) == f"CPU only: {missing}"


def test_without_a_gpu_it_is_built_but_not_usable(monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    assert cuda_state(BUILT) == "built for CUDA 13.0, 8.0;9.0+PTX; not usable: torch finds no GPU"


def test_a_gpu_that_kernels_do_not_run_on_is_not_usable(monkeypatch, gpu):
    def fail(*_: object) -> None:
        raise RuntimeError("no kernel image is available for execution on the device\nand more lines")

    monkeypatch.setattr(torch, "tensor", lambda *_, **__: None)
    monkeypatch.setattr(ops, "box_iou", fail)
    state = cuda_state(BUILT)
    assert state.endswith("; not usable on A GPU, sm_75: no kernel image is available for execution on the device")


def test_a_gpu_that_computes_is_usable(monkeypatch, gpu):
    monkeypatch.setattr(torch, "tensor", lambda *_, **__: torch.zeros(1, 4))
    assert cuda_state(BUILT).endswith("; usable: A GPU, sm_75")


def test_this_build_says_which_of_the_three_it_is():
    assert cuda_state(ops.build_info()).startswith("built for" if ops.build_info()["cuda"] else "CPU only: ")
