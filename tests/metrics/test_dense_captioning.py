"""Average precision of boxes and sentences, against plain loops over every pair of thresholds."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from rapidfuzz.distance import Indel

from roibench.datasets.scenes.captions import WORD_KINDS
from roibench.metrics.dense_captioning import KINDS, dense_captioning_ap, similarity
from roibench.metrics.fields import ImageError
from roibench.structures import Prediction, Target

IOUS = (0.3, 0.4, 0.5, 0.6, 0.7)
SIMILARITIES = (0, 0.2, 0.4, 0.6, 0.8, 1)
SENTENCE = "a small striped red star left of a blue ring"
WORDS = ["a", "an", "small", "large", "striped", "red", "orange", "star", "ring", "left of", "next to"]


def target(*rows, **changes) -> Target:
    """Boxes and their sentences."""
    boxes = torch.tensor([row[:4] for row in rows], dtype=torch.float32).reshape(-1, 4)
    captions = tuple(row[4] for row in rows)
    return replace(Target(boxes=boxes, captions=captions, word_kinds=WORD_KINDS), **changes)


def found(*rows) -> Prediction:
    """Boxes and their sentences, the best first."""
    boxes = torch.tensor([row[:4] for row in rows], dtype=torch.float32).reshape(-1, 4)
    return Prediction(boxes=boxes, scores=torch.linspace(0.9, 0.1, len(rows)), captions=tuple(row[4] for row in rows))


def values(predictions, targets) -> dict[str, float]:
    """Without the last digits, in which COCO's precision, over detections + epsilon, differs from a fraction."""
    return {name: round(one.value, 12) for name, one in dense_captioning_ap(predictions, targets).values.items()}


# ---- the reference


def iou(a, b) -> float:
    width = min(a[2], b[2]) - max(a[0], b[0])
    height = min(a[3], b[3]) - max(a[1], b[1])
    if width <= 0 or height <= 0:
        return 0.0
    both = width * height
    return both / ((a[2] - a[0]) * (a[3] - a[1]) + (b[2] - b[0]) * (b[3] - b[1]) - both)


def rouge_l(one: str, other: str) -> float:
    """F1 of the longest common subsequence of words, by the textbook's table."""
    a, b = one.split(), other.split()
    table = np.zeros((len(a) + 1, len(b) + 1))
    for i, x in enumerate(a):
        for j, y in enumerate(b):
            table[i + 1, j + 1] = table[i, j] + 1 if x == y else max(table[i, j + 1], table[i + 1, j])
    return 2 * table[-1, -1] / (len(a) + len(b)) if a or b else 1.0


def merged(boxes, captions):
    """Regions with their references: the box with the most others near goes first."""
    left, regions = list(range(len(boxes))), []
    while left:
        near = {i: [j for j in left if i == j or iou(boxes[i], boxes[j]) >= 0.7] for i in left}
        group = near[max(left, key=lambda i: len(near[i]))]
        box = [sum(boxes[i][k] for i in group) / len(group) for k in range(4)]
        regions.append((box, [captions[i] for i in group]))
        left = [i for i in left if i not in group]
    return regions


def reference(predictions, targets) -> dict[str, float]:
    regions = [merged(one.boxes.double().tolist(), one.captions) for one in targets]
    records = []
    for index, prediction in enumerate(predictions):
        taken = set()
        for d in prediction.scores.argsort(descending=True, stable=True).tolist():
            box = prediction.boxes[d].double().tolist()
            overlaps = [iou(box, region) for region, _ in regions[index]]
            best = max(range(len(overlaps)), key=overlaps.__getitem__, default=None)
            if best is None or overlaps[best] == 0:
                records.append((float(prediction.scores[d]), False, 0.0, 0.0))
                continue
            alike = max(rouge_l(prediction.captions[d], one) for one in regions[index][best][1])
            records.append((float(prediction.scores[d]), best not in taken, overlaps[best], alike))
            taken.add(best)
    records.sort(key=lambda record: -record[0])
    count = sum(map(len, regions))
    precisions = {}
    for least_iou in IOUS:
        for least in SIMILARITIES:
            hits, points = 0, []
            for place, (_, first, overlap, alike) in enumerate(records, 1):
                hits += first and overlap >= least_iou and alike >= least - 1e-9
                points.append((hits / count, hits / place))
            best = [max((p for r, p in points if r >= level), default=0.0) for level in np.linspace(0, 1, 101)]
            precisions[least_iou, least] = np.mean(best)
    boxes = [value for (_, least), value in precisions.items() if least == 0]
    return {"mAP": np.mean(list(precisions.values())), "box_AP": np.mean(boxes)}


