"""The embedded datasets: their bytes; of Scenes, the promises of its targets, and what it is made of."""

import hashlib
import os
import pickle
import random
import subprocess
import sys
from collections import Counter
from importlib.resources import files

import numpy as np
import pytest
import torch
from PIL import Image

from roibench.datasets.scenes import (
    FIELDS,
    Icons,
    Scenes,
    _sample,
    backgrounds,
    compose,
    layout,
    open_icons,
    open_scenes,
)
from roibench.datasets.scenes.backgrounds import PHOTOGRAPHS, background
from roibench.datasets.scenes.compose import SPLITS, Draws
from roibench.datasets.scenes.raster import Frame, count, rasterize
from roibench.datasets.scenes.shapes import CLASSES, JOINTS, OUTLINES, PERSON, pose

# If one of these changes, change the split's `generator`: published figures, caches and weights hang on the bytes.
PINNED = {
    ("scenes", "val", 0): "84bb9a4ef748bd8082a613b987a8bc67ee9484a2cbfdfe34baa91328aafb6ef3",
    ("scenes", "val", 17): "17464f3e31f4902203fa991cc09354f91bfb2f24f96349196a3dabce0b7b2a7f",
    ("scenes", "val", 499): "019906212a6622b7c1252232fcf3f91cd1225c9cea272a724b4923eaf11afd94",
    ("scenes", "train", 0): "4e152cb9687a713cf7f6aed81e08b244f634a56fd852906d81f8f148bed5a794",
    ("scenes", "train", 3_999): "28d60a86cc19c1b17fb712ac73e3f89af8194a4c9a31ceb39822466d03a24f3a",
    ("scenes", "train", 10**15): "055da56ca5ce87b54ab4c491b8c35ed3dc9325ab7390b13aa1be358231bb73d3",
    ("icons", "train", 0): "023da5331f16ef8a9d191e7a6988041cb7f4fd32353e89eb2374655c2eced975",
    ("icons", "train", 10**15): "cf095fc0126fe3bc9da82a55af5ebe0705eb12e0ab1a0d2a182eedaf9ab4e363",
}
PINNED_JOINTS_AND_CAPTIONS = {
    ("scenes", "val"): "2b326c8069b20c199047e4d87a6ce8f0ce044d2fb27ea91f1f322debd1307424",
    ("scenes", "test"): "b2671b024d31cf38bb122ed7c2cc7d6518372d25e05f10205fbb85cabfa3a6df",
    ("scenes", "train"): "c6644911aaad9dabd86617bb4cec6e60d27ed885f3171a406c30a0b7101d4141",
    ("icons", "val"): "a187e5e10da5586b707e0a3d8db4c595ce3f71d0ee6a243eb3951a216d6f4d82",
    ("icons", "test"): "a10fa972a4b1c9b605e4555d6ae18ec27966b7fc53fd74cfd4d36ad48a3c899c",
    ("icons", "train"): "7468143e54bc28d0bfd57e5859ac35276509cae6d4b3935f0d2c9ff2768977e0",
}
PINNED_WHOLE = {
    ("scenes", "val"): "5f3a387abcab53ac40ac4d4c281f36715c1eaf2a2e6a3c77f3638109e9712434",
    ("scenes", "test"): "063498661f24802a64aa6cd5af9e364e51db63d77ba8b75c0a9ee4984fa0bf47",
    ("icons", "val"): "19efebfdf3734a4ca120c823a4c758d82298860dcc68e38a7f18161e158f27a7",
    ("icons", "test"): "878beb9222b2b3d81899541301b5f4cf58de9a27d0312563a6ca350cc2136ea4",
}
PINNED_HASHES = {
    ("scenes", "val"): "be29bed0c4f32ea3fa4c2339912206d057be89a84e8c81d00fc3e6595adfddf5",
    ("scenes", "test"): "c8a25a7b41c4422d28f1765e5602db81502798838cf95bdefba8c9b02032b579",
    ("scenes", "train"): "6b8b1aaea3d46db50ab9e9fd2334c37a39ae49e125947446161082a896136757",
    ("icons", "val"): "549c50c1d4622f23311c74980fb843e6292855a7a256dd19fd3189efbbad084a",
    ("icons", "test"): "e284546e9d1cf7234f6cc2d4e50b16e0d132a0ad1b8440fe7195d3d389d02a3d",
    ("icons", "train"): "189bc271a2cbb0a898d8a66068443d6cd7614bae0e3d588e9853bdfbe211979c",
}
OPEN = {"scenes": open_scenes, "icons": open_icons}


