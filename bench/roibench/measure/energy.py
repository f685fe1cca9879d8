"""Joules that predictions take, where the machine counts them: RAPL of the processor's packages, NVML of a GPU.

Both count what a whole chip takes, whoever uses it, so that its power at rest is measured first and subtracted, and a
turn is counted from its first call to its last, with what decodes images between. RAPL of Linux's powercap
(docs.kernel.org/power/powercap); most systems let the superuser alone read it. NVML by the package nvidia-ml-py.
"""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from time import perf_counter, sleep

import torch

from roibench.measure.record import Energy
from roibench.measure.steady import median_interval
from roibench.sources import how_to_install

POWERCAP = Path("/sys/class/powercap")
REST_S = 2.0
MICRO, MILLI = 1e-6, 1e-3


class NoEnergyError(RuntimeError):
    """Nothing counts joules here; the message says why."""


@dataclass(frozen=True)
class Counter:
    """Joules since some moment. wraps: the count after which it begins again at 0."""

    name: str
    read: Callable[[], float]
    wraps: float = math.inf

    def since(self, before: float) -> float:
        """Joules from a count on, if it has begun again at most once."""
        grown = self.read() - before
        return grown if grown >= 0 else grown + self.wraps


def counters(device: torch.device, powercap: Path = POWERCAP) -> list[Counter]:
    """Of the processor, and of the GPU that the device is. Raises NoEnergyError where the device has none."""
    try:
        packages = rapl(powercap)
    except NoEnergyError:
        if device.type == "cpu":
            raise
        packages = []
    return packages if device.type == "cpu" else [*packages, nvml(device)]


def rapl(powercap: Path = POWERCAP) -> list[Counter]:
    """One per package of the processor. Raises NoEnergyError."""
    found = []
    for zone in sorted(powercap.glob("intel-rapl:*")):
        # Parts of packages count within them, and `psys` counts them all again.
        if not (zone / "name").is_file() or not (zone / "name").read_text().startswith("package"):
            continue
        count = zone / "energy_uj"
        try:
            wraps = int((zone / "max_energy_range_uj").read_text()) * MICRO
            found.append(Counter(f"RAPL {(zone / 'name').read_text().strip()}", _microjoules(count), wraps))
            found[-1].read()
        except (OSError, ValueError) as error:
            reason = "want the right to read it" if isinstance(error, PermissionError) else str(error)
            raise NoEnergyError(f"{count}: {reason}") from error
    if not found:
        raise NoEnergyError(f"no RAPL package in {powercap}")
    return found


def _microjoules(file: Path) -> Callable[[], float]:
    return lambda: int(file.read_text()) * MICRO


def nvml(device: torch.device) -> Counter:
    """Raises NoEnergyError."""
    try:
        import pynvml
    except ImportError as error:
        raise NoEnergyError(f"NVML needs the package nvidia-ml-py: {how_to_install('pynvml')}") from error
    try:
        pynvml.nvmlInit()
        gpu = pynvml.nvmlDeviceGetHandleByUUID(f"GPU-{torch.cuda.get_device_properties(device).uuid}")
        pynvml.nvmlDeviceGetTotalEnergyConsumption(gpu)
    except pynvml.NVMLError as error:
        raise NoEnergyError(f"NVML: {error}") from error
    return Counter("NVML", lambda: pynvml.nvmlDeviceGetTotalEnergyConsumption(gpu) * MILLI)


def energy_state() -> str:
    """What counts joules here, or why nothing does."""
    devices = [torch.device("cpu"), *([torch.device("cuda", 0)] if torch.cuda.is_available() else [])]
    found = []
    for device in devices:
        try:
            found.append(", ".join(counter.name for counter in counters(device)))
        except NoEnergyError as error:
            found.append(f"not available: {error}")
    return "; ".join(f"{device.type}: {state}" for device, state in zip(devices, found, strict=True))


class EnergyMeter:
    """Counts the joules of each block of `with meter:`, one per turn."""

    def __init__(self, counters: Sequence[Counter], wait: Callable[[float], None] = sleep) -> None:
        self._counters, self._turns = counters, list[tuple[float, float]]()  # of each turn joules and seconds
        self.idle_watts = 0.0
        if counters:
            with self:
                wait(REST_S)
            joules, seconds = self._turns.pop()
            self.idle_watts = joules / seconds

    @classmethod
    def of(cls, device: torch.device) -> "EnergyMeter":
        """At rest while this is called. Where nothing counts joules, it counts nothing."""
        try:
            return cls(counters(device))
        except NoEnergyError:
            return cls(())

    def __enter__(self) -> None:
        self._before = perf_counter(), [counter.read() for counter in self._counters]

    def __exit__(self, *_: object) -> None:
        began, counts = self._before
        joules = sum(counter.since(count) for counter, count in zip(self._counters, counts, strict=True))
        self._turns.append((joules, perf_counter() - began))

    def report(self, images: Sequence[int]) -> Energy | None:
        """Joules per image above rest; None where nothing counts them. images: of each turn, how many."""
        if not self._counters:
            return None
        above = [joules - self.idle_watts * seconds for joules, seconds in self._turns]
        turns = [joules / count for joules, count in zip(above, images, strict=True)]
        return Energy(
            joules=median_interval(sum(above) / sum(images), turns),
            idle_watts=self.idle_watts,
            counters=tuple(counter.name for counter in self._counters),
            turns=turns,
        )