# ---- the metric


sentences = st.lists(st.sampled_from(WORDS), min_size=1, max_size=6).map(" ".join)


@st.composite
def images(draw):
    """Few places, so that boxes coincide, overlap and are merged."""
    predictions, targets = [], []
    for _ in range(draw(st.integers(1, 4))):
        rows = [
            [
                (x, y, x + 20, y + 20, draw(sentences))
                for x, y in draw(st.lists(st.tuples(st.integers(0, 24), st.integers(0, 12)), max_size=most))
            ]
            for most in (8, 5)
        ]
        predictions.append(found(*rows[0]))
        targets.append(target(*rows[1]))
    return predictions, targets


@given(images())
def test_it_is_what_plain_loops_give(case):
    predictions, targets = case
    got = values(predictions, targets)
    if not any(one.captions for one in targets):
        assert "mAP" not in got and "box_AP" not in got
        return
    for name, value in reference(predictions, targets).items():
        assert got[name] == pytest.approx(value, abs=1e-11), name


@given(sentences, st.lists(sentences, min_size=1, max_size=3))
def test_the_similarity_is_rouge_l_with_the_best_reference(caption, references):
    assert similarity(caption, references) == pytest.approx(max(rouge_l(caption, one) for one in references))
    library = max(Indel.normalized_similarity(caption.split(), one.split()) for one in references)
    assert similarity(caption, references) == library


@pytest.mark.parametrize(
    ("caption", "references", "expected"),
    [
        ("A small star.", ["a small star"], 1.0),
        ("star", ["star"], 1.0),
        ("star", ["ring"], 0.0),
        ("", ["ring"], 0.0),
        ("", [""], 1.0),
        ("star", [], 0.0),
        ("star small a", ["a small star"], 1 / 3),
        ("a star", ["ring", "a red star"], 0.8),
    ],
)
def test_similarities_by_hand(caption, references, expected):
    assert similarity(caption, references) == pytest.approx(expected)


def test_what_is_right_is_1_whatever_the_writing():
    true = target((0, 0, 10, 10, SENTENCE), (50, 50, 90, 90, "ring"))
    right = found((0, 0, 10, 10, SENTENCE.upper() + "!"), (50, 50, 90, 90, "ring"))
    assert set(values([right], [true]).values()) == {1.0}


def test_a_wrong_word_costs_the_thresholds_above_its_sentence():
    true = target((0, 0, 10, 10, "a red star"))
    got = values([found((0, 0, 10, 10, "a blue star"))], [true])  # two of three words: 0.67
    assert got["mAP"] == pytest.approx(4 / 6) and got["box_AP"] == 1
    assert (got["colour"], got["class"], got["size"]) == (0, 1, 1)


def test_a_similarity_on_a_threshold_reaches_it():
    true = target((0, 0, 10, 10, "a b c d e"))
    got = values([found((0, 0, 10, 10, "a v w x y"))], [true])
    assert similarity("a v w x y", ["a b c d e"]) < 0.2, "rounded down"
    assert got["mAP"] == pytest.approx(2 / 6)


def test_a_loose_box_costs_the_thresholds_above_its_overlap():
    true = target((0, 0, 10, 10, "star"))
    assert values([found((0, 0, 10, 5.5, "star"))], [true])["mAP"] == pytest.approx(3 / 5)


def test_the_first_one_there_takes_the_region_even_if_it_is_wrong():
    true = target((0, 0, 10, 10, "star"))
    assert values([found((0, 0, 10, 2, "ring"), (0, 0, 10, 10, "star"))], [true])["mAP"] == 0
    assert values([found((0, 0, 10, 10, "star"), (0, 0, 10, 2, "ring"))], [true])["mAP"] == 1


def test_boxes_of_one_place_are_one_region_with_several_references():
    true = target((0, 0, 10, 10, "star"), (0, 0, 10, 9, "ring"), (0, 0, 10, 10, "a red disc"))
    for right in ("star", "ring", "a red disc"):
        assert values([found((0, 0, 10, 10, right))], [true])["mAP"] == 1
    assert values([found((0, 0, 10, 10, "star"), (0, 0, 10, 10, "ring"))], [true])["mAP"] == 1, "a second one is late"
    assert values([found((50, 50, 60, 60, "a"), (0, 0, 10, 10, "ring"))], [true])["mAP"] == pytest.approx(0.5)


