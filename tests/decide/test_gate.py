"""Versions that take turns, and what is ruled of them."""

import json
from pathlib import Path

import numpy as np
import pytest
from typer.testing import CliRunner

from roibench import cli
from roibench.decide import gate as gates
from roibench.decide.environment import Environment
from roibench.decide.gate import Gated, Limits, Ruling, gate, parse_limits, rule
from roibench.decide.record_sets import read_record_set
from roibench.decide.sides import SideError
from roibench.measure.record import Interval
from roibench.measure.steady import log_ratio
from roibench.report import gated as report

THIRD_PARTY = Path(__file__).parents[1] / "third_party"
LIMITS = Limits(accuracy=1.0, latency=0.10)
TYPED = {"--model": "works", "--dataset": "squares", "--rounds": "2", "--threads": "1"}
FINDS = '        with stage("lose"'


@pytest.fixture
def version(tmp_path, third_party):
    """version(name, code): the plugin as it is in another version, in which predict begins with this code."""

    def make(name: str, code: str = "") -> Environment:
        folder = tmp_path / name
        folder.mkdir()
        source = (THIRD_PARTY / "misbehaving.py").read_text()
        assert FINDS in source
        (folder / "misbehaving.py").write_text(source.replace(FINDS, f"        {code or 'pass'}\n{FINDS}"))
        return Environment(name=name, version=name * 10, folder=folder)

    return make


def ruled(found: Gated, base: str) -> dict[str, Ruling]:
    return {one.what: one.ruling for one in found.ruled if one.base == base}


def test_a_planted_slowdown_and_a_planted_loss_are_found_and_the_same_is_not_worse(version, tmp_path):
    worse = "time.sleep(0.03); inputs = [inputs[0] for _ in inputs]"  # finds every square where the first one is
    here, same = version("here", worse), version("same", worse)
    better = version("better", "time.sleep(0.005)")
    found = gate([better, same], LIMITS, TYPED | {"--batch-size": "3"}, tmp_path / "out", lambda _: None, here)
    assert ruled(found, "better") == {"detection": Ruling.WORSE, "time": Ruling.WORSE}
    assert ruled(found, "same")["detection"] is Ruling.FINE and ruled(found, "same")["time"] is not Ruling.WORSE
    assert found.ruling is Ruling.WORSE and found.exit_code == 1
    [time] = [one for one in found.ruled if (one.base, one.what) == ("better", "time")]
    assert time.loss.low > 0.2 and time.noise_floor is not None and time.count >= 8
    for side in ("here", "better", "same"):  # what `roibench compare` reads
        assert len(read_record_set(f"{found.folder}/{side}").ran) == 1
    text = report.markdown(found)
    assert "against better (betterbett) and same (samesamesa): worse" in text
    assert "### against better: squares, cpu, float32, batch 3, 1 thread" in text and "| works | time, ms |" in text


def test_a_cell_that_fails_here_and_not_in_the_base_is_worse(version, tmp_path):
    right, wrong = version("right"), version("wrong", "raise ArithmeticError('not\\ntoday')")
    found = gate([right], LIMITS, TYPED, tmp_path / "a", lambda _: None, wrong.model_copy(update={"name": "here"}))
    [(cell, error)] = found.errors["here"].items()
    assert cell.startswith("works on squares") and error == "ArithmeticError: not today"
    assert found.exit_code == 1 and "failed here: works on squares" in report.markdown(found)


def test_what_cannot_be_planned_is_told_in_a_line_and_leaves_nothing(version, tmp_path):
    with pytest.raises(SideError, match=r"here: .*did you mean 'works'"):
        gate([version("base")], LIMITS, TYPED | {"--model": "wroks"}, tmp_path / "out", lambda _: None)
    assert not list((tmp_path / "out").iterdir())


def interval(value, low, high):
    return Interval(value=value, low=low, high=high)


