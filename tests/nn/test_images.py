"""Batching images and augmenting samples."""

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from roibench.datasets.scenes import Scenes
from roibench.datasets.scenes.captions import RELATIONS
from roibench.datasets.scenes.shapes import JOINTS
from roibench.nn.augment import AUGMENTATIONS, augment
from roibench.nn.images import MEAN, STD, batch_images
from roibench.structures import Input, Sample, Target

CPU = torch.device("cpu")


def image(height: int, width: int) -> Input:
    pixels = torch.randint(0, 256, (3, height, width), dtype=torch.uint8, generator=torch.Generator().manual_seed(0))
    return Input("image", pixels)


def test_images_of_any_size_become_one_padded_normalised_batch():
    small, large = image(40, 60), image(100, 30)
    batch = batch_images([small, large], CPU, None, 1000, 32)
    assert batch.pixels.shape == (2, 3, 128, 64)
    assert batch.pixels.is_contiguous(memory_format=torch.channels_last)
    back = batch.pixels[0, :, :40, :60] * torch.tensor(STD)[:, None, None] + torch.tensor(MEAN)[:, None, None]
    assert torch.allclose(back * 255, small.image.float(), atol=1e-3)
    assert batch.pixels[0, :, 40:].abs().max() == 0 and batch.pixels[0, :, :, 60:].abs().max() == 0


@given(height=st.integers(1, 300), width=st.integers(1, 300))
def test_resizing_keeps_the_aspect_and_boxes_come_back(height, width):
    batch = batch_images([image(height, width)], CPU, 64, 100, 16)
    h, w = batch.sizes[0]
    assert max(h, w) <= 100 and (min(h, w) == 64 or max(h, w) == 100 or min(h, w) == 1)
    whole = torch.tensor([[0.0, 0.0, width, height]])
    assert torch.allclose(batch.to_batch(0, whole), torch.tensor([[0.0, 0.0, w, h]]), atol=1e-3)
    assert torch.allclose(batch.to_image(0, batch.to_batch(0, whole)), whole, atol=1e-3)


def test_locations_that_begin_outside_their_image_are_padding():
    batch = batch_images([image(33, 32), image(64, 17), image(32, 16)], CPU, None, 1000, 16)
    inside = ~batch.padding(16)
    assert inside.shape == (3, 4, 2)
    assert inside[0].tolist() == [[True, True]] * 3 + [[False, False]]
    assert inside[1].all()
    assert inside[2].tolist() == [[True, False]] * 2 + [[False, False]] * 2


def test_boxes_are_clipped_to_the_image_as_given():
    batch = batch_images([image(50, 80)], CPU, 100, 1000, 32)
    assert batch.to_image(0, torch.tensor([[-9.0, -9.0, 999.0, 999.0]])).tolist() == [[0.0, 0.0, 80.0, 50.0]]


@pytest.mark.parametrize("bad", [None, torch.zeros(3, 4, 4), torch.zeros(1, 4, 4, dtype=torch.uint8)])
def test_a_wrong_image_is_named(bad):
    with pytest.raises(ValueError, match=r"input 'x': image must be uint8 \[3, H, W\]"):
        batch_images([Input("x", bad)], CPU, None, 100, 32)


def labelled(height: int = 20, width: int = 30) -> Sample:
    """A white rectangle on black, and targets for where it is."""
    pixels = torch.zeros(3, height, width, dtype=torch.uint8)
    pixels[:, 4:9, 12:26] = 255
    target = Target(
        boxes=torch.tensor([[12.0, 4.0, 26.0, 9.0]]),
        labels=torch.tensor([0]),
        masks=pixels[:1].bool(),
        semantic_map=pixels[0] // 255,
        keypoints=torch.tensor([[[12.5, 4.5, 2.0]]]),
    )
    return Sample(Input("rectangle", pixels), target)


@given(seed=st.integers(0, 200))
def test_targets_follow_the_pixels_through_any_geometry(seed):
    names = ("horizontal_flip", "vertical_flip", "transpose")
    sample = augment(labelled(), names, torch.Generator().manual_seed(seed), ("nose",))
    white = sample.input.image[0] == 255
    y, x = torch.where(white)
    assert sample.target.boxes.tolist() == [[x.min(), y.min(), x.max() + 1, y.max() + 1]]
    assert torch.equal(sample.target.masks[0], white)
    assert torch.equal(sample.target.semantic_map.bool(), white)
    point_x, point_y, _ = sample.target.keypoints[0, 0].int().tolist()
    assert white[point_y, point_x]


def test_augmentation_depends_on_the_generator_alone_and_leaves_its_input():
    before = labelled()
    pixels = before.input.image.clone()
    names = tuple(AUGMENTATIONS)
    one, two = (augment(before, names, torch.Generator().manual_seed(3), ("nose",)) for _ in range(2))
    assert torch.equal(one.input.image, two.input.image)
    assert torch.equal(before.input.image, pixels)
    seen = {
        augment(before, ("horizontal_flip",), torch.Generator().manual_seed(s), ("nose",)).target.boxes[0, 0].item()
        for s in range(9)
    }
    assert seen == {12.0, 4.0}


