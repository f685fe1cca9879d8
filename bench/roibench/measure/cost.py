"""What a model costs beside time: memory, parameters, floating-point operations."""

import resource
import sys
from collections.abc import Sequence
from pathlib import Path

import psutil
import torch
from torch import nn
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.utils.flop_counter import FlopCounterMode

from roibench.measure.record import Cost
from roibench.model import Model, Wrapper
from roibench.ops import flops  # noqa: F401 - registers our operators' formulas
from roibench.structures import Input
from roibench.weights import learned_parameters

MIB = 2**20


def memory_now(device: torch.device) -> float:
    """MiB in use: resident memory of this process, or on a GPU what torch's allocator holds."""
    if device.type == "cuda":
        return torch.cuda.memory_allocated(device) / MIB
    return psutil.Process().memory_info().rss / MIB


def memory_peak(device: torch.device) -> float:
    """The largest memory_now of this process so far."""
    if device.type == "cuda":
        return torch.cuda.max_memory_allocated(device) / MIB
    status = Path("/proc/self/status")
    if status.exists():
        # Not ru_maxrss: on Linux a spawned process inherits its parent's.
        line = next(line for line in status.read_text().splitlines() if line.startswith("VmHWM:"))
        return int(line.split()[1]) / 1024
    unit = 1 if sys.platform == "darwin" else 1024
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
        parameters=learned_parameters(model.state_dict()),
        flops=total / images or None,
        counted_images=images,
        passes=total / once if once else None,
    )


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
