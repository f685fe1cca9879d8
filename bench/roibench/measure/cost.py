"""What a model costs beside time: memory, parameters, floating-point operations."""

import resource
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import psutil
import torch
from torch import nn
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.utils.flop_counter import FlopCounterMode

from roibench.measure.record import Cost, Memory
from roibench.model import Model, Wrapper
from roibench.ops import flops  # noqa: F401 - registers our operators' formulas
from roibench.structures import Input

MIB = 2**20
_LINUX_PEAK = Path("/proc/self/clear_refs")


def memory_now(device: torch.device) -> float:
    """MiB in use: resident memory of this process, or on a GPU what torch's allocator holds."""
    if device.type == "cuda":
        return torch.cuda.memory_allocated(device) / MIB
    return psutil.Process().memory_info().rss / MIB


def code_now() -> float:
    """MiB of this process that are pages of files: the libraries' code, as far as it was needed by now. How much of it
    comes with a page is the system's choice of the moment.
    """
    return getattr(psutil.Process().memory_info(), "shared", 0) / MIB


@dataclass
class MemorySeen:
    """found: filled in at the end of the block."""

    found: Memory | None = None


@contextmanager
def peak_memory(device: torch.device) -> Iterator[MemorySeen]:
    """Sees what memory the block takes: memory_now before it, and at its peak, without code loaded meanwhile."""
    seen, before, code = MemorySeen(), memory_now(device), code_now()
    if device.type == "cuda":
        torch.cuda.reset_peak_memory_stats(device)
    elif _LINUX_PEAK.exists():
        _LINUX_PEAK.write_text("5")  # proc(5), clear_refs: the peak begins anew at what is resident now
    yield seen
    loaded = 0.0 if device.type == "cuda" else max(0.0, code_now() - code)
    seen.found = Memory(before=before, peak=max(before, _peak(device) - loaded))


def _peak(device: torch.device) -> float:
    if device.type == "cuda":
        return torch.cuda.max_memory_allocated(device) / MIB
    status = Path("/proc/self/status")
    if status.exists():
        line = next(line for line in status.read_text().splitlines() if line.startswith("VmHWM:"))
        return int(line.split()[1]) / 1024
    unit = 1 if sys.platform == "darwin" else 1024  # elsewhere it is the highest of this process so far
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit / MIB


def count_cost(model: Model, batches: Sequence[Sequence[Input]]) -> Cost:
    """FLOPs of predict per image, averaged over the batches, by torch's counter and our operators' formulas; None where
    these count nothing, because what is computed is done by something else.

    torch counts matrix products, convolutions and attention, a multiply-add as two; attention only where it runs as
    plain matrix products, hence the switches. Element-wise work is not counted.
    """
    images = sum(len(batch) for batch in batches)
    total = _flops(model, batches)
    once = _flops(model.inner, batches) if isinstance(model, Wrapper) else 0
    return Cost(
        parameters=_trainable(model),
        flops=total / images or None,
        counted_images=images,
        passes=total / once if once else None,
    )


def _trainable(model: Model) -> int | None:
    """A wrapper's are those of the model inside; buffers, such as a frozen batch norm's, are none."""
    parameters = model.parameters() if isinstance(model, nn.Module) else ()
    return sum(parameter.numel() for parameter in parameters) or None


def _flops(model: Model, batches: Sequence[Sequence[Input]]) -> int:
    fast_path = torch.backends.mha.get_fastpath_enabled()
    torch.backends.mha.set_fastpath_enabled(False)
    # The counter follows gradients back, and breaks off at a view of a parameter that was taken in inference mode.
    parameters = model.parameters() if isinstance(model, nn.Module) else ()
    learned = [parameter.requires_grad_(False) for parameter in parameters if parameter.requires_grad]
    try:
        with sdpa_kernel(SDPBackend.MATH), FlopCounterMode(display=False) as counter:
            for batch in batches:
                model.predict(batch)
    finally:
        torch.backends.mha.set_fastpath_enabled(fast_path)
        for parameter in learned:
            parameter.requires_grad_()
    return counter.get_total_flops()
