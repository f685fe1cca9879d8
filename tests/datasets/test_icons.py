"""Icons: one object per image, what distracts from it, and that it is as deterministic as Scenes."""

import hashlib
import os
import pickle
import subprocess
import sys
from collections import Counter

import numpy as np
import pytest
import torch

from roibench.datasets.reference import open_dataset
from roibench.datasets.scenes import FIELDS, Icons, _sample, compose, layout, open_icons
from roibench.datasets.scenes.compose import SPLITS, render
from roibench.datasets.scenes.integers import Draws
from roibench.datasets.scenes.shapes import CLASSES, JOINTS, PERSON
from roibench.registry import installed

ICONS = layout.ICONS


@pytest.fixture(scope="module")
def targets():
    """Of train's first 1500 images."""
    return [_sample("", render("train", index, 128, ICONS)).target for index in range(1500)]


def test_the_registered_dataset_is_icons_and_fills_what_it_declares():
    registry = installed()
    data = open_dataset("icons", registry)
    assert data == open_icons(None, "test")
    assert data.info.fields == FIELDS == set(registry.datasets["icons"].fields)
    assert set(data[0].target.known) == FIELDS
    assert (data.info.name, data.info.classes, data.info.joints) == ("icons", CLASSES, JOINTS)
    assert data[3].input.id == "icons-test-000003"
    assert data[3].input.image.shape == (3, 128, 128)


def test_train_never_ends_and_the_others_have_500_images():
    lengths = {split: (len(open_icons(None, split)), open_icons(None, split).unbounded) for split in SPLITS}
    assert lengths == {"train": (4_000, True), "val": (500, False), "test": (500, False)}
    assert open_icons(None, "train")[10**15].target.image_label is not None
    for split in ("val", "test"):
        with pytest.raises(IndexError, match=f"icons@{split} has no image 500"):
            open_icons(None, split)[500]
    with pytest.raises(ValueError, match="icons has the splits train, val and test, not 'all'"):
        open_icons(None, "all")


def test_the_main_object_is_what_the_image_is_labelled_with(targets):
    for target in targets:
        assert target.main == 0
        assert target.image_label == target.labels[0]
        assert (target.labels[1:] != target.image_label).all(), "nothing else is of its class"
        assert len(target.boxes) == len(target.masks) == len(target.captions) == len(target.labels)
        assert CLASSES[target.image_label] in target.captions[0].split()


def test_the_main_object_is_of_24_to_96_pixels(targets):
    sides = torch.stack([(target.boxes[0, 2:] - target.boxes[0, :2]).max() for target in targets])
    assert (sides.min(), sides.max()) == (24, 96)
    assert 30 < sides.quantile(0.25) < 40 < sides.median() < 55 < sides.quantile(0.75) < 70, "equal ratios, roughly"


def test_the_main_object_is_whole_and_occluded_by_nothing():
    for index in range(200):
        scene = render("val", index, 128, ICONS)
        main = ICONS.place(Draws(SPLITS.index("val"), index, ICONS.stream), 128)[0][0]
        assert (scene.instances == 1).sum() == main.own.sum()
        assert not scene.objects[0]["occluded_by"].any()
        if main.label == PERSON:
            assert (scene.objects[0]["joints"][:, 2] == 2).all()


def test_the_main_object_may_be_anywhere(targets):
    small = [target.boxes[0] for target in targets if (target.boxes[0, 2:] - target.boxes[0, :2]).max() < 40]
    centres = torch.stack([(box[:2] + box[2:]) / 2 for box in small])
    for half in (centres < 64).T:
        assert 0.4 < half.float().mean() < 0.6
    assert (centres.min(), centres.max()) == (pytest.approx(16, abs=4), pytest.approx(112, abs=4))


def test_half_of_the_images_have_one_to_three_distractors(targets):
    counts = Counter(len(target.labels) - 1 for target in targets)
    assert set(counts) == {0, 1, 2, 3}
    assert counts[0] / len(targets) == pytest.approx(0.5, abs=0.04)  # 3 standard deviations
    assert min(counts[1], counts[2], counts[3]) > 200


def test_a_distractor_is_at_most_a_quarter_of_the_main_object_s_area(targets):
    for target in targets:
        assert (4 * target.areas[1:] <= target.areas[0]).all()
    for index in range(200):
        main, *distractors = ICONS.place(Draws(0, index, ICONS.stream), 128)[0]
        assert all(4 * one.own.sum() <= main.own.sum() for one in distractors), "not even where it can't be seen"


def test_classes_are_balanced(targets):
    """Within four standard deviations of what equal shares give."""
    mains = [target.image_label for target in targets]
    others = [label for target in targets for label in target.labels[1:].tolist()]
    for labels in (mains, others):
        counts, share = np.bincount(labels, minlength=len(CLASSES)), 1 / len(CLASSES)
        assert np.abs(counts - len(labels) * share).max() < 4 * np.sqrt(len(labels) * share * (1 - share))


def test_it_shares_no_random_numbers_with_scenes():
    streams = [first.stream + k for first in (layout.SCENES, ICONS) for k in range(3)]
    assert len(set(streams)) == 6


def test_its_backgrounds_obey_the_windows_of_the_splits(monkeypatch):
    asked = []
    background = compose.background
    monkeypatch.setattr(compose, "background", lambda split, *rest: asked.append(split) or background(split, *rest))
    for split in SPLITS:
        render(split, 0, 64, ICONS)
    assert tuple(asked) == SPLITS


def test_another_process_gives_the_same():
    code = (
        "from roibench.datasets.scenes.compose import render; import hashlib\n"
        "from roibench.datasets.scenes.layout import ICONS\n"
        "scenes = [render(split, 7, 128, ICONS) for split in ('test', 'train', 'val')]\n"
        "parts = [part.tobytes() for s in scenes for part in (s.image, s.instances, s.objects)]\n"
        "print(hashlib.sha256(b''.join(parts)).hexdigest())"
    )
    other = {**os.environ, "PYTHONHASHSEED": "7"}
    found = subprocess.run([sys.executable, "-c", code], env=other, check=True, capture_output=True, text=True)
    scenes = [render(split, 7, 128, ICONS) for split in ("test", "train", "val")]
    parts = [part.tobytes() for s in scenes for part in (s.image, s.instances, s.objects)]
    assert found.stdout.strip() == hashlib.sha256(b"".join(parts)).hexdigest()


def test_it_is_cached_beside_scenes_and_read_back_unchanged(tmp_path, monkeypatch):
    monkeypatch.setenv("ROIBENCH_CACHE", str(tmp_path))
    icons = Icons("test", 64)
    fresh, kept = icons[5], icons[5]
    assert [file.parent for file in tmp_path.rglob("*.scene")] == [tmp_path / "icons" / icons.hash[:16]]
    assert torch.equal(fresh.input.image, kept.input.image)
    assert torch.equal(fresh.target.masks, kept.target.masks)


def test_it_is_cheap_to_send_to_a_worker():
    icons = open_icons(None, "test")
    sent = pickle.dumps(icons)
    assert len(sent) < 2_000
    back = pickle.loads(sent)
    assert back == icons
    assert torch.equal(back[5].input.image, icons[5].input.image)


@pytest.mark.parametrize("size", [32, 200])
def test_the_size_is_a_parameter(size):
    for index in range(30):
        target = _sample("", render("train", index, size, ICONS)).target
        side = (target.boxes[0, 2:] - target.boxes[0, :2]).max() * 128 / size
        assert 24 <= side <= 96
