"""Killed, interrupted, out of disk: what was finished is safe, and the next run goes on with the rest."""

import json
import os
import random
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import psutil
import pytest
from planned_cells import planned_cell

from roibench.files import BusyError, UnwritableError, hold, write_atomically
from roibench.measure.executors import Executor
from roibench.measure.isolate import failed
from roibench.measure.journal import FILE, Journal, read_lines, read_records
from roibench.measure.plan import Plan
from roibench.measure.record import Record
from roibench.measure.run import Run
from roibench.registry import Registry, installed

PATIENCE_S = 300.0  # machines that run tests are busy
CELLS = 200


def wait_for(what: Callable[[], bool], step_s: float = 0.02) -> None:
    deadline = time.monotonic() + PATIENCE_S
    while not what():
        assert time.monotonic() < deadline, "waited in vain"
        time.sleep(step_s)


def lines_of(root: Path, event: str) -> list[bytes]:
    """The whole lines of one kind in the latest run's journal, as they lie on the disk."""
    files = sorted(root.glob(f"*/{FILE}"))
    text = files[-1].read_bytes() if files else b""
    return [line for line in text.splitlines() if line.startswith(b'{"event": "%s"' % event.encode()) and whole(line)]


def whole(line: bytes) -> bool:
    try:
        json.loads(line)
    except json.JSONDecodeError:
        return False
    return True


def whole_plan(plan: Plan, root: Path, executor: Executor) -> None:
    run = Run(plan, root, installed(), executor=executor)
    for _ in run.measure(plan.cells, print):
        pass
    run.finish()


@contextmanager
def process(work: Callable[[], None]) -> Iterator[int]:
    """A forked process at work; killed by SIGKILL at the end of the block. Imports are paid for once."""
    if (pid := os.fork()) == 0:
        try:
            work()
        finally:
            os._exit(0)
    try:
        yield pid
    finally:
        os.kill(pid, signal.SIGKILL)
        os.waitpid(pid, 0)


@pytest.mark.usefixtures("third_party")
def test_a_run_killed_at_ten_random_moments_loses_and_repeats_nothing(tmp_path):
    """The cells' own processes are left out (they have the next test), so that 200 of them take moments."""
    plan = Plan([planned_cell("works", seed=i) for i in range(CELLS)])
    rng = random.Random(0)

    def quickly(cells, folder: Path, registry: Registry, watch: Journal, *_) -> Iterator[Record]:
        for cell in cells:
            watch.start(cell.id)
            time.sleep(random.random() * 0.004)
            write_atomically(folder / "predictions" / f"{cell.id}.npz", b"x" * 1000)
            yield failed(cell.spec, "padding: " + "x" * random.randrange(20_000), registry)

    before: list[bytes] = []
    for enough in sorted(rng.sample(range(5, CELLS - 20), 10)):
        with process(lambda: whole_plan(plan, tmp_path, quickly)):
            wait_for(lambda enough=enough: len(lines_of(tmp_path, "record")) >= enough, step_s=0.0005)
            time.sleep(rng.random() * 0.01)
        after = lines_of(tmp_path, "record")
        assert after[: len(before)] == before, "what was recorded is still there, byte for byte"
        before = after
        if rng.random() < 0.7:  # power that fails in the midst of a write leaves a part of a line
            with next(tmp_path.glob(f"*/{FILE}")).open("ab") as file:
                file.write(before[-1][: rng.randrange(1, len(before[-1]))])
    whole_plan(plan, tmp_path, quickly)

    [folder] = tmp_path.iterdir()
    lines = read_lines(folder / FILE)
    recorded = [line["record"]["cell_id"] for line in lines if line["event"] == "record"]
    assert sorted(recorded) == sorted(cell.id for cell in plan.cells), "one record per cell"
    starts = [line["cell_id"] for line in lines if line["event"] == "started"]
    for record in read_records(folder):  # two kills may hit one cell: then, and only then, it takes the blame
        assert 1 <= starts.count(record.cell_id) <= 2
        assert ("when the run died" in record.error) <= (starts.count(record.cell_id) == 2)
    assert lines[-1]["event"] == "finished"


