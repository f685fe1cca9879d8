"""Old records against new ones."""

import json
import subprocess

import pytest
from claimed import turns
from made_records import MACHINE
from typer.testing import CliRunner

from roibench import cli
from roibench.decide.changes import Verdict, changes
from roibench.decide.record_sets import read_record_set


@pytest.fixture
def change(kept):
    """change(old, new): of two records, the change of their one cell."""

    def make(old, new, **options):
        folders = kept("old", old), kept("new", new)
        [cell] = changes(*(read_record_set(str(folder)) for folder in folders), **options).cells
        return cell

    return make


@pytest.mark.parametrize(
    ("gain", "verdict"),
    [(0.01, Verdict.BETTER), (-0.01, Verdict.WORSE), (0.0001, Verdict.CANNOT_TELL)],
)
def test_accuracy_is_paired_by_images_whose_noise_both_share(change, scored, gain, verdict):
    old, new = scored("a", 0.4, 1, own=0.001), scored("a", 0.4 + gain, 2, own=0.001)
    [found] = change(old, new).accuracies
    assert found.verdict is verdict and found.paired and found.count == 500
    assert found.change.value == pytest.approx(gain, abs=1e-9)
    assert found.change.high - found.change.low < 0.02  # of each alone: 0.08


def test_of_a_value_that_is_better_the_lower_a_rise_is_worse(change, scored):
    sides = (scored("a", ap, seed, own=0.001, higher=False) for ap, seed in ((0.4, 1), (0.45, 2)))
    assert change(*sides).accuracies[0].verdict is Verdict.WORSE


def test_equal_accuracies_are_equal(change, scored):
    assert change(scored("a", 0.4), scored("a", 0.4)).accuracies[0].verdict is Verdict.EQUAL


def test_without_resamples_the_intervals_are_taken_as_independent(change, record):
    [found] = change(record("a", 0.4), record("a", 0.5)).accuracies
    assert not found.paired and found.verdict is Verdict.BETTER and "not paired" in found.note


@pytest.mark.parametrize(
    ("times", "floor", "verdict"),
    [(1.5, 0.02, Verdict.WORSE), (1 / 1.5, 0.02, Verdict.BETTER), (1.5, 0.6, Verdict.CANNOT_TELL)],
)
def test_times_that_took_turns_are_paired_and_must_leave_the_noise_floor(change, record, times, floor, verdict):
    old, new = (record("a", p50=20 * x, turns=turns(20 * x, "r", floor)) for x in (1, times))
    found = change(old, new).time
    assert found.paired and found.verdict is verdict and found.count == 20
    assert found.change.value == pytest.approx(times, rel=0.01) and found.change.high / found.change.low < 1.01


def test_times_of_two_runs_carry_what_the_machine_did_in_each(change, record):
    old, new = (record("a", p50=ms, turns=turns(ms, run)) for ms, run in ((20, "one"), (22, "other")))
    found = change(old, new).time
    assert not found.paired and found.verdict is Verdict.CANNOT_TELL
    assert found.change.low < 0.95 and found.change.high > 1.25


def test_times_of_another_machine_are_refused_unless_asked_for(kept, record):
    old, new = (
        kept("old", record("a", turns=turns(20, "o"))),
        kept("new", record("a", turns=turns(60, "n"), provenance=MACHINE.model_copy(update={"cpu": "Another"}))),
    )
    sides = [read_record_set(str(folder)) for folder in (old, new)]
    [cell] = changes(*sides).cells
    assert cell.time.change is None and cell.time.verdict is Verdict.NOT_COMPARED
    assert "other machine: Intel Xeon Processor @ 2.60GHz, 2 cores, now Another, 2 cores" in cell.time.note
    assert cell.accuracies[0].verdict is Verdict.EQUAL
    found = changes(*sides, across_machines=True)
    assert found.cells[0].time.change.value == pytest.approx(3, rel=0.01)
    assert "machine" in found.differing


def test_other_data_under_the_same_name_is_not_compared(kept, scored):
    old, new = kept("old", scored("a", 0.4)), kept("new", scored("a", 0.5, dataset_hash="aa" * 32))
    with pytest.raises(ValueError, match="can be compared: other data: 5c5c5c5c, now aaaaaaaa"):
        changes(read_record_set(str(old)), read_record_set(str(new)))


def test_trainings_of_one_model_are_paired_by_their_weights(kept, scored):
    old = kept("old", *(scored("a", 0.4 + 0.1 * seed, seed) for seed in range(3)))
    new = kept("new", *(scored("a", 0.4 + 0.1 * seed, seed) for seed in (2, 0)))
    found = changes(read_record_set(str(old)), read_record_set(str(new)))
    assert [cell.accuracies[0].verdict for cell in found.cells] == [Verdict.EQUAL] * 2
    assert list(found.only_old.values()) == [("a",)]


def test_the_command_takes_folders_files_parents_and_commits_from_anywhere(kept, scored, tmp_path, monkeypatch):
    here = kept("repo/results/mine", scored("a", 0.4, 1), scored("gone", 0.3))
    repo = here.parents[1]

    def git(*words):
        identity = ("-c", "user.name=x", "-c", "user.email=x@example.org")
        subprocess.run(["git", "-C", str(repo), *identity, *words], check=True, capture_output=True)

    git("init", "-q")
    git("add", ".")
    git("commit", "-qm", "one")
    new = kept("new", scored("a", 0.5, 2), scored("come", 0.3))
    monkeypatch.chdir(here)
    typed = ("HEAD", "HEAD:results/mine", str(here), str(here / "records.jsonl"), str(repo / "results"), "../..")
    for old in typed:
        result = CliRunner().invoke(cli.app, ["compare", old, "../../../new", "--json"], catch_exceptions=False)
        found = json.loads(result.output)
        assert found["old"]["name"] == old and found["old"]["commits"] == ["0123456789"]
        assert [cell["accuracies"][0]["verdict"] for cell in found["cells"]] == ["better"]
        assert ([*found["only_old"].values()], [*found["only_new"].values()]) == ([["gone"]], [["come"]])
    for flag in ("--markdown", "--across-machines"):
        shown = CliRunner().invoke(cli.app, ["compare", "HEAD", str(new), flag], catch_exceptions=False).output
        assert "old: HEAD (commit 0123456789; 2026-01-02)" in shown and "+10.0 [" in shown and "better" in shown
        assert ("| a | detection, AP % |" in shown) == (flag == "--markdown")


def test_of_several_folders_each_is_held_against_its_own(kept, scored):
    for name, ap in (("old", 0.4), ("new", 0.5)):
        kept(f"{name}/scenes", scored("a", ap))
        kept(f"{name}/knobs", scored("a", ap + 0.2))
    folder = kept("new/more", scored("a", 0.9)).parent
    found = changes(read_record_set(str(folder.parent / "old")), read_record_set(str(folder)))
    told = {cell.place: (cell.accuracies[0].old, cell.accuracies[0].new) for cell in found.cells}
    assert told == {"knobs": (pytest.approx(0.6), pytest.approx(0.7)), "scenes": (0.4, 0.5)}
    assert list(found.only_new.values()) == [("a",)]


def test_what_was_typed_and_is_nothing_is_told(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for typed in ("no-such-thing", "-x", "no:such/folder"):
        with pytest.raises(ValueError, match=f"{typed}: no such file or folder, and no git commit"):
            read_record_set(typed)
    with pytest.raises(ValueError, match="no record of a cell that ran"):
        read_record_set(str(tmp_path))
