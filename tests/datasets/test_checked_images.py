"""The check of a split's images: once, several at a time, and never a stale verdict."""

import os
from functools import wraps
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from roibench.datasets import checked_images
from roibench.datasets.bad_data import BadData, BadDataError
from roibench.datasets.checked_images import check_images, check_labels
from roibench.datasets.images import read_rgb
from roibench.datasets.reference import open_dataset
from roibench.registry import installed


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """Three images of 4x3, of which one is torn, and an empty cache."""
    monkeypatch.setenv("ROIBENCH_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr(checked_images, "_SETTLED_S", -60.0)  # of files that have just been made
    folder = tmp_path / "data" / "cat"
    folder.mkdir(parents=True)
    for name in "abc":
        paint(folder / f"{name}.png", ord(name))
    (folder / "b.png").write_bytes((folder / "b.png").read_bytes()[:50])
    return folder


def paint(file: Path, shade: int) -> None:
    Image.fromarray(np.full((3, 4), shade, np.uint8)).save(file, "PNG")


@pytest.fixture
def decoded(monkeypatch):
    """How often an image was decoded."""
    calls = []

    @wraps(read_rgb)
    def counting(data):
        calls.append(data)
        return read_rgb(data)

    monkeypatch.setattr(checked_images, "read_rgb", counting)
    return calls


def check(folder: Path) -> tuple[dict, list[str]]:
    """What is sound, by name, and the problems of the rest."""
    bad = BadData("skip")
    found = check_images([*sorted(folder.glob("*.png")), folder / "gone.png"], bad)
    return {file.name: image for file, image in found.items()}, [str(problem) for problem in bad.problems]


def test_every_image_is_decoded_once_and_its_verdict_kept(folder, decoded):
    first = check(folder)
    assert len(decoded) == 3
    assert list(first[0]) == ["a.png", "c.png"]
    assert first[0]["a.png"].size == (3, 4)
    assert first[1][0].startswith(f"{folder}/b.png: can't be read: ") and first[1][1] == f"{folder}/gone.png: missing"
    assert check(folder) == first
    assert len(decoded) == 3


def test_the_place_may_be_called_otherwise(folder, decoded, tmp_path):
    check(folder)
    (tmp_path / "link").symlink_to(folder)
    assert list(check(tmp_path / "link")[0]) == ["a.png", "c.png"]
    assert len(decoded) == 3


def keep_size_and_time(file: Path) -> None:
    """Other content of the same length, with the time stamp set back."""
    before = file.stat()
    paint(file, ord("z"))
    assert file.stat().st_size == before.st_size
    os.utime(file, ns=(before.st_atime_ns, before.st_mtime_ns))


def replace(file: Path) -> None:
    other = file.with_suffix(".new")
    other.write_bytes(file.read_bytes())
    keep_size_and_time(other)
    other.replace(file)


def tear(file: Path) -> None:
    file.write_bytes(file.read_bytes()[:40])


@pytest.mark.parametrize("change", [keep_size_and_time, replace, tear])
def test_a_file_that_changed_is_decoded_anew(folder, decoded, change):
    before = check(folder)[0]["c.png"]
    change(folder / "c.png")
    after = check(folder)[0].get("c.png")
    assert after is None if change is tear else after.sha256 != before.sha256
    assert len(decoded) == 4


def test_a_file_that_may_still_be_written_is_not_trusted(folder, decoded, monkeypatch):
    monkeypatch.setattr(checked_images, "_SETTLED_S", 2.0)
    assert check(folder) == check(folder)
    assert len(decoded) == 6


@pytest.mark.parametrize("harm", ["truncated", "empty", "flipped"])
def test_a_corrupt_cache_is_made_again(folder, decoded, harm, tmp_path):
    first = check(folder)
    (file,) = (tmp_path / "cache" / "images").iterdir()
    good = file.read_bytes()
    bad = {"truncated": good[:-1], "empty": b"", "flipped": good[:-9] + bytes([good[-9] ^ 1]) + good[-8:]}[harm]
    file.write_bytes(bad)
    assert check(folder) == first
    assert len(decoded) == 6 and file.read_bytes() == good


def test_an_interrupted_check_goes_on_where_it_stopped(folder, decoded, monkeypatch):
    judge = checked_images._outcome

    def interrupted(file, verdict):
        if file.name == "c.png":
            raise KeyboardInterrupt
        return judge(file, verdict)

    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        patch.setattr(checked_images, "_outcome", interrupted)
        check(folder)
    before = len(decoded)
    check(folder)
    assert len(decoded) == before + 1


def test_an_interrupted_check_leaves_the_rest_undecoded(folder, decoded, monkeypatch):
    def interrupted(file, verdict):
        raise KeyboardInterrupt

    for number in range(200):
        paint(folder / f"{number}.png", number)
    monkeypatch.setattr(checked_images, "_outcome", interrupted)
    with pytest.raises(KeyboardInterrupt):
        check(folder)
    assert len(decoded) < 200


def test_verdicts_of_one_split_stay_when_another_is_checked(folder, decoded):
    for name in "ac":
        check_images([folder / f"{name}.png"], BadData("fail"))
    check(folder)
    assert len(decoded) == 3


def test_labels_and_photographs_are_judged_apart(folder):
    Image.new("RGB", (4, 3)).save(folder / "c.png")
    check(folder)
    bad = BadData("skip")
    found = check_labels([folder / "a.png", folder / "c.png"], bad)
    assert found[folder / "a.png"].pixel_values == {ord("a")}
    assert [problem.file.name for problem in bad.problems] == ["c.png"]
    assert check(folder)[0].keys() == {"a.png", "c.png"}


def test_a_cache_that_cannot_be_written_is_warned_of_and_no_more(folder, decoded, tmp_path, monkeypatch):
    (tmp_path / "file").write_text("no folder")
    monkeypatch.setenv("ROIBENCH_CACHE", str(tmp_path / "file"))
    with pytest.warns(UserWarning, match="Checked images are not cached: .*; set ROIBENCH_CACHE to a writable folder"):
        assert list(check(folder)[0]) == ["a.png", "c.png"]


def test_opening_reports_what_cannot_be_decoded_and_the_hash_reads_nothing_again(folder):
    text = f"folders:{folder.parent}@all"
    with pytest.raises(BadDataError, match=rf"1 problem in the data .*\n  {folder}/b\.png: can't be read: "):
        open_dataset(text, installed())
    with pytest.warns(UserWarning, match=rf"left out because of bad data:\n  {folder}/b\.png"):
        data = open_dataset(text, installed(), on_bad_data="skip")
    paint(folder / "c.png", 0)
    with pytest.warns(UserWarning, match="left out"):
        other = open_dataset(text, installed(), on_bad_data="skip")
    assert len(data) == len(other) == 2
    assert data.hash != other.hash, "each as it was when opened"
