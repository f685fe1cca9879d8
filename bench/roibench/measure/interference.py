"""Was the machine quiet while a cell was timed? Timings can't say by themselves; the operating system can."""

from collections.abc import Sequence
from dataclasses import dataclass
from time import monotonic

import numpy as np
import psutil

from roibench.measure.record import Interference
from roibench.measure.timing import Timed

STEAL = 0.01  # of the processors' time
OTHERS = 0.2  # cores: what a machine's own housekeeping may take
FREQUENCY_DROP = 0.1
DRIFT = 0.05


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
    """Looks at the machine when it is made, and after each timed round."""

    def __init__(self, threads: int) -> None:
        self._threads = threads
        self._looks = [_Look.now()]

    def look(self) -> None:
        self._looks.append(_Look.now())

    def report(self, rounds: Sequence[Timed]) -> Interference:
        """What happened between the first look and the last, while `rounds` were timed."""
        first, last = self._looks[0], self._looks[-1]
        cores = psutil.cpu_count() or 1
        seconds = max(last.at - first.at, 1e-9)
        others = max(0.0, (last.busy - first.busy) - (last.own - first.own)) / seconds
        stolen = (last.stolen - first.stolen) / (seconds * cores)
        frequencies = [look.frequency for look in self._looks if look.frequency]
        fall = 1 - min(frequencies) / max(frequencies) if frequencies else None
        slower = drift(rounds)
        warnings = [
            *([f"the hypervisor took {stolen:.0%} of the processors' time"] if stolen > STEAL else []),
            *(
                [f"other processes kept {others:.1f} of {cores} cores busy, this one wants {self._threads}"]
                if others > cores - self._threads + OTHERS
                else []
            ),
            *([f"the processor's clock fell by {fall:.0%}"] if fall and fall > FREQUENCY_DROP else []),
            *(
                [f"the last rounds took {1 + slower:.2f} times as long as the first"]
                if slower is not None and abs(slower) > DRIFT
                else []
            ),
            *(["the rounds gave different predictions"] if not all(one.repeats for one in rounds) else []),
        ]
        return Interference(
            steal=stolen, other_cores=others, frequency_fall=fall, drift=slower, warnings=tuple(warnings)
        )


def drift(rounds: Sequence[Timed]) -> float | None:
    """By how much the last third of the rounds is slower than the first third (0.1: 10 %), None for a single round.

    The median over calls of the ratio of each call's own means: rounds repeat the same images.
    """
    if len(rounds) < 2:
        return None
    third = max(1, len(rounds) // 3)
    seconds = np.array([one.seconds for one in rounds])
    return float(np.median(seconds[-third:].mean(0) / seconds[:third].mean(0)) - 1)