def digest(sample) -> str:
    sha = hashlib.sha256(sample.input.id.encode() + sample.input.image.numpy().tobytes())
    target = sample.target
    for tensor in (target.boxes, target.labels, target.areas, target.masks, target.semantic_map):
        sha.update(repr((tensor.dtype, tuple(tensor.shape))).encode() + tensor.numpy().tobytes())
    sha.update(repr((target.main, target.image_label)).encode())
    return sha.hexdigest()


@pytest.mark.parametrize(("name", "split", "index"), PINNED)
def test_bytes_are_pinned(name, split, index):
    assert digest(OPEN[name](None, split)[index]) == PINNED[name, split, index]


@pytest.mark.parametrize(("name", "split"), PINNED_WHOLE)
def test_the_bytes_of_whole_splits_are_pinned(name, split):
    sha = hashlib.sha256()
    for sample in OPEN[name](None, split):
        sha.update(digest(sample).encode())
    assert sha.hexdigest() == PINNED_WHOLE[name, split]


@pytest.mark.parametrize(("name", "split"), PINNED_JOINTS_AND_CAPTIONS)
def test_joints_and_captions_are_pinned(name, split):
    samples, sha = OPEN[name](None, split), hashlib.sha256()
    for index in range(100):
        target = samples[index].target
        sha.update(target.keypoints.numpy().astype("<f4").tobytes() + repr(target.captions).encode())
    assert sha.hexdigest() == PINNED_JOINTS_AND_CAPTIONS[name, split]


@pytest.mark.parametrize(("name", "split"), PINNED_HASHES)
def test_hashes_are_pinned(name, split):
    assert OPEN[name](None, split).hash == PINNED_HASHES[name, split]


def test_hashes_tell_datasets_splits_and_sizes_apart():
    assert len({kind(split, size).hash for kind in (Scenes, Icons) for split in SPLITS for size in (64, 128)}) == 12


def test_the_dataset_says_what_it_is(val):
    splits = {split: open_scenes(None, split) for split in SPLITS}
    assert {split: (len(scenes), scenes.unbounded) for split, scenes in splits.items()} == {
        "train": (4_000, True),
        "val": (500, False),
        "test": (500, False),
    }
    train = splits["train"]
    assert train.info.classes == CLASSES
    assert (train.info.image_size, train.info.joints) == ((128, 128), JOINTS)
    assert (train.info.name, train.info.split, train.info.fields) == ("scenes", "train", FIELDS)
    assert [sample.input.id for sample in val[:2]] == ["scenes-val-000000", "scenes-val-000001"]
    assert val[0].input.query is None


def test_targets_have_the_promised_types(val):
    for sample in val[:20]:
        target, n = sample.target, len(sample.target.labels)
        fields = (sample.input.image, target.boxes, target.labels, target.areas, target.masks, target.semantic_map)
        fields += (target.keypoints,)
        assert [(field.dtype, tuple(field.shape)) for field in fields] == [
            (torch.uint8, (3, 128, 128)),
            (torch.float32, (n, 4)),
            (torch.int64, (n,)),
            (torch.float32, (n,)),
            (torch.bool, (n, 128, 128)),
            (torch.uint8, (128, 128)),
            (torch.float32, (n, 14, 3)),
        ]
        assert len(target.captions) == n
        assert set(target.known) == FIELDS


