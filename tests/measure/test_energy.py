"""Joules: read from what Linux shows of the processor, above rest, per image; or said why not."""

import pytest
import torch

from roibench.measure import energy
from roibench.measure.energy import Counter, EnergyMeter, NoEnergyError, counters, energy_state, rapl

CPU = torch.device("cpu")


def zone(folder, number, name, microjoules, most=1_000_000):
    made = folder / f"intel-rapl:{number}"
    made.mkdir(parents=True)
    (made / "name").write_text(f"{name}\n")
    (made / "energy_uj").write_text(f"{microjoules}\n")
    (made / "max_energy_range_uj").write_text(f"{most}\n")
    return made


def test_packages_are_read_and_nothing_is_counted_twice(tmp_path):
    first = zone(tmp_path, "0", "package-0", 250_000)
    zone(tmp_path, "0:0", "core", 100_000)
    zone(tmp_path, "1", "package-1", 500_000)
    zone(tmp_path, "2", "psys", 900_000)
    found = counters(CPU, tmp_path)
    assert [one.name for one in found] == ["RAPL package-0", "RAPL package-1"]
    assert [one.read() for one in found] == [0.25, 0.5]
    (first / "energy_uj").write_text("50000\n")
    assert found[0].since(0.9) == pytest.approx(0.15)  # it began again at 1 J


def test_what_is_missing_is_said(tmp_path, monkeypatch):
    with pytest.raises(NoEnergyError, match=f"no RAPL package in {tmp_path}"):
        rapl(tmp_path)
    broken = zone(tmp_path, "0", "package-0", "a lot")
    with pytest.raises(NoEnergyError, match=f"{broken}/energy_uj: "):
        rapl(tmp_path)
    monkeypatch.setattr(energy, "POWERCAP", tmp_path)
    assert "not available" in energy_state() or "RAPL" in energy_state()


class Chip:
    """Takes 5 W at rest, and 2 J more for each image."""

    def __init__(self, monkeypatch):
        self.at, self.spent = 0.0, 0.0
        monkeypatch.setattr(energy, "perf_counter", lambda: self.at)

    def rest(self, seconds):
        self.at += seconds
        self.spent += 5 * seconds

    def work(self, images):
        self.rest(0.1 * images)
        self.spent += 2 * images


def test_rest_is_subtracted(monkeypatch):
    chip = Chip(monkeypatch)
    meter = EnergyMeter([Counter("chip", lambda: chip.spent)], wait=chip.rest)
    counts = [4, 4, 4, 2]
    for images in counts:
        chip.rest(3)  # between turns nothing is counted
        with meter:
            chip.work(images)
    found = meter.report(counts)
    assert found.idle_watts == pytest.approx(5) and found.counters == ("chip",)
    assert found.joules.value == pytest.approx(2) and found.turns == pytest.approx([2, 2, 2, 2])
    assert found.joules.low == pytest.approx(2) and found.joules.high == pytest.approx(2)


def test_without_a_counter_nothing_is_told(monkeypatch):
    chip = Chip(monkeypatch)
    meter = EnergyMeter((), wait=chip.rest)
    with meter:
        chip.work(1)
    assert meter.report([1]) is None and chip.at == pytest.approx(0.1)  # nothing waited for