@pytest.fixture
def roibench(tmp_path, third_party) -> Iterator[Callable[..., subprocess.Popen]]:
    """Starts the command in a process group of its own; none outlives the test."""
    started: list[subprocess.Popen] = []

    def start(*arguments: str) -> subprocess.Popen:
        command = [sys.executable, "-m", "roibench", *arguments]
        pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True}
        started.append(subprocess.Popen(command, cwd=tmp_path, start_new_session=True, **pipes))
        return started[-1]

    yield start
    for one in started:
        if one.poll() is None:
            os.killpg(one.pid, signal.SIGKILL)
            one.communicate()


RUN = ("run", "--dataset", "squares", "--rounds", "1", "--out", "runs")


def test_cells_that_are_alive_end_with_their_parent(tmp_path, roibench):
    running = roibench(*RUN, "--model", "works,hangs")
    wait_for(lambda: len(lines_of(tmp_path / "runs", "paused")) >= 1)  # one is ready, the other one hangs
    family = psutil.Process(running.pid).children(recursive=True)
    running.kill()
    assert len(family) >= 2 and not psutil.wait_procs(family, timeout=PATIENCE_S)[1]


def test_a_killed_run_is_completed_by_the_next_one(tmp_path, roibench):
    arguments = (*RUN, "--model", "works", "--batch-size", "1,2")
    root = tmp_path / "runs"
    running = roibench(*arguments)

    def stops_while_a_cell_is_active() -> bool:
        """In the midst of the turns; between two of them nobody is to blame."""
        running.send_signal(signal.SIGSTOP)
        wait_for(lambda: psutil.Process(running.pid).status() == psutil.STATUS_STOPPED)
        started = len(lines_of(root, "started"))
        if started >= 20 and started > len(lines_of(root, "paused")):
            return True
        running.send_signal(signal.SIGCONT)
        return False

    wait_for(stops_while_a_cell_is_active)
    running.kill()
    running.communicate()
    before = lines_of(root, "record")
    running = roibench(*arguments)
    output = "".join(running.communicate(timeout=PATIENCE_S))
    assert running.returncode == 0, output
    after = lines_of(root, "record")
    assert after[: len(before)] == before and len(after) == 2
    [folder] = root.iterdir()
    assert [record.status for record in read_records(folder)] == ["ok", "ok"]
    assert max(Journal(folder).starts.values()) == 1, "the cell that was active is blamed once"


def test_ctrl_c_ends_a_run_in_a_line_and_is_not_held_against_the_cell(tmp_path, roibench):
    running = roibench(*RUN, "--model", "works,hangs")
    wait_for(
        lambda: len(lines_of(tmp_path / "runs", "paused")) >= 1
    )  # the one that works is ready, the other one hangs
    family = psutil.Process(running.pid).children(recursive=True)
    os.killpg(running.pid, signal.SIGINT)
    output, errors = running.communicate(timeout=PATIENCE_S)
    assert running.returncode == 130, output + errors
    assert "interrupted; what was finished is safe" in errors
    assert "Traceback" not in output + errors
    assert not psutil.wait_procs(family, timeout=PATIENCE_S)[1]
    [folder] = (tmp_path / "runs").iterdir()
    journal = Journal(folder)
    assert not journal.records and not any(journal.starts.values())