def test_targets_agree_with_their_masks(val):
    for sample in val:
        target = sample.target
        masks = target.masks.numpy()
        assert masks.sum(axis=0).max() <= 1, "visible parts are disjoint"
        assert np.array_equal(target.areas.numpy(), masks.sum(axis=(1, 2)))
        assert target.areas.min() >= layout.MIN_VISIBLE_PIXELS
        assert target.main == int(target.areas.argmax())
        assert target.image_label == target.labels[target.main]
        semantic = np.zeros((128, 128), np.uint8)
        for mask, box, label in zip(masks, target.boxes.tolist(), target.labels.tolist(), strict=True):
            ys, xs = mask.nonzero()
            assert box == [xs.min(), ys.min(), xs.max() + 1, ys.max() + 1]
            semantic[mask] = label + 1
        assert np.array_equal(target.semantic_map.numpy(), semantic)


def rendered_without_noise(monkeypatch, split, index, size=128):
    """The scene without noise, its objects front to back, and their own coverage of every pixel, in sixteenths."""
    monkeypatch.setattr(compose, "add_noise", lambda picture, amplitude, draws: picture)
    scene = compose.render(split, index, size)
    objects, _ = layout.SCENES.place(Draws(SPLITS.index(split), index, layout.SCENES.stream), size)
    coverage = []
    for one in objects:
        whole = np.zeros((size, size), np.uint8)
        seen = one.window.clip(size, size)
        whole[seen.top : seen.bottom, seen.left : seen.right] = count(one.covered)[seen.within(one.window)]
        coverage.append(whole)
    return scene, objects, coverage


@pytest.mark.parametrize("index", range(12))
def test_everything_drawn_is_labelled_and_what_is_in_front_occludes_what_is_behind(monkeypatch, index):
    scene, objects, coverage = rendered_without_noise(monkeypatch, "val", index)
    want = np.zeros_like(scene.instances)
    for number in range(len(objects), 0, -1):
        want[coverage[number - 1] >= 8] = number
    assert np.array_equal(scene.instances, want)
    bare = background("val", 128, Draws(SPLITS.index("val"), index, 1))
    untouched = np.max(coverage, axis=0) == 0
    assert np.array_equal(scene.image[:, untouched], bare[:, untouched])
    for number, (one, own) in enumerate(zip(objects, coverage, strict=True), start=1):
        visible = (scene.instances == number).sum()
        assert visible * 10 >= 3 * (count(one.covered) >= 8).sum(), "enough of the whole object is seen"
        assert one.label == scene.objects[number - 1]["label"]
        front = (own == 16) & (np.max([np.zeros_like(own), *coverage[: number - 1]], axis=0) == 0)
        colours = np.unique(scene.image[:, front].T, axis=0)
        assert len(colours) <= 17, "in the open, an object shows its two colours and their mixtures"


def test_a_joint_is_visible_unless_something_in_front_covers_half_of_its_pixel(monkeypatch):
    seen = Counter()
    for index in range(60):
        scene, objects, coverage = rendered_without_noise(monkeypatch, "val", index)
        keypoints = _sample("", scene).target.keypoints.tolist()
        for number, one in enumerate(objects):
            if one.label != PERSON:
                assert not np.any(keypoints[number])
                continue
            for (x, y), joint in zip(one.joints, keypoints[number], strict=True):
                x, y = x / 64, y / 64
                if not (0 <= x < 128 and 0 <= y < 128):
                    want = [0, 0, 0]
                else:
                    occluded = any(front[int(y), int(x)] >= 8 for front in coverage[:number])
                    want = [x, y, 1 if occluded else 2]
                    seen["on the outline"] += coverage[number][int(y), int(x)] < 8
                assert joint == want
                seen[joint[2]] += 1
    assert min(seen[0], seen[1], seen[2], seen["on the outline"]) > 3


def test_visible_joints_lie_on_their_person(val):
    """Or within a pixel of it; the limbs of the smallest are too thin to cover half of a pixel."""
    near = []
    for sample in val:
        for mask, keypoints in zip(sample.target.masks.numpy(), sample.target.keypoints.numpy(), strict=True):
            for x, y, visibility in keypoints.astype(int):
                if visibility == 2:
                    near.append(mask[max(0, y - 1) : y + 2, max(0, x - 1) : x + 2].any())
    assert np.mean(near) > 0.995


