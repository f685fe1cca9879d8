"""The cache of rendered scenes: never a wrong answer, whatever happens to its files."""

from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
import torch

from roibench.cache import cache_root
from roibench.datasets import scenes as package
from roibench.datasets.scenes import Scenes
from roibench.datasets.scenes.compose import render


@pytest.fixture
def scenes(tmp_path, monkeypatch):
    """A small val split with an empty cache, and a counter of what was rendered."""
    monkeypatch.setenv("ROIBENCH_CACHE", str(tmp_path / "cache"))
    return Scenes("val", 32)


@pytest.fixture
def rendered(monkeypatch):
    calls = []

    def counting(split, index, size, layout):
        calls.append(index)
        return render(split, index, size, layout)

    monkeypatch.setattr(package, "render", counting)
    return calls


def files(tmp_path):
    return sorted(path for path in tmp_path.rglob("*") if path.is_file())


def assert_right(scene, index):
    want = render("val", index, 32)
    assert np.array_equal(scene.image, want.image)
    assert np.array_equal(scene.instances, want.instances)
    assert np.array_equal(scene.objects, want.objects)


def test_a_scene_is_rendered_once(scenes, rendered, tmp_path):
    for _ in range(3):
        assert_right(scenes._scene(7), 7)
    assert rendered == [7]
    assert [file.name for file in files(tmp_path)] == ["000007.scene"]
    assert files(tmp_path)[0].parent.name == scenes.hash[:16]


def test_a_sample_from_the_cache_is_the_rendered_one(scenes, rendered):
    fresh, kept = ([scenes[index].target for index in range(30)] for _ in range(2))
    assert len(rendered) == 30
    for one, other in zip(fresh, kept, strict=True):
        assert torch.equal(one.keypoints, other.keypoints)
        assert one.captions == other.captions
    assert any(target.keypoints.any() for target in kept)


def test_samples_from_the_cache_can_be_written_to(scenes):
    for _ in range(2):  # the second comes from the cache
        scene = scenes._scene(3)
        assert scene.image.flags.writeable
        scene.image[:] = 0
        scene.instances[:] = 0
        scene.objects["label"] = 0
    assert_right(scenes._scene(3), 3)


@pytest.mark.parametrize("harm", ["truncated", "empty", "flipped", "longer", "count"])
def test_a_corrupt_file_is_made_again(scenes, rendered, tmp_path, harm):
    scenes[0]
    (file,) = files(tmp_path)
    good = file.read_bytes()
    bad = {
        "truncated": good[:-1],
        "empty": b"",
        "flipped": good[:-1] + bytes([good[-1] ^ 1]),
        "longer": good + b"\0",
        "count": good[:32] + b"\xff" + good[33:],
    }[harm]
    file.write_bytes(bad)
    assert_right(scenes._scene(0), 0)
    assert rendered == [0, 0]
    assert file.read_bytes() == good


def test_a_write_that_breaks_off_leaves_nothing(scenes, tmp_path, monkeypatch):
    def broken(self, target):
        raise KeyboardInterrupt

    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        patch.setattr("pathlib.Path.replace", broken)
        scenes[0]
    assert files(tmp_path) == []
    assert_right(scenes._scene(0), 0)


def test_a_folder_that_cannot_be_written_is_warned_of_and_no_more(scenes, tmp_path, monkeypatch):
    (tmp_path / "file").write_text("no folder")
    monkeypatch.setenv("ROIBENCH_CACHE", str(tmp_path / "file"))
    with pytest.warns(UserWarning, match="Scenes are not cached: .*; set ROIBENCH_CACHE to a writable folder"):
        assert_right(scenes._scene(0), 0)


def test_train_is_kept_for_one_epoch(scenes, rendered, tmp_path):
    train = Scenes("train", 32)
    for index in (3_999, 4_000, 3_999, 4_000):
        train[index]
    assert rendered == [3_999, 4_000, 4_000]
    assert [file.name for file in files(tmp_path)] == ["003999.scene"]


def test_workers_may_share_a_cache(scenes, tmp_path):
    with ThreadPoolExecutor(8) as pool:
        list(pool.map(scenes._scene, [*range(5)] * 8))
    assert [file.name for file in files(tmp_path)] == [f"{index:06d}.scene" for index in range(5)]
    for index in range(5):
        assert_right(scenes._scene(index), index)


def test_the_root_is_the_variable_or_the_user_s_cache_folder(monkeypatch, tmp_path):
    monkeypatch.setenv("ROIBENCH_CACHE", "/somewhere")
    assert str(cache_root()) == "/somewhere"
    monkeypatch.delenv("ROIBENCH_CACHE")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    assert cache_root() == tmp_path / "roibench"
    monkeypatch.delenv("XDG_CACHE_HOME")
    monkeypatch.setenv("HOME", str(tmp_path))
    assert cache_root() == tmp_path / ".cache" / "roibench"