def test_ctrl_c_ends_a_training_in_a_line_and_it_goes_on(tmp_path, roibench):
    command = ("train", "faster_rcnn", "--dataset", "squares", "--threads", "1", "--out", "here", "--epochs", "500")
    running = roibench(*command)
    wait_for(lambda: (tmp_path / "here" / "checkpoint.pt").exists())
    os.killpg(running.pid, signal.SIGINT)
    output, errors = running.communicate(timeout=PATIENCE_S)
    assert running.returncode == 130, output + errors
    assert errors.strip().splitlines()[-1].startswith("interrupted; what was finished is safe")
    assert "Traceback" not in output + errors
    epochs = [json.loads(line)["epoch"] for line in (tmp_path / "here" / "training.jsonl").read_text().splitlines()]
    assert epochs == list(range(1, len(epochs) + 1))


@pytest.fixture
def small_disk(tmp_path) -> Iterator[Path]:
    """A file system of 256 KiB."""
    folder = tmp_path / "disk"
    folder.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=256k", "tmpfs", str(folder)]
    try:
        subprocess.run(mount, check=True, capture_output=True)
    except (OSError, subprocess.CalledProcessError) as error:
        pytest.skip(f"can't mount a small file system here: {error}")
    yield folder
    subprocess.run(["umount", str(folder)], check=True)


def test_a_full_disk_ends_a_run_in_a_line_and_what_was_finished_is_safe(small_disk, roibench):
    # Leaves space for one cell's record, and for the files of the two that are scored side by side.
    (small_disk / "filler").write_bytes(bytes((256 - 152) * 1024))
    arguments = ("run", "--dataset", "squares", "--model", "works", "--batch-size", "1,2,3", "--out", str(small_disk))
    running = roibench(*arguments)
    output, errors = running.communicate(timeout=PATIENCE_S)
    assert running.returncode == 1, output + errors
    [line] = [line for line in output.splitlines() if "what was finished is safe" in line]
    assert "No space left on device" in line and "Traceback" not in output + errors
    [folder] = [path.parent for path in small_disk.glob(f"*/{FILE}")]
    records = read_records(folder)
    assert 1 <= len(records) < 3 and all(record.status == "ok" for record in records), "no cell is blamed"


def test_a_journal_that_filled_the_disk_goes_on_when_there_is_room(small_disk):
    filler = small_disk / "filler"
    filler.write_bytes(bytes(232 * 1024))
    journal = Journal.open(small_disk, "k")
    started = 0
    with pytest.raises(UnwritableError, match="No space left on device"):
        for started in range(CELLS):
            journal.start(f"{started} " + "x" * 1000)
    filler.unlink()
    journal.close()
    again = Journal.open(small_disk, "k")
    assert again.folder == journal.folder and len(again.starts) == started > 0
    again.start("one more")
    again.close()
    assert set(Journal(again.folder).starts) == {*again.starts, "one more"}


def test_a_file_that_can_not_be_written_stays_as_it_was(small_disk):
    path = write_atomically(small_disk / "file", b"old")
    with pytest.raises(UnwritableError, match=r"can't write .*file: No space left on device"):
        write_atomically(path, bytes(400_000))
    assert path.read_bytes() == b"old" and [one.name for one in small_disk.iterdir()] == ["file"]


def test_a_folder_belongs_to_one_process_at_a_time(tmp_path):
    key = "k"

    def keep() -> None:
        journal = Journal.open(tmp_path, key)
        time.sleep(PATIENCE_S)
        journal.close()

    with process(keep):
        wait_for(lambda: bool(lines_of(tmp_path, "run")))
        with pytest.raises(BusyError, match="another process is writing into"):
            Journal.open(tmp_path, key)
        other = Journal.open(tmp_path, "another key")
        other.close()
        other.finish()
    [folder] = [path for path in tmp_path.iterdir() if Journal(path).key == key]
    hold(folder).release()


def test_the_bytes_that_a_lost_power_leaves_do_not_stop_a_journal(tmp_path):
    journal = Journal.open(tmp_path, "k")
    journal.start("cell")
    with (journal.folder / FILE).open("ab") as file:
        file.write(b"\0\0\xff\xfe")
    journal.start("other")
    assert Journal(journal.folder).starts == {"cell": 1, "other": 1}