def test_any_order_of_access_gives_the_same(val):
    order = list(range(40))
    random.Random(0).shuffle(order)
    scenes = open_scenes(None, "val")
    assert {index: digest(scenes[index]) for index in order} == {k: digest(val[k]) for k in range(40)}


def test_another_process_on_a_lesser_processor_gives_the_same(tmp_path):
    code = (
        "from roibench.datasets.scenes.compose import render; import hashlib\n"
        "scenes = [render('train', index, 128) for index in (3, 2, 1)]\n"
        "parts = [part.tobytes() for s in scenes for part in (s.image, s.instances, s.objects)]\n"
        "print(hashlib.sha256(b''.join(parts)).hexdigest())"
    )
    features = np._core._multiarray_umath
    beyond = [name for name in features.__cpu_dispatch__ if features.__cpu_features__.get(name)]
    plain = {**os.environ, "NPY_DISABLE_CPU_FEATURES": " ".join(beyond), "PYTHONHASHSEED": "7"}
    found = subprocess.run([sys.executable, "-c", code], env=plain, check=True, capture_output=True, text=True)
    scenes = [compose.render("train", index, 128) for index in (3, 2, 1)]
    parts = [part.tobytes() for s in scenes for part in (s.image, s.instances, s.objects)]
    assert found.stdout.strip() == hashlib.sha256(b"".join(parts)).hexdigest()


def test_a_dataset_is_cheap_to_send_to_a_worker(val):
    scenes = open_scenes(None, "val")
    sent = pickle.dumps(scenes)
    assert len(sent) < 2_000
    back = pickle.loads(sent)
    assert back == scenes
    assert digest(back[5]) == digest(val[5])


def test_indices_end_where_the_split_does():
    for split in ("val", "test"):
        for index in (-1, 500):
            with pytest.raises(IndexError, match=f"scenes@{split} has no image {index}"):
                open_scenes(None, split)[index]
    with pytest.raises(IndexError):
        open_scenes(None, "train")[-1]
    assert open_scenes(None, "train")[4_000].input.id == "scenes-train-004000"


def test_an_unknown_split_and_a_silly_size_are_refused():
    with pytest.raises(ValueError, match="scenes has the splits train, val and test, not 'all'"):
        open_scenes(None, "all")
    with pytest.raises(ValueError, match="want at least 32 pixels, got 8"):
        Scenes("val", 8)


@pytest.mark.parametrize("size", [64, 200])
def test_the_size_is_a_parameter(size):
    scenes = Scenes("train", size)
    sample = scenes[4_001]
    assert scenes.info.image_size == (size, size)
    assert sample.input.image.shape == (3, size, size)
    assert sample.target.masks.shape[1:] == (size, size)


def test_the_smallest_size_has_objects_too():
    for index in range(60):
        scene = compose.render("val", index, 32)
        assert len(scene.objects) > 0


@pytest.mark.parametrize("photograph", PHOTOGRAPHS, ids=lambda photograph: photograph.name)
def test_no_two_splits_show_the_same_pixel_of_a_photograph(photograph):
    with Image.open(files("skimage") / "data" / photograph.name) as image:
        pixels = np.asarray(image.convert("RGB"))
    shown = np.zeros(pixels.shape[:2], int)
    for split in SPLITS:
        left, top, right, bottom = photograph.window(split)
        shown[top:bottom, left:right] += 1
        region = backgrounds._region(split, PHOTOGRAPHS.index(photograph))
        assert np.array_equal(region.transpose(1, 2, 0), pixels[top:bottom, left:right])
        assert min(region.shape[1:]) >= 100, "most of a crop isn't its own mirror image"
    assert shown.max() == 1


@pytest.mark.parametrize("kind", [layout.SCENES, layout.ICONS], ids=["scenes", "icons"])
def test_no_two_splits_hold_the_same_image(kind):
    scenes = [compose.render(split, index, 64, kind) for split in SPLITS for index in range(30)]
    assert len({scene.image.tobytes() for scene in scenes}) == 90
    assert len({scene.instances.tobytes() for scene in scenes}) == 90