def test_an_unknown_augmentation_is_named():
    with pytest.raises(ValueError, match="unknown augmentation 'spin'; known: horizontal_flip"):
        augment(labelled(), ("spin",), torch.Generator(), ())


@pytest.fixture(scope="module")
def scenes(tmp_path_factory):
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("ROIBENCH_CACHE", str(tmp_path_factory.mktemp("cache")))
        return [Scenes("val")[index] for index in range(12)]


def turned(sample: Sample, *names: str) -> Sample:
    """Each of the augmentations applied, whatever the coin shows."""
    for name in names:
        before, seed = sample.input.image, 0
        while torch.equal(sample.input.image, before):
            sample, seed = augment(sample, (name,), torch.Generator().manual_seed(seed), JOINTS), seed + 1
    return sample


@pytest.mark.parametrize("name", ["horizontal_flip", "vertical_flip", "transpose"])
def test_a_mirrored_person_has_its_left_on_the_other_side(scenes, name):
    places = {
        "horizontal_flip": lambda x, y: (128 - x, y),
        "vertical_flip": lambda x, y: (x, 128 - y),
        "transpose": lambda x, y: (y, x),
    }[name]
    count = 0
    for sample in scenes:
        pairs = zip(sample.target.keypoints.tolist(), turned(sample, name).target.keypoints.tolist(), strict=True)
        for before, after in pairs:
            for joint, (x, y, visibility) in zip(JOINTS, before, strict=True):
                swap = {"left": "right", "right": "left"}
                other = " ".join(swap.get(word, word) for word in joint.split())
                want = [*places(x, y), visibility] if visibility else [0, 0, 0]
                assert after[JOINTS.index(other)] == want
                count += visibility > 0
    assert count > 20


def relation(caption: str) -> str | None:
    return next((words for words in RELATIONS if f" {words} " in caption), None)


def gap(name: str | None, box, other) -> float:
    """How far a box lies beyond another on the side that a relation names."""
    return {
        "left of": other[0] - box[2],
        "right of": box[0] - other[2],
        "above": other[1] - box[3],
        "below": box[1] - other[3],
    }.get(name, 0)


@pytest.mark.parametrize("name", ["horizontal_flip", "vertical_flip", "transpose"])
def test_captions_stay_true_in_the_mirror(scenes, name):
    changed = 0
    for sample in scenes:
        after = turned(sample, name)
        boxes, turned_boxes = sample.target.boxes.tolist(), after.target.boxes.tolist()
        for index, (old, new) in enumerate(zip(sample.target.captions, after.target.captions, strict=True)):
            old_gaps = [gap(relation(old), boxes[index], other) for other in boxes]
            assert old_gaps == [gap(relation(new), turned_boxes[index], other) for other in turned_boxes]
            assert old.split()[:3] == new.split()[:3]
            changed += old != new
        assert turned(after, name).target.captions == sample.target.captions
    assert changed > 5


def test_two_reflections_are_a_rotation_which_keeps_left_and_right(scenes):
    for sample in scenes:
        after = turned(sample, "horizontal_flip", "vertical_flip").target.keypoints
        want = sample.target.keypoints.clone()
        want[..., :2] = torch.where(want[..., 2:] > 0, 128 - want[..., :2], 0)
        assert torch.equal(after, want)


def test_names_with_an_underscore_are_sides_too_and_lone_joints_stay():
    joints = ("nose", "left_eye", "right_eye", "left_tail")
    keypoints = torch.tensor([[[1.0, 1, 2], [2, 1, 2], [3, 1, 1], [4, 1, 2]]])
    sample = labelled()
    sample = sample._replace(target=Target(keypoints=keypoints))
    seen = {
        tuple(
            augment(sample, ("horizontal_flip",), torch.Generator().manual_seed(s), joints)
            .target.keypoints[0, :, 0]
            .tolist()
        )
        for s in range(9)
    }
    assert seen == {(1, 2, 3, 4), (29, 27, 28, 26)}


def test_maps_come_back_in_the_images_own_pixels():
    """A map of the padded batch, at a stride, whose one location is high: it lies over the same part of each image."""
    inputs = [
        Input("wide", torch.zeros(3, 40, 80, dtype=torch.uint8)),
        Input("square", torch.zeros(3, 64, 64, dtype=torch.uint8)),
    ]
    batch = batch_images(inputs, torch.device("cpu"), 32, 64, divisor=16)
    maps = torch.zeros(2, batch.pixels.shape[2] // 16, batch.pixels.shape[3] // 16)
    maps[:, 1, 1] = 1
    wide, square = batch.to_images(maps)
    assert wide.shape == (40, 80) and square.shape == (64, 64)
    for one, scale in ((wide, batch.scales[0]), (square, batch.scales[1])):
        y, x = divmod(int(one.argmax()), one.shape[1])
        assert 16 <= (y + 0.5) * scale[0] <= 32 and 16 <= (x + 0.5) * scale[1] <= 32


def test_a_map_as_large_as_its_image_comes_back_as_it_is():
    batch = batch_images([image(32, 48)], CPU, None, 100, 16)
    [relevance] = batch.to_images(maps := torch.rand(1, 32, 48))
    assert torch.allclose(relevance, maps[0])
