"""docs/deciding.md and docs/gate.yml: every command in them is one, and what reads records is run."""

import re
import shlex
import shutil
from pathlib import Path

import pytest
from typer.testing import CliRunner

from roibench import cli
from roibench.decide.environment import Environment
from roibench.decide.gate import Gated, parse_limits
from roibench.decide.sides import Tell

ROOT = Path(__file__).parents[2]
LINES = re.findall(r"^    roibench (.*)$", (ROOT / "docs/deciding.md").read_text(), re.M)
WORKFLOW = (ROOT / "docs/gate.yml").read_text()


@pytest.fixture
def checkout(tmp_path, monkeypatch):
    """The published records, in a folder that may be written into."""
    shutil.copytree(ROOT / "results", tmp_path / "results", ignore=shutil.ignore_patterns("runs", "*.png"))
    monkeypatch.chdir(tmp_path)


@pytest.mark.parametrize("line", [line for line in LINES if line.split()[0] in ("choose", "compare", "report")])
def test_what_the_page_reads_from_published_records_works(line, checkout):
    if "HEAD" in line and not (ROOT / ".git").exists():
        pytest.skip("no git checkout")
    result = CliRunner().invoke(cli.app, shlex.split(line))
    assert result.exit_code == 0, (result.output, result.exception)
    assert result.output


def gated(monkeypatch, tmp_path, line: str) -> tuple[list[str], dict]:
    """What a line asks of the gate, which measures nothing: bases, and the options of the run."""
    asked = {}

    def gate(bases: list[Environment], limits: object, typed: dict, out: Path, tell: Tell) -> Gated:
        asked.update(bases=[base.name for base in bases], limits=limits, typed=typed)
        empty = {"ruled": (), "errors": {}, "alone": {}, "left_out": []}
        return Gated(here="h", bases=("b",), folder=str(tmp_path), **empty)

    built = Environment(name="base", version="0", folder=None)
    monkeypatch.setattr("roibench.decide.environment.environment", lambda typed, tell: built)
    monkeypatch.setattr("roibench.decide.gate.gate", gate)
    result = CliRunner().invoke(cli.app, shlex.split(line), catch_exceptions=False)
    assert result.exit_code == 2, result.output  # nothing was compared
    return asked


@pytest.mark.parametrize("line", [line for line in LINES if line.startswith("gate")])
def test_the_gate_of_the_page_is_one(line, monkeypatch, tmp_path):
    asked = gated(monkeypatch, tmp_path, line)
    assert asked["bases"] == ["base"] and asked["limits"] == parse_limits("accuracy:-1,latency:+10%")
    assert asked["typed"] == {"--rounds": "4", "--model": "yolo,resnet_classifier"}


def test_the_workflow_runs_a_gate_and_tells_its_exit_codes_apart(monkeypatch, tmp_path):
    yaml = pytest.importorskip("yaml", reason="no PyYAML to read the workflow with")
    steps = yaml.safe_load(WORKFLOW)["jobs"]["gate"]["steps"]
    [script] = [step["run"] for step in steps if step.get("name") == "Gate"]
    [line] = re.findall(r"roibench (gate .*?) >>", script)
    asked = gated(monkeypatch, tmp_path, line.replace('"$base"', "base"))
    assert asked["typed"]["--model"] == "yolo,fcn,resnet_classifier"
    assert 'if [ "$code" = 2 ]' in script and 'exit "$code"' in script


def test_commands_that_measure_are_there():
    names = {command.name or command.callback.__name__ for command in cli.app.registered_commands}
    assert {line.split()[0] for line in LINES} <= names | {"list"}
