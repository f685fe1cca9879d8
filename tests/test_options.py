"""The options of a run: declared once, the same in pytest and in `roibench run --help`; checked as typed."""

import re
import subprocess
import sys
from pathlib import Path

import pytest
from typer.testing import CliRunner

from roibench import cli
from roibench.options import GROUP, OPTIONS, Options

DEFAULTS = {option.flag: option.default for option in OPTIONS}


def told(text: str) -> str:
    """Without frames and line breaks."""
    return " ".join(text.replace("│", " ").split())


def test_run_lists_every_option_with_type_and_help_in_a_group(monkeypatch):
    monkeypatch.setenv("COLUMNS", "500")
    monkeypatch.setenv("NO_COLOR", "1")
    shown = told(CliRunner().invoke(cli.app, ["run", "--help"]).output)
    assert GROUP in shown
    for option in OPTIONS:
        assert f"{option.flag} {option.type} {option.help_with_default}" in shown


def test_pytest_lists_them_with_the_same_type_and_help(pytestconfig):
    listed = {o.names()[0]: o for o in pytestconfig._parser.getgroup("roibench").options}
    assert list(listed) == [option.flag for option in OPTIONS]
    for option in OPTIONS:
        attributes = listed[option.flag].attrs()
        assert (attributes["metavar"], attributes["help"]) == (option.type, option.help_with_default)


def test_defaults_as_typed_are_the_defaults():
    typed = {flag: text for flag, text in DEFAULTS.items() if text is not None}
    assert Options(**typed | {"--dataset": ["scenes", "icons"]}) == Options()


def test_run_hands_on_what_was_typed_and_nothing_else(monkeypatch):
    called = []
    monkeypatch.setattr("pytest.main", lambda arguments: called.append(arguments) or 0)
    typed = ["run", "--rounds", "5", "-k", "nms", "--batch-size", "-1", "--benchmark-save=x", "--dataset=voc:a b"]
    typed += ["--set", "a=1,2", "--set=b=3"]
    assert CliRunner().invoke(cli.app, typed).exit_code == 0
    [arguments] = called
    ours = [word for word in arguments if word.partition("=")[0] in DEFAULTS]
    assert ours == ["--dataset=voc:a b", "--batch-size=-1", "--rounds=5", "--set=a=1,2", "--set=b=3"]
    assert arguments[-3:] == ["-k", "nms", "--benchmark-save=x"]


@pytest.mark.parametrize(
    ("typed", "options"),
    [
        ({"--model": " faster*, ,fcn"}, {"models": ("faster*", "fcn")}),
        ({"--threads": "1, 2"}, {"threads": (1, 2)}),
        ({"--threads": ""}, {"threads": ()}),
        ({"--precision": "bfloat16,float16"}, {"precisions": ("bfloat16", "float16")}),
        ({"--dataset": ["voc:a,b"]}, {"datasets": ("voc:a,b",)}),
        ({"--cell-timeout": "1.5", "--images": "7"}, {"timeout_s": 1.5, "images": 7}),
        ({"--cell-budget": "60"}, {"budget_s": 60.0}),
        ({"--set": ["a=10, 50", "b=0.5", "a=7"]}, {"knobs": {"a": (10, 50, 7), "b": (0.5,)}}),
        ({"--weights": "a.safetensors"}, {"weights": Path("a.safetensors")}),
    ],
)
def test_what_is_typed_becomes_what_it_means(typed, options):
    assert Options(**typed) == Options(**options)


@pytest.mark.parametrize(
    ("typed", "line"),
    [
        ({"--rounds": "0"}, "--rounds 0: want 1 or more"),
        ({"--rounds": ""}, "--rounds '': want a whole number"),
        ({"--batch-size": "two,0"}, "--batch-size 'two': want whole numbers"),
        ({"--threads": "4,-2"}, "--threads -2: want 1 or more"),
        ({"--device": ","}, "--device: want at least one"),
        ({"--dataset": []}, "--dataset: want at least one"),
        ({"--cell-timeout": "-1"}, "--cell-timeout -1: want a number above 0"),
        ({"--cell-timeout": "inf"}, "--cell-timeout inf: want a number above 0"),
        ({"--cell-timeout": "soon"}, "--cell-timeout 'soon': want a number"),
        ({"--on-bad-data": "ignore"}, "--on-bad-data 'ignore': want one of fail, skip, clip"),
        *(
            ({"--set": ["a=1", wrong]}, f"--set {wrong}: want NAME=NUMBER,..., such as proposals=50,150")
            for wrong in ("a", "a=", "=1", "a=1,ten")
        ),
        ({"--precision": "float8"}, "--precision 'float8': want one of float32, bfloat16, float16"),
    ],
)
def test_what_is_wrong_is_a_line_that_says_what_would_be_right(typed, line):
    with pytest.raises(ValueError, match=f"^{re.escape(line)}$"):
        Options(**typed)


@pytest.mark.parametrize(
    ("wrong", "line"),
    [
        ({"rounds": 0}, "--rounds 0: want 1 or more"),
        ({"devices": []}, "--device: want at least one"),
        ({"knobs": {"a": ()}}, "--set: want at least one"),
        ({"datasets": "voc:a,b"}, "--dataset 'voc:a,b': "),
        ({"model": ["fcn"]}, "model ['fcn']: "),
    ],
)
def test_options_from_python_are_checked_too(wrong, line):
    with pytest.raises(ValueError, match=f"^{re.escape(line)}"):
        Options(**wrong)


def test_help_needs_no_torch():
    code = "import sys, roibench.cli, roibench.pytest_plugin; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code]).returncode == 0
