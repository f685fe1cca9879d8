"""Was the machine quiet while a cell was timed? Timings can't say by themselves; the operating system can."""

from collections.abc import Sequence
from dataclasses import dataclass
from time import monotonic

import psutil

from roibench.measure.record import Interference
from roibench.measure.timing import Timed

STEAL = 0.01  # of the processors' time
OTHERS = 0.2  # cores: what a machine's own housekeeping may take
FREQUENCY_DROP = 0.1


@dataclass(frozen=True)
class _Look:
    """Counters at one moment: seconds of all processors since they started, megahertz."""

    at: float
    busy: float
    stolen: float
    own: float
    frequency: float | None

    @classmethod
    def now(cls) -> "_Look":
        machine, own = psutil.cpu_times(), psutil.Process().cpu_times()
        waiting = machine.idle + getattr(machine, "iowait", 0.0)
        # Linux counts a guest's time as its own user's, too.
        twice = getattr(machine, "guest", 0.0) + getattr(machine, "guest_nice", 0.0)
        stolen = getattr(machine, "steal", 0.0)
        frequency = psutil.cpu_freq() if hasattr(psutil, "cpu_freq") else None
        return cls(
            monotonic(),
            sum(machine) - waiting - twice - stolen,
            stolen,
            own.user + own.system,
            frequency.current if frequency else None,
        )


class SystemMonitor:
    """Looks at the machine before and after each block of `with monitor:`, one per turn."""

    def __init__(self, threads: int) -> None:
        self._threads = threads
        self._looks: list[tuple[_Look, _Look]] = []

    def __enter__(self) -> None:
        self._before = _Look.now()

    def __exit__(self, *_: object) -> None:
        self._looks.append((self._before, _Look.now()))

    def report(self, turns: Sequence[Timed]) -> Interference:
        """What happened in the blocks, in which `turns` were timed."""
        cores = psutil.cpu_count() or 1

        def spent(what: str) -> float:
            return sum(getattr(after, what) - getattr(before, what) for before, after in self._looks)

        seconds = max(spent("at"), 1e-9)
        others = max(0.0, spent("busy") - spent("own")) / seconds
        stolen = spent("stolen") / (seconds * cores)
        frequencies = [look.frequency for pair in self._looks for look in pair if look.frequency]
        fall = 1 - min(frequencies) / max(frequencies) if frequencies else None
        warnings = [
            *([f"the hypervisor took {stolen:.0%} of the processors' time"] if stolen > STEAL else []),
            *(
                [f"other processes kept {others:.1f} of {cores} cores busy, this one wants {self._threads}"]
                if others > cores - self._threads + OTHERS
                else []
            ),
            *([f"the processor's clock fell by {fall:.0%}"] if fall and fall > FREQUENCY_DROP else []),
            *(["repeated turns gave different predictions"] if not all(one.repeats for one in turns) else []),
        ]
        return Interference(steal=stolen, other_cores=others, frequency_fall=fall, warnings=tuple(warnings))