@pytest.mark.parametrize(
    ("loss", "floor", "ruling"),
    [
        (interval(0.15, 0.12, 0.18), 0.02, Ruling.WORSE),
        (interval(0.15, 0.02, 0.30), 0.02, Ruling.WORSE),  # beyond the limit by the estimate, and no chance
        (interval(0.15, -0.02, 0.30), 0.02, Ruling.CANNOT_TELL),
        (interval(0.15, 0.12, 0.18), 0.20, Ruling.CANNOT_TELL),
        (interval(0.08, 0.05, 0.12), 0.02, Ruling.CANNOT_TELL),
        (interval(0.08, 0.07, 0.09), 0.02, Ruling.FINE),
        (interval(-0.5, -0.6, -0.4), 0.02, Ruling.FINE),
        (None, 0.02, Ruling.CANNOT_TELL),
    ],
)
def test_worse_needs_an_estimate_beyond_the_limit_an_interval_without_0_and_more_than_the_noise(loss, floor, ruling):
    assert rule(loss, 0.10, floor) is ruling


def simulated(generator, slower=1.0, turns=50):
    """The time of a gate on a restless machine: a mood that wanders and meets all, and noise of each turn's own."""
    mood = np.cumsum(generator.normal(0, 0.05, turns))
    base, twin, here = (10 * np.exp(mood + generator.normal(0, 0.08, turns)) for _ in range(3))
    ratio = log_ratio(slower * here, base).interval
    loss = Interval(**{name: value - 1 for name, value in ratio.model_dump().items()})
    return rule(loss, 0.10, log_ratio(base, twin).noise_floor)


def test_of_many_gates_of_the_same_none_raises_a_false_alarm_and_most_of_a_slowdown_find_it():
    generator = np.random.default_rng(0)
    same = [simulated(generator) for _ in range(400)]
    assert same.count(Ruling.WORSE) == 0 and same.count(Ruling.FINE) > 380
    slower = [simulated(generator, slower=1.15) for _ in range(400)]
    assert slower.count(Ruling.WORSE) > 350 and slower.count(Ruling.FINE) < 10


def test_limits_are_read_as_typed():
    assert parse_limits("accuracy:-1,latency:+10%") == LIMITS
    assert parse_limits("latency:+2.5%") == Limits(None, 0.025) and parse_limits("accuracy:-0.5") == Limits(0.5, None)
    for typed in ("", "accuracy:1", "latency:10%", "latency:+10", "speed:+3%", "accuracy:-x"):
        with pytest.raises(ValueError, match="--fail-if"):
            parse_limits(typed)


def test_one_loss_decides_the_whole_and_doubt_is_not_fine():
    def whole(*rulings, errors=None):
        loss = interval(0.0, 0.0, 0.0)
        about = dict.fromkeys(("model", "dataset", "setting", "what", "value", "unit", "note"), "x") | {"base": "b"}
        about |= {"old": 1.0, "new": 1.0, "loss": loss, "limit": 0.1, "noise_floor": None, "count": 1}
        rows = tuple(gates.Ruled(**about, ruling=one) for one in rulings)
        empty = {"alone": {}, "left_out": [], "folder": ""}
        return Gated(here="h", bases=("b",), ruled=rows, errors=errors or {}, **empty).exit_code

    assert whole(Ruling.FINE, Ruling.FINE) == 0
    assert whole(Ruling.FINE, Ruling.CANNOT_TELL) == 2
    assert whole(Ruling.CANNOT_TELL, Ruling.WORSE, Ruling.FINE) == 1
    assert whole() == 2 and whole(Ruling.FINE, errors={"base": {"cell": "x"}}) == 2


def test_the_command_writes_its_table_whatever_comes_out_and_ends_with_the_code(version, tmp_path, monkeypatch):
    base = version("base")
    monkeypatch.setattr("roibench.decide.environment.environment", lambda typed, tell: base)
    out = tmp_path / "out"
    words = ["gate", "v1", "--model", "works", "--dataset", "squares", "--rounds", "1", "--out", str(out), "--json"]
    result = CliRunner().invoke(cli.app, [*words, "--fail-if", "accuracy:-1"], catch_exceptions=False)
    assert result.exit_code == 0, result.output  # nothing has changed: accuracies are equal
    [folder] = out.iterdir()
    assert json.loads(result.stdout) == json.loads((folder / "gate.json").read_text())
    assert ": fine" in (folder / "table.md").read_text()
    result = CliRunner().invoke(cli.app, [*words[:-1], "--fail-if", "speed"])
    assert isinstance(result.exception, ValueError) and len(list(out.iterdir())) == 1
