"""What is printed arrives whole: in a pipe, on a narrow terminal, as ASCII, and line by line in a log."""

import fcntl
import os
import pty
import struct
import subprocess
import sys
import termios
from pathlib import Path

import pytest

from roibench.registry import Registry

LONG = "retinanet_cross_entropy"
RUN = ("run", "--model", "works", "--dataset", "squares", "--rounds", "1", "--out", "runs")


def roibench(*arguments: str, folder: Path, **environment: str) -> subprocess.CompletedProcess:
    command = [sys.executable, "-m", "roibench", *arguments]
    return subprocess.run(
        command, cwd=folder, env=os.environ | environment, capture_output=True, text=True, timeout=300
    )


@pytest.fixture(scope="module")
def run(tmp_path_factory) -> Path:
    """A folder with a run in it, made in a pipe that takes ASCII alone."""
    folder = tmp_path_factory.mktemp("console")
    path = os.pathsep.join(filter(None, [str(Path(__file__).parent / "third_party"), os.environ.get("PYTHONPATH")]))
    done = roibench(*RUN, folder=folder, PYTHONIOENCODING="ascii", PYTHONPATH=path, COLUMNS="30")
    (folder / "log").write_text(done.stdout + done.stderr)
    assert done.returncode == 0, done.stdout + done.stderr
    return folder


def test_a_run_is_told_in_ascii_where_nothing_else_can_be_written(run):
    log = (run / "log").read_text()
    assert "100.0 [100.0, 100.0]" in log and "|* |works |" in log and "UnicodeEncodeError" not in log
    assert "●" in next(run.glob("runs/*/table.md")).read_text()


def test_the_log_of_a_run_tells_how_far_it_is_and_of_each_cell_what_came_out(run):
    lines = (run / "log").read_text().splitlines()
    [done] = [line for line in lines if line.startswith("cell 1 of 1, works-squares-cpu-float32-")]
    assert ": AP 100.0 [100.0, 100.0] %, " in done and done.endswith(" ms")
    begun = next(line for line in lines if line.startswith("in turns: works-squares-cpu-float32-"))
    assert lines.index("preparing 1 cell") < lines.index(begun) < lines.index("scoring") < lines.index(done)


@pytest.mark.usefixtures("third_party")
@pytest.mark.parametrize("arguments", [("--help",), ("train", "--help")])
def test_help_is_told_in_ascii_where_nothing_else_can_be_written(tmp_path, arguments):
    done = roibench(*arguments, folder=tmp_path, PYTHONIOENCODING="ascii", COLUMNS="30")
    assert done.returncode == 0 and done.stdout.isascii() and "--help" in done.stdout, done.stderr


@pytest.mark.usefixtures("third_party")
@pytest.mark.parametrize("command", ["list", "doctor"])
def test_names_are_whole_in_a_pipe_that_takes_ascii_alone(tmp_path, command):
    done = roibench(command, folder=tmp_path, PYTHONIOENCODING="ascii", COLUMNS="20")
    words = set(done.stdout.replace("@MODEL", "").replace("/", " ").replace(",", " ").split())
    assert {LONG, "faster_rcnn_mobilenet", "grad_cam", "undeclared_stage"} <= words, done.stderr
    assert done.stdout.isascii() and "..." not in done.stdout
    if command == "list":  # nor is a cell broken, and what isn't ASCII is replaced
        assert "a folder with SPLIT, SPLITannot and perhaps classes.txt" in done.stdout
        assert "12 squares of 40 x 48 pixels, without boxes" in done.stdout


@pytest.mark.usefixtures("third_party")
def test_a_comparison_and_a_mistake_are_told_there_too(run, tmp_path):
    [folder] = (run / "runs").iterdir()
    done = roibench("rank", str(folder), folder=tmp_path, PYTHONIOENCODING="ascii")
    assert done.returncode == 0 and "100.0 [100.0, 100.0]" in done.stdout and done.stdout.isascii(), done.stderr
    done = roibench("gallery", "Prüfläufe/●", folder=tmp_path, PYTHONIOENCODING="ascii")
    assert done.returncode == 2 and len(done.stderr.splitlines()) == 1 and "no run's folder" in done.stderr


def on_a_terminal(*arguments: str, columns: int) -> str:
    """What a command prints on a terminal so wide."""
    ours, theirs = pty.openpty()
    fcntl.ioctl(theirs, termios.TIOCSWINSZ, struct.pack("HHHH", 24, columns, 0, 0))
    environment = {name: value for name, value in os.environ.items() if name not in ("COLUMNS", "LINES")}
    command = [sys.executable, "-m", "roibench", *arguments]
    running = subprocess.Popen(
        command, stdout=theirs, stderr=theirs, stdin=theirs, env=environment | {"TERM": "xterm", "NO_COLOR": "1"}
    )
    os.close(theirs)
    printed = b""
    try:
        while piece := os.read(ours, 4096):
            printed += piece
    except OSError:  # the other side is closed
        pass
    os.close(ours)
    assert running.wait() == 0, printed
    return printed.decode()


@pytest.mark.usefixtures("third_party")
def test_names_are_whole_on_a_narrow_terminal(run):
    [folder] = (run / "runs").iterdir()
    listed = on_a_terminal("list", columns=44)
    assert LONG in listed and "parameter_randomization" in listed and "…" not in listed
    assert "works" in (compared := on_a_terminal("rank", str(folder), columns=30)) and "…" not in compared


def test_the_log_of_a_training_has_a_line_per_epoch_as_it_goes(tmp_path, third_party: Registry):
    command = [sys.executable, "-m", "roibench", "train", "faster_rcnn", "--dataset", "squares", "--threads", "1"]
    command += ["--workers", "0", "--epochs", "2", "--precision", "float32", "--out", "here"]
    running = subprocess.Popen(command, cwd=tmp_path, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    lines = [running.stdout.readline()]
    assert running.poll() is None  # the first epoch is told while the second one runs
    lines += running.stdout.readlines()
    assert running.wait(timeout=300) == 0, lines
    assert [line.partition(":")[0] for line in lines[:2]] == ["epoch 1", "epoch 2"], lines
    assert all("loss" in line for line in lines[:2])
    assert len(lines) == 4 and "━" not in "".join(lines)  # what was written, and how to measure it
