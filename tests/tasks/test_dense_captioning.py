"""The dense captioning task: what is doubtful of captions, how they are drawn and described, which words they have."""

from dataclasses import replace
from functools import partial

import numpy as np
import pytest
import torch

from roibench.draw.canvas import colour
from roibench.draw.prediction import draw as draw_fields
from roibench.measure.checks import TargetError
from roibench.measure.score import score
from roibench.predict import describe
from roibench.registry import installed
from roibench.structures import Prediction, Target
from roibench.task import Frame, Scored
from roibench.words import words_of

TASK = installed().tasks["dense_captioning"]
FIELDS = installed().fields.values()
FRAME = Frame("one", (40, 48), ("cat", "dog"))
BOXES = torch.tensor([[2.0, 2, 20, 20], [22, 22, 40, 38], [5, 5, 9, 9]])
FOUND = Prediction(boxes=BOXES, scores=torch.tensor([0.9, 0.6, 0.2]), captions=("a red star", "a blue ring", "a dot"))
TRUE = Target(boxes=BOXES, captions=("a red star", "a blue ring", "a cat"))
BLACK = torch.zeros(3, 40, 48, dtype=torch.uint8)
draw = partial(draw_fields, fields=FIELDS)


def told(*captions: str, true: Target = TRUE) -> tuple[str, ...]:
    prediction = Prediction(boxes=BOXES[: len(captions)], scores=torch.ones(len(captions)), captions=captions)
    return TASK.doubts(Scored(TASK, [prediction], [TASK.filter(prediction)], [true], [FRAME]))


@pytest.mark.parametrize(
    ("captions", "sentences"),
    [
        (("a star", "a ring"), ()),
        (("a star",), ()),
        (("a star", "a star"), ("all 2 captions are the same: 'a star'",)),
        (("", " .", "a star"), ("2 of 3 (67 %) captions have no word",)),
        (("", ""), ("2 of 2 (100 %) captions have no word",)),
        ((), ("nothing was found in any of 1 images",)),
    ],
)
def test_captions_that_are_empty_or_all_the_same_are_doubtful(captions, sentences):
    assert told(*captions) == sentences


def test_where_the_truth_is_one_sentence_it_may_be_all_that_is_said():
    assert told("a star", "a star", true=replace(TRUE, captions=("a star",) * 3)) == ()


def test_captions_are_filtered_with_their_boxes():
    shuffled = replace(FOUND, scores=torch.tensor([0.01, 0.6, 0.9]))
    assert TASK.filter(shuffled).captions == ("a dot", "a blue ring")


def test_the_truth_is_a_perfect_prediction():
    truth = TASK.ground_truth(TRUE)
    assert truth.captions == TRUE.captions and truth.scores.tolist() == [1, 1, 1]
    values = score(TASK, [truth], [TRUE], [FRAME], installed()).values
    assert values["dense_captioning_ap/mAP"].value == pytest.approx(1)


@pytest.mark.parametrize(
    ("captions", "words"),
    [
        (("a", "b", 3), r"captions\[2\] is a int; want a str"),
        ("abc", "captions is a str; want a tuple of str, one per object"),
    ],
)
def test_impossible_captions_of_the_truth_are_refused(captions, words):
    with pytest.raises(TargetError, match=f"image one: ground truth: {words}"):
        score(TASK, [FOUND], [replace(TRUE, captions=captions)], [FRAME], installed())


def test_a_target_counts_that_has_an_object_and_its_caption():
    nothing = Target(boxes=BOXES[:0], captions=())
    assert TASK.counts(TRUE) and not TASK.counts(nothing) and not TASK.counts(Target(boxes=BOXES))
    assert not TASK.counts(replace(TRUE, ignored=torch.ones(3, dtype=torch.bool)))


def test_json_has_the_caption_with_its_box():
    found, words = describe(FOUND, list(FIELDS), (), 0.5)
    assert words == "2 objects"
    assert found["objects"] == [
        {"score": 0.9, "caption": "a red star", "box": [2, 2, 20, 20]},
        {"score": 0.6, "caption": "a blue ring", "box": [22, 22, 40, 38]},
    ]


def coloured(picture, index: int) -> np.ndarray:
    """Where the picture has the colour of a box and its sentence, bool [H, W]."""
    return (np.asarray(picture) == colour(index)).all(axis=2)


def test_each_box_has_its_sentence_below_the_picture_in_its_colour():
    plain = draw(BLACK, Prediction(boxes=BOXES, scores=FOUND.scores), ())
    picture = draw(BLACK, FOUND, ())
    assert picture.width == plain.width and picture.height > plain.height
    line = (picture.height - plain.height) / 2
    assert 14 <= line <= 40, "two lines, of letters that can be read"
    for index in (0, 1):
        strip, above = coloured(picture, index)[plain.height :], coloured(picture, index)[: plain.height]
        ys, xs = np.nonzero(strip)
        assert above.any() and xs.min() == 0 and xs.max() < 60
        assert index * line < ys.mean() < (index + 1) * line, "in the order of their numbers"
    assert not coloured(picture, 2).any(), "below the threshold"
    letters = (np.asarray(picture)[plain.height :, 60:] < 100).all(2)
    assert letters[: int(line)].any() and letters[int(line) :].any()


def test_long_sentences_go_on_in_the_next_line_and_stay_inside():
    one = replace(FOUND, boxes=BOXES[:1], scores=FOUND.scores[:1], captions=("a star",))
    long = replace(one, captions=("a small striped red star left of a blue ring " * 4,))
    short_picture, long_picture = draw(BLACK, one, ()), draw(BLACK, long, ())
    assert long_picture.height > short_picture.height
    right = np.asarray(long_picture)[short_picture.height :, -2:]
    assert (right == 255).all(), "no letter is cut off at the edge"


def test_nothing_found_or_an_empty_sentence_is_drawn_without_an_error():
    nothing = Prediction(boxes=BOXES[:0], scores=torch.zeros(0), captions=())
    assert draw(BLACK, nothing, ()).size == draw(BLACK, Prediction(), ()).size
    draw(BLACK, replace(FOUND, captions=("", "?", "\n")), ())
    draw(torch.zeros(3, 640, 3, dtype=torch.uint8), FOUND, ())


def test_a_label_keeps_its_name_and_colour_beside_a_caption():
    labelled = replace(FOUND, labels=torch.tensor([1, 1, 0]))
    picture = draw(BLACK, labelled, ("cat", "dog"))
    assert coloured(picture, 1).any() and not coloured(picture, 0).any()


@pytest.mark.parametrize(
    ("sentence", "words"),
    [
        ("A small star.", ["a", "small", "star"]),
        ("A man's dog, well-fed; isn\u2019t it?", ["a", "man's", "dog", "well-fed", "isn\u2019t", "it"]),
        ("2 Äpfel", ["2", "äpfel"]),
        (" ... ", []),
        ("", []),
    ],
)
def test_words_are_in_lower_case_and_without_punctuation(sentence, words):
    assert words_of(sentence) == words
