"""Captions of Scenes: every word is true, checked against boxes, masks, coverage and paint."""

import re
from collections import Counter

import numpy as np
import pytest

from roibench.datasets.scenes import compose, layout, open_scenes
from roibench.datasets.scenes.captions import RELATIONS, describe
from roibench.datasets.scenes.compose import OBJECT, SPLITS
from roibench.datasets.scenes.integers import Draws
from roibench.datasets.scenes.paint import PALETTE, TEXTURES
from roibench.datasets.scenes.raster import count
from roibench.datasets.scenes.shapes import CLASSES

CAPTION = re.compile(
    r"a (?P<size>small|medium|large) (?:(?P<texture>striped|dotted|checked) )?(?P<colour>\w+) (?P<name>\w+)"
    rf"(?: (?P<relation>{'|'.join(RELATIONS)}) (?P<article>an?) (?P<other_colour>\w+) (?P<other>\w+))?"
)


def parse(caption: str) -> dict[str, str | None]:
    match = CAPTION.fullmatch(caption)
    assert match, caption
    return match.groupdict()


def beside(relation: str, box, other) -> bool:
    """Whether a box lies wholly on one side of another; both xyxy."""
    return {
        "left of": box[2] <= other[0],
        "right of": box[0] >= other[2],
        "above": box[3] <= other[1],
        "below": box[1] >= other[3],
    }[relation]


def gap(box, other) -> float:
    across, down = (max(0, other[k] - box[k + 2], box[k] - other[k + 2]) for k in (0, 1))
    return across**2 + down**2


def test_captions_agree_with_boxes_and_labels(val):
    seen = Counter()
    for sample in val:
        boxes = sample.target.boxes.tolist()
        facts = [parse(caption) for caption in sample.target.captions]
        assert [fact["name"] for fact in facts] == [CLASSES[label] for label in sample.target.labels.tolist()]
        for index, (box, fact) in enumerate(zip(boxes, facts, strict=True)):
            share = max(box[2] - box[0], box[3] - box[1]) / 128
            assert fact["size"] == ("small" if share < 1 / 8 else "medium" if share < 1 / 4 else "large")
            seen[relation := fact["relation"]] += 1
            assert (relation is None) == (len(facts) == 1)
            if relation is None:
                continue
            assert (fact["article"] == "an") == (fact["other_colour"] == "orange")
            others = [k for k in range(len(facts)) if k != index]
            nearest = [k for k in others if gap(box, boxes[k]) == min(gap(box, boxes[j]) for j in others)]
            named = [
                k for k in nearest if (facts[k]["colour"], facts[k]["name"]) == (fact["other_colour"], fact["other"])
            ]
            if relation in ("left of", "right of", "above", "below"):
                assert any(beside(relation, box, boxes[k]) for k in named)
            elif relation == "next to":
                assert any(gap(box, boxes[k]) == 0 for k in named)
            else:
                assert any((index < k) == (relation == "in front of") for k in named)
    assert min(seen[relation] for relation in RELATIONS) > 100 and seen[None] > 10


def test_what_is_in_front_and_what_is_painted_is_what_the_caption_tells(monkeypatch):
    monkeypatch.setattr(compose, "add_noise", lambda picture, amplitude, draws: picture)
    for index in range(40):
        scene = compose.render("val", index, 128)
        objects, _ = layout.SCENES.place(Draws(SPLITS.index("val"), index, layout.SCENES.stream), 128)
        own = np.zeros((len(objects), 128, 128), np.uint8)
        for plane, one in zip(own, objects, strict=True):
            window = one.window.clip(128, 128)
            here = count(one.covered)[window.within(one.window)]
            plane[window.top : window.bottom, window.left : window.right] = here
        for number, (one, entry) in enumerate(zip(objects, scene.objects, strict=True)):
            occluders = [bool(((own[number] >= 8) & (scene.instances == k + 1)).any()) for k in range(number)]
            assert entry["occluded_by"].tolist() == occluders + [False] * (10 - number)
            open_pixels = (own[number] == 16) & (own[:number].max(axis=0, initial=0) == 0)
            painted = scene.image[:, open_pixels].T
            colour = one.coat.colours[tuple(PALETTE)[entry["colour"]]]
            assert (painted == colour).all(axis=1).mean() > 0.1
            assert TEXTURES[entry["texture"]] == one.coat.texture


def test_the_vocabulary_is_the_words_that_occur(val):
    vocabulary = open_scenes(None, "val").info.vocabulary
    words = {word for sample in val for caption in sample.target.captions for word in caption.split()}
    assert words == set(vocabulary)
    assert len(words) == len(vocabulary), "each is there once"


def test_the_first_word_of_each_kind_is_the_objects_own(val):
    names = {"size": "size", "texture": "texture", "colour": "colour", "class": "name", "relation": "relation"}
    for sample in val[:100]:
        assert sample.target.word_kinds.keys() == names.keys()
        for caption in sample.target.captions:
            own = parse(caption)
            for kind, words in sample.target.word_kinds.items():
                first = min((word for word in words if f" {word} " in f" {caption} "), key=caption.index, default=None)
                assert first == own[names[kind]]


def scene(*rows) -> tuple[np.ndarray, np.ndarray]:
    """Objects and boxes from (class, texture, colour, indices of those that occlude it, box)."""
    objects = np.zeros(len(rows), OBJECT)
    for entry, (name, texture, colour, occluded_by, _) in zip(objects, rows, strict=True):
        entry["label"], entry["texture"] = CLASSES.index(name), TEXTURES.index(texture)
        entry["colour"] = tuple(PALETTE).index(colour)
        entry["occluded_by"][list(occluded_by)] = True
    return objects, np.array([box for *_, box in rows])


RING = ("ring", "solid", "orange", (), (60, 50, 90, 80))


@pytest.mark.parametrize(
    ("box", "occluded_by", "words"),
    [
        ((10, 50, 20, 80), (), "left of an orange ring"),
        ((50, 40, 60, 49), (), "above an orange ring"),
        ((50, 40, 60, 50), (), "left of an orange ring"),  # both hold: the sides come first
        ((90, 60, 99, 70), (), "right of an orange ring"),
        ((0, 80, 128, 128), (), "below an orange ring"),
        ((70, 60, 80, 70), (), "next to an orange ring"),
        ((10, 50, 20, 80), (0,), "behind an orange ring"),
    ],
)
def test_a_relation_by_hand(box, occluded_by, words):
    objects, boxes = scene(RING, ("star", "stripes", "red", occluded_by, box))
    assert describe(objects, boxes, 128)[1].removeprefix("a ").split(" ", 1)[1] == f"striped red star {words}"
    if occluded_by:
        assert describe(objects, boxes, 128)[0].endswith("orange ring in front of a red star")


def test_the_nearest_object_is_named_and_alone_there_is_none():
    star = ("star", "dots", "red", (), (0, 0, 16, 8))
    near, far = ("heart", "solid", "blue", (), (20, 0, 40, 20)), ("ell", "solid", "grey", (), (0, 40, 20, 60))
    assert describe(*scene(star, far, near), 128)[0] == "a medium dotted red star left of a blue heart"
    assert describe(*scene(star), 128) == ("a medium dotted red star",)
    assert describe(*scene(star), 129) == ("a small dotted red star",)
    assert describe(*scene(star), 64) == ("a large dotted red star",)
