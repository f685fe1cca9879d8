"""Noise is seen, quiet is not called noise. Counters are given, not waited for."""

import psutil
import pytest

from roibench.measure.interference import SystemMonitor
from roibench.measure.timing import Timed


def timed(*seconds: float, repeats: bool = True) -> Timed:
    return Timed([], list(seconds), list(seconds), [1] * len(seconds), repeats)


@pytest.fixture
def machine(monkeypatch):
    """machine(second, **counters): sets the clock and the counters of a machine with two cores."""
    times = psutil.cpu_times()._replace(**dict.fromkeys(psutil.cpu_times()._fields, 0.0))
    process = psutil.Process().cpu_times()

    class Process:
        def cpu_times(self):
            return process._replace(user=process_user[0], system=0.0)

    process_user = [0.0]

    def set_to(second: float, own: float = 0.0, megahertz: float = 2600.0, **counters: float) -> None:
        process_user[0] = own
        monkeypatch.setattr("roibench.measure.interference.monotonic", lambda: second)
        monkeypatch.setattr(psutil, "cpu_times", lambda: times._replace(**counters))
        monkeypatch.setattr(psutil, "Process", Process)
        monkeypatch.setattr(psutil, "cpu_count", lambda: 2)
        frequency = type("Frequency", (), {"current": megahertz})
        monkeypatch.setattr(psutil, "cpu_freq", lambda: frequency, raising=False)

    return set_to


def watched(machine, before: dict, after: dict, threads: int = 1, turns=None):
    machine(0.0, **before)
    monitor = SystemMonitor(threads)
    with monitor:
        machine(10.0, **after)
    return monitor.report(turns or [timed(0.1, 0.2), timed(0.1, 0.2)])


def test_a_quiet_machine_gives_no_warning(machine):
    report = watched(machine, {"user": 5.0, "idle": 9.0, "own": 1.0}, {"user": 15.0, "idle": 19.0, "own": 11.0})
    assert report.warnings == ()
    assert (report.steal, report.other_cores, report.frequency_fall) == pytest.approx((0, 0, 0))


def test_stolen_time_is_seen(machine):
    report = watched(machine, {}, {"user": 10.0, "steal": 1.0, "own": 10.0})
    assert report.steal == pytest.approx(0.05)
    assert report.warnings == ("the hypervisor took 5% of the processors' time",)


def test_other_processes_matter_where_they_leave_too_few_cores(machine):
    after = {"user": 17.0, "own": 10.0, "idle": 3.0}
    assert watched(machine, {}, after).other_cores == pytest.approx(0.7)
    assert watched(machine, {}, after).warnings == ()
    assert "kept 0.7 of 2 cores busy, this one wants 2" in watched(machine, {}, after, threads=2).warnings[0]


def test_a_slower_clock_is_seen(machine):
    report = watched(machine, {"megahertz": 3000.0}, {"megahertz": 2400.0})
    assert report.frequency_fall == pytest.approx(0.2)
    assert report.warnings == ("the processor's clock fell by 20%",)


def test_what_happens_between_turns_is_another_cells(machine):
    machine(0.0)
    monitor = SystemMonitor(2)
    with monitor:
        machine(1.0, user=2.0, own=2.0)
    machine(9.0, user=18.0, own=2.0)
    with monitor:
        machine(10.0, user=20.0, own=4.0)
    assert monitor.report([timed(0.1), timed(0.1)]).other_cores == pytest.approx(0)


def test_turns_that_disagree_are_seen(machine):
    report = watched(machine, {}, {}, turns=[timed(0.1), timed(0.1, repeats=False), timed(0.1)])
    assert report.warnings == ("repeated turns gave different predictions",)


def test_the_real_counters_can_be_read():
    monitor = SystemMonitor(threads=1)
    with monitor:
        pass
    report = monitor.report([timed(0.1)])
    assert report.steal >= 0 and report.other_cores >= 0