@pytest.mark.parametrize("split", SPLITS)
def test_a_background_shows_its_split_s_region_alone(monkeypatch, split):
    splits = []
    marked = {name: np.full((3, 150, 150), value, np.uint8) for name, value in zip(SPLITS, (10, 100, 200), strict=True)}
    monkeypatch.setattr(backgrounds, "_region", lambda name, index: splits.append(name) or marked[name])
    for index in range(20):
        crop = backgrounds._crop(backgrounds._region(split, 0), 170, Draws(0, index, 1))
        assert crop.shape == (3, 170, 170)
        assert np.unique(crop).tolist() == [int(marked[split][0, 0, 0])]
        background(split, 128, Draws(0, index, 1))
    assert set(splits) == {split}


def test_a_changed_photograph_is_refused(monkeypatch):
    wrong = PHOTOGRAPHS[0]._replace(sha256="0" * 64)
    monkeypatch.setattr(backgrounds, "PHOTOGRAPHS", (wrong,))
    with pytest.raises(RuntimeError, match=r"astronaut.png has SHA-256 88431c.*, Scenes needs 0000"):
        backgrounds._region.__wrapped__("val", 0)


def test_val_is_varied(val):
    labels = Counter(CLASSES[label] for sample in val for label in sample.target.labels.tolist())
    assert set(labels) == set(CLASSES)
    assert max(labels.values()) < 2 * min(labels.values())
    counts = Counter(len(sample.target.labels) for sample in val)
    assert set(counts) == set(range(1, 11))
    boxes = torch.cat([sample.target.boxes for sample in val])
    sides = (boxes[:, 2:] - boxes[:, :2]).amax(dim=1)
    assert sides.quantile(0.05) < 11 < 50 < sides.quantile(0.95)
    at_border = ((boxes == 0) | (boxes == 128)).any(dim=1).float().mean()
    assert 0.1 < at_border < 0.5
    assert {sample.target.image_label for sample in val} == set(range(len(CLASSES)))


def test_crowds_of_one_class_overlap(val):
    """Boxes of one class that overlap by more than 0.3, 0.5: what non-maximum suppression must not merge."""
    found = Counter()
    for sample in val:
        boxes, labels = sample.target.boxes, sample.target.labels
        size = (
            torch.minimum(boxes[:, None, 2:], boxes[:, 2:]) - torch.maximum(boxes[:, None, :2], boxes[:, :2])
        ).clamp(0)
        shared, area = size.prod(dim=2), (boxes[:, 2:] - boxes[:, :2]).prod(dim=1)
        iou = shared / (area[:, None] + area - shared)
        pairs = iou[(labels[:, None] == labels).triu(diagonal=1)]
        found.update({threshold: int((pairs > threshold).sum()) for threshold in (0.3, 0.5)})
    assert found[0.3] > 150
    assert found[0.5] > 25


@pytest.mark.parametrize("name", OUTLINES)
def test_an_upright_outline_is_centred_and_spans_its_size(name):
    window, covered = rasterize(Frame(0, 0, 64 * 64, 0).place(OUTLINES[name]))  # 128 pixels
    ys, xs = covered.nonzero()
    spans = [
        (xs.min() + 4 * window.left, xs.max() + 1 + 4 * window.left),
        (ys.min() + 4 * window.top, ys.max() + 1 + 4 * window.top),
    ]
    assert max(high - low for low, high in spans) == pytest.approx(512, abs=4)
    if name != "crescent":  # which keeps the centre of the disc that it is taken from
        assert all(high == pytest.approx(-low, abs=16) for low, high in spans)


def test_a_person_covers_its_joints():
    for index in range(50):
        body = pose(Draws(0, index, 0))
        frame = Frame(0, 0, 40 * 64, 0)
        window, covered = rasterize(frame.place(body.outline))
        assert len(body.joints) == len(JOINTS) == 14
        for x, y in map(frame.point, body.joints):
            assert covered[(y - 64 * window.top) // 16, (x - 64 * window.left) // 16]
        x = dict(zip(JOINTS, (joint[0] for joint in body.joints), strict=True))
        assert x["right shoulder"] < x["left shoulder"], "the person faces us"
    assert CLASSES[PERSON] == "person"
