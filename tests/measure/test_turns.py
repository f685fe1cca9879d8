"""Who is active when: cells without processes, whose times are made up. test_cells.py has real ones."""

from types import SimpleNamespace

import psutil
import pytest
from planned_cells import planned_cell

from roibench.measure import turns
from roibench.measure.cell import Pace
from roibench.measure.isolate import CellProcessError
from roibench.measure.turns import TooSlow, measure_in_turns
from roibench.registry import installed

SPEED = {"works": 1.0, "points@works": 2.0, "normalised": 3.0}  # seconds per image
RESIDENT = 500.0  # MiB of each process


class Simulated:
    """The processes, and what was asked: log has (step, model, is the twin). fails: model -> in which step."""

    def __init__(self, fails=None, turns_of=None):
        self.log, self.fails, self.turns_of = [], fails or {}, turns_of or {}
        self.alive, self.most = 0, 0
        self.scoring, self.most_scoring = 0, 0

    def process(self, cell, folder, debug):
        world = self
        twin = any(step == "warm_up" and model == cell.model.name for step, model, _ in world.log)
        world.alive += 1
        world.most = max(world.most, world.alive)

        class Process:
            ended = False
            asked = ("prepare",)

            def begin(self, *asked):
                self.asked = asked
                world.scoring += asked[0] == "finish"
                world.most_scoring = max(world.most_scoring, world.scoring)

            def answer(self):
                (step, *arguments), name = self.asked, cell.model.name
                world.scoring -= step == "finish"
                world.log.append((step, name, twin))
                if world.fails.get(name) == step and not twin:
                    raise CellProcessError(f"no {step} today")
                match step:
                    case "prepare":
                        return RESIDENT
                    case "warm_up":
                        return Pace(SPEED[name], world.turns_of.get(name, 25))
                    case "take_turn":
                        return 1000 * SPEED[name] * (1.02 if twin else 1.0)
                    case "finish":
                        [found] = arguments
                        return SimpleNamespace(turns=found, name=name, model_copy=lambda update: found)

            def end(self):
                world.alive -= not self.ended
                self.ended = True

        return Process()


class Watched(list):
    def start(self, cell_id):
        self.append(("started", cell_id))

    def pause(self, cell_id):
        self.append(("paused", cell_id))


@pytest.fixture
def race(third_party, monkeypatch, tmp_path):
    """race(models, ...) -> (records, the world, the watch)."""

    def run(models=tuple(SPEED), max_ms=None, **world):
        simulated, watch = Simulated(**world), Watched()
        monkeypatch.setattr(turns, "CellProcess", simulated.process)
        cells = [planned_cell(name) for name in models]
        records = list(measure_in_turns(cells, tmp_path, installed(), watch, lambda _: None, max_ms=max_ms))
        assert simulated.alive == 0, "no process is left"
        return records, simulated, watch

    return run


def test_in_each_turn_every_cell_and_the_second_process_of_the_median_one_are_active_once(race):
    records, world, _ = race()
    taken = [(name, twin) for step, name, twin in world.log if step == "take_turn"]
    rounds = [taken[start : start + 4] for start in range(0, len(taken), 4)]
    assert len(rounds) == 25
    assert all(sorted(one) == sorted(rounds[0]) for one in rounds)
    assert ("points@works", True) in rounds[0], "the cell of median speed is the reference"
    assert len({tuple(one) for one in rounds}) > 5, "the order is shuffled anew"
    assert [found.reference[0] / 1000 for found in records] == pytest.approx([2.04] * 3)


def test_the_noise_floor_is_what_the_two_processes_of_one_cell_differ_by(race):
    records, _, _ = race()
    assert {round(found.noise_floor, 6) for found in records} == {0.02}


def test_cells_prepare_before_any_is_timed_and_are_scored_side_by_side_after_all_were(race, monkeypatch):
    monkeypatch.setattr(turns.os, "cpu_count", lambda: 2)
    _, world, _ = race()
    steps = [step for step, _, twin in world.log if not twin]
    assert steps == ["prepare"] * 3 + ["warm_up"] * 3 + ["take_turn"] * 75 + ["observe"] * 3 + ["finish"] * 3
    assert world.most_scoring == 2


@pytest.mark.parametrize("step", ["prepare", "warm_up", "take_turn", "observe", "finish"])
def test_a_cell_that_fails_leaves_and_the_others_go_on(race, step):
    records, world, _ = race(fails={"works": step})
    failed = [one for one in records if hasattr(one, "error")]
    assert [one.error for one in failed] == [f"no {step} today"] and len(records) == 3
    assert sum(one == ("take_turn", "normalised", False) for one in world.log) == 25


def test_a_cell_of_few_batches_ends_its_turns_early(race):
    _, world, _ = race(turns_of={"works": 10})
    assert sum(one[:2] == ("take_turn", "works") for one in world.log) == 10


def test_what_does_not_fit_into_memory_waits_and_shares_the_reference(race, monkeypatch):
    enough_for_three = 3.2 * RESIDENT * 2**20 / turns.MEMORY_SHARE
    monkeypatch.setattr(psutil, "virtual_memory", lambda: SimpleNamespace(available=enough_for_three))
    records, world, _ = race()
    assert world.most == 3
    assert [found.group for found in records] == [0, 0, 1]
    assert len({found.run for found in records}) == len({found.reference_cell for found in records}) == 1
    assert all(len(found.reference) == 25 for found in records)


def test_a_cell_that_is_too_slow_is_left_out_before_the_turns(race):
    found, world, _ = race(max_ms=2000)
    assert [one for one in found if isinstance(one, TooSlow)] == [
        TooSlow(planned_cell("normalised").id, "takes 3e+03 ms per image, above 2000")
    ]
    assert {name for step, name, _ in world.log if step == "take_turn"} == {"works", "points@works"}


def test_where_all_are_too_slow_nothing_is_timed(race):
    found, world, _ = race(max_ms=1)
    assert len(found) == 3 and not any(step == "take_turn" for step, _, _ in world.log)


def test_who_is_active_is_told(race):
    _, world, watch = race()
    assert [event for event, _ in watch] == ["started", "paused"] * len(world.log)


def test_nobody_runs_nothing(race):
    assert race(models=())[0] == []
