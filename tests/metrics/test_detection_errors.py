"""TIDE's kinds of errors by hand, and what holds of any image."""

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from roibench.metrics.detection import coco_ap
from roibench.metrics.detection_errors import KINDS, detection_errors
from roibench.structures import Prediction, Target

CIRCLE, SQUARE = 0, 1
OBJECTS = [(0, 0, 10, 10, CIRCLE), (20, 0, 30, 10, SQUARE), (20, 30, 30, 40, CIRCLE)]


def target(*objects, **flags):
    rows = torch.tensor(objects, dtype=torch.float32).reshape(-1, 5)
    named = {name: torch.tensor(values) for name, values in flags.items()}
    return Target(boxes=rows[:, :4], labels=rows[:, 4].long(), **named)


def errors(*found, true=None):
    """found: x1, y1, x2, y2, label and score of each."""
    rows = torch.tensor(found, dtype=torch.float32).reshape(-1, 6)
    prediction = Prediction(boxes=rows[:, :4], labels=rows[:, 4].long(), scores=rows[:, 5])
    return detection_errors(prediction, target(*OBJECTS) if true is None else true)


@pytest.mark.parametrize(
    ("box", "label", "kind"),
    [
        ((0, 0, 10, 10), CIRCLE, None),
        ((0, 0, 10, 5), CIRCLE, None),  # exactly half is enough
        ((0, 0, 10, 4.9), CIRCLE, "location"),
        ((0, 0, 10, 1), CIRCLE, "location"),  # a tenth
        ((0, 0, 10, 0.9), CIRCLE, "background"),
        ((0, 0, 10, 10), SQUARE, "class"),
        ((0, 0, 10, 5), SQUARE, "class"),
        ((0, 0, 10, 4.9), SQUARE, "both"),
        ((0, 0, 10, 1.1), SQUARE, "both"),
        ((0, 0, 10, 0.9), SQUARE, "background"),
        ((60, 60, 70, 70), CIRCLE, "background"),
        ((0, 0, 0, 0), CIRCLE, "background"),
    ],
)
def test_one_detection_by_hand(box, label, kind):
    assert errors((*box, label, 0.9)).objects == (kind,)


def test_a_second_detection_of_an_object_is_a_duplicate_whatever_the_order():
    whole, half = (0, 0, 10, 10, CIRCLE, 0.9), (0, 0, 10, 8, CIRCLE, 0.8)
    assert errors(whole, half).objects == (None, "duplicate")
    assert errors(half, whole).objects == ("duplicate", None)
    assert errors(half, (*whole[:5], 0.1)).objects == (None, "duplicate"), "the score decides, not the overlap"


def test_of_several_kinds_the_first_counts():
    """As the authors' code has it: it lies badly on its own, and well on another."""
    true = target((0, 0, 10, 10, CIRCLE), (0, 5, 10, 15, SQUARE))
    assert errors((0, 5, 10, 15, CIRCLE, 0.9), true=true).objects == ("location",)


def test_objects_are_missed_that_nothing_is_about():
    assert errors().missed == (True, True, True)
    assert errors((0, 0, 10, 10, CIRCLE, 0.9)).missed == (False, True, True)
    location, wrong_class = (20, 30, 30, 33, CIRCLE, 0.5), (20, 0, 30, 9, CIRCLE, 0.5)
    assert errors(location, wrong_class).missed == (True, False, False)
    both = (20, 0, 30, 3, CIRCLE, 0.5)
    assert errors(both).objects == ("both",) and errors(both).missed == (True, True, True)


def test_without_objects_everything_is_background_and_nothing_missed():
    found = errors((0, 0, 10, 10, CIRCLE, 0.9), (1, 1, 2, 2, SQUARE, 0.1), true=target())
    assert found == (("background", "background"), ()) and errors(true=target()) == ((), ())


@pytest.mark.parametrize("flag", ["crowd", "ignored"])
def test_crowds_and_ignored_objects_are_neither_found_nor_missed(flag):
    true = target(*OBJECTS, **{flag: [True, False, False]})
    found = errors((0, 0, 10, 10, CIRCLE, 0.9), (0, 0, 10, 10, SQUARE, 0.8), true=true)
    assert found.objects == (None, "background") and found.missed == (False, True, True)


def test_what_makes_no_sense_is_named():
    with pytest.raises(ValueError, match="target of image 0: 2 labels for 3 boxes"):
        errors(true=Target(boxes=torch.zeros(3, 4), labels=torch.zeros(2)))


@st.composite
def images(draw):
    corner = st.integers(0, 12)

    def boxes(scored):
        rows = [draw(st.tuples(corner, corner, st.integers(1, 9), st.integers(1, 9), st.integers(0, 1)))
                for _ in range(draw(st.integers(0, 6)))]  # fmt: skip
        return [(x, y, x + w, y + h, label, *([draw(st.integers(1, 5)) / 5] * scored)) for x, y, w, h, label in rows]

    return boxes(True), boxes(False)


@given(images())
def test_what_is_right_is_right_for_ap50_and_every_error_has_a_kind(image):
    found, true = image
    objects, missed = errors(*found, true=target(*true))
    assert len(objects) == len(found) and len(missed) == len(true)
    assert set(objects) <= {None, *KINDS}
    right = objects.count(None)
    assert right + sum(missed) <= len(true)
    if true and right == len(true) == len(found):
        rows = torch.tensor(found)
        prediction = Prediction(boxes=rows[:, :4], labels=rows[:, 4].long(), scores=rows[:, 5])
        assert coco_ap([prediction], [target(*true)]).values["AP50"].value == pytest.approx(1)