def test_what_needs_no_finding_counts_neither_way():
    rows = (0, 0, 10, 10, "star"), (50, 50, 60, 60, "ring")
    for flag in ("crowd", "ignored"):
        true = target(*rows, **{flag: torch.tensor([False, True])})
        assert values([found(rows[0])], [true])["mAP"] == 1, flag
        assert values([found(rows[1], rows[1], rows[0])], [true])["mAP"] == 1, flag
        assert values([found((70, 70, 80, 80, "a"), rows[0])], [true])["mAP"] == pytest.approx(0.5), flag
    assert values([found(rows[0])], [target(*rows, ignored=torch.tensor([True, True]))]) == {}


def test_without_detections_nothing_is_right_and_no_word_is_told():
    assert values([found()], [target((0, 0, 10, 10, "star"))]) == {"mAP": 0, "box_AP": 0}


def test_without_regions_nothing_is_defined():
    assert values([found((0, 0, 10, 10, "star"))], [target()]) == {}
    assert values([found()], [target()]) == {}


@pytest.mark.parametrize(
    ("caption", "right"),
    [
        (SENTENCE, KINDS),
        ("a red star", ("colour", "class")),
        ("a red ring left of a small striped star", ("size", "texture", "colour", "relation")),
        ("a striped ring left in front of a red star", ("texture", "colour")),
        ("", ()),
    ],
)
def test_of_each_kind_the_first_word_counts(caption, right):
    got = values([found((0, 0, 10, 10, caption))], [target((0, 0, 10, 10, SENTENCE))])
    assert {kind for kind in KINDS if got[kind]} == set(right)


def test_a_word_that_the_reference_lacks_is_wrong_and_none_is_right():
    got = values([found((0, 0, 10, 10, "a dotted star"))], [target((0, 0, 10, 10, "a red star"))])
    assert {kind: got[kind] for kind in KINDS} == {"size": 1, "texture": 0, "colour": 0, "class": 1, "relation": 1}


def test_of_words_that_begin_alike_the_longest_counts():
    kinds = {"relation": ("in", "in front of", "front")}
    said, true = (
        (0, 0, 10, 10, "a star in a ring"),
        target((0, 0, 10, 10, "a star in front of a ring"), word_kinds=kinds),
    )
    assert values([found(said)], [true])["relation"] == 0


def test_words_are_asked_for_where_a_region_was_found_and_its_target_tells_the_kinds():
    box = (0, 0, 10, 10)
    silent = target((*box, "a blue ring"), word_kinds=None)
    predictions = [found((*box, "a red star")), found((0, 0, 10, 4, "a red star")), found((*box, "a red star"))]
    true = target((*box, "a red star")), target((*box, "a blue ring")), silent
    assert {values(predictions, true)[kind] for kind in KINDS} == {1.0}
    assert not set(KINDS) & set(values(predictions[2:], true[2:]))
    only = target((*box, "a red star"), word_kinds={"colour": ("red",), "mood": ("calm",)})
    assert set(values(predictions[:1], [only])) == {"mAP", "box_AP", "colour"}


def test_intervals_hold_the_values_and_images_are_told():
    box = (0, 0, 10, 10)
    right, wrong = found((*box, SENTENCE)), found((*box, "a large red ring"))
    result = dense_captioning_ap([right, wrong] * 10, [target((*box, SENTENCE))] * 20)
    assert all(one.low <= one.value <= one.high for one in result.values.values())
    assert result.values["class"].low < 0.5 < result.values["class"].high
    assert result.per_image["class"].tolist() == [1, 0] * 10
    assert result.per_image["mAP"][0] > 0.99 > result.per_image["mAP"][1] > 0


@pytest.mark.parametrize(
    ("prediction", "true", "words"),
    [
        (found(), Target(boxes=torch.zeros(0, 4)), "target of image 0: no captions"),
        (found(), Target(captions=()), "target of image 0: no boxes"),
        (found(), target((0, 0, 1, 1, "a"), captions=("a", "b")), "target of image 0: 2 captions for 1 boxes"),
        (replace(found(), captions=None), target(), "prediction of image 0: no captions"),
        (replace(found(), captions=("a",)), target(), "prediction of image 0: 1 captions for 0 boxes"),
    ],
)
def test_what_is_missing_is_named(prediction, true, words):
    with pytest.raises(ImageError, match=f"^{words}$"):
        dense_captioning_ap([prediction], [true])
