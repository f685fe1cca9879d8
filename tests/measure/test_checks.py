"""What a prediction can't be is refused, with image, field and value."""

from dataclasses import replace

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from planned_cells import measured, planned_cell

from roibench.dataset import DatasetInfo
from roibench.datasets.scenes import Scenes
from roibench.measure.checks import PredictionError, check_count, check_predictions
from roibench.registry import installed
from roibench.structures import Input, Prediction
from roibench.task import Frame

FIELDS = installed().fields
FRAME = Frame("street/7.png", (4, 6), ("cat", "dog"), joints=3)
SOUND = Prediction(
    boxes=torch.tensor([[0.0, 1, 5, 4], [1, 1, 2, 2]]),
    scores=torch.tensor([0.9, 0.2]),
    labels=torch.tensor([1, 0]),
    masks=torch.zeros(2, 4, 6, dtype=torch.bool),
    keypoints=torch.zeros(2, 3, 3),
    captions=("a cat", ""),
    class_scores=torch.tensor([0.1, 0.9]),
    semantic_map=torch.tensor([[0, 1, 2, 0, 0, 0]] * 4, dtype=torch.uint8),
    extra={
        "attribution": torch.zeros(4, 6),
        "features": torch.zeros(5),
        "generated": torch.zeros(3, 8, 8, dtype=torch.uint8),
    },
)
NAN = torch.nan

IMPOSSIBLE = [
    ({"boxes": torch.zeros(2, 5)}, "boxes has the shape [2, 5]; want [K, 4]"),
    ({"boxes": torch.zeros(0)}, "boxes has the shape [0]; want [K, 4]"),
    ({"boxes": torch.zeros(2, 4, dtype=torch.int64)}, "boxes is torch.int64; want torch.float32"),
    ({"boxes": torch.zeros(2, 4).numpy()}, "boxes is a ndarray; want a torch.Tensor"),
    ({"boxes": torch.zeros(2, 4, device="meta")}, "boxes is on meta; want it on the cpu"),
    ({"boxes": torch.zeros(2, 4, requires_grad=True)}, "boxes asks for a gradient; want it detached"),
    ({"boxes": torch.zeros(2, 4).to_sparse()}, "boxes is torch.sparse_coo; want a dense tensor"),
    (
        {"boxes": torch.tensor([[0, 0, 1, 1], [0, torch.inf, NAN, 1]])},
        "boxes[1, 1] is inf; want a finite number (and 1",
    ),
    ({"scores": torch.tensor([0.5, NAN])}, "scores[1] is nan; want a finite number"),
    ({"scores": torch.tensor([1, 0])}, "scores is torch.int64; want torch.float32"),
    ({"scores": torch.zeros(2, dtype=torch.bfloat16)}, "scores is torch.bfloat16; want torch.float32"),
    ({"scores": torch.zeros(3)}, "2 boxes, 3 scores, 2 labels"),
    ({"labels": torch.tensor([0, 2])}, "labels[1] is 2; want 0 to 1"),
    ({"labels": torch.tensor([-1, 0])}, "labels[0] is -1; want 0 to 1"),
    ({"labels": torch.tensor([0.0, 1.0])}, "labels is torch.float32; want torch.int64"),
    ({"labels": torch.tensor([True, False])}, "labels is torch.bool; want torch.int64"),
    ({"masks": torch.zeros(2, 4, 6)}, "masks is torch.float32; want torch.bool"),
    ({"masks": torch.zeros(2, 6, 4, dtype=torch.bool)}, "masks has the shape [2, 6, 4]; want [K, 4, 6]"),
    ({"masks": torch.zeros(1, 4, 6, dtype=torch.bool)}, "2 labels, 1 masks"),
    ({"keypoints": torch.zeros(2, 17, 3)}, "keypoints has the shape [2, 17, 3]; want [K, 3, 3]"),
    (
        {"keypoints": torch.full((2, 3, 3), -torch.inf)},
        "keypoints[0, 0, 0] is -inf; want a finite number (and 17 more)",
    ),
    ({"captions": "ab"}, "captions is a str; want a tuple of str, one per object"),
    ({"captions": ["a cat", ""]}, "captions is a list; want a tuple of str, one per object"),
    ({"captions": ("a cat", b"a dog")}, "captions[1] is a bytes; want a str"),
    ({"captions": ("a cat", None)}, "captions[1] is a NoneType; want a str"),
    ({"captions": ("a cat",)}, "2 keypoints, 1 captions"),
    ({"class_scores": torch.zeros(3)}, "class_scores has the shape [3]; want [2]"),
    ({"class_scores": torch.tensor([NAN, 0])}, "class_scores[0] is nan; want a finite number"),
    ({"semantic_map": torch.full((4, 6), 3, dtype=torch.uint8)}, "semantic_map[0, 0] is 3; want 0 to 2 (and 23 more)"),
    ({"semantic_map": torch.full((4, 6), 255, dtype=torch.uint8)}, "semantic_map[0, 0] is 255; want 0 to 2"),
    ({"semantic_map": torch.zeros(8, 12, dtype=torch.uint8)}, "semantic_map has the shape [8, 12]; want [4, 6]"),
    ({"semantic_map": torch.zeros(4, 6, dtype=torch.int64)}, "semantic_map is torch.int64; want torch.uint8"),
    ({"extra": {"attribution": torch.zeros(6, 4)}}, "attribution has the shape [6, 4]; want [4, 6]"),
    ({"extra": {"attribution": torch.full((4, 6), NAN)}}, "attribution[0, 0] is nan; want a finite number"),
    ({"extra": {"generated": torch.zeros(3, 8, 8)}}, "generated is torch.float32; want torch.uint8"),
    ({"extra": {"features": torch.zeros(1, 5)}}, "features has the shape [1, 5]; want [D]"),
    ({"extra": {"features": torch.full((5,), NAN)}}, "features[0] is nan; want a finite number"),
]


def test_a_sound_prediction_passes_and_every_field_has_its_check():
    check_predictions([SOUND, Prediction()], [FRAME, FRAME], FIELDS)
    assert set(FIELDS) == set(SOUND.known)


@pytest.mark.parametrize(("changes", "words"), IMPOSSIBLE, ids=[words for _, words in IMPOSSIBLE])
def test_what_can_not_be_is_named_with_its_image(changes, words):
    other = replace(FRAME, id="the one before")
    with pytest.raises(PredictionError) as caught:
        check_predictions([SOUND, replace(SOUND, **changes)], [other, FRAME], FIELDS)
    message = str(caught.value)
    assert message.startswith("image street/7.png: ") and words in message and "\n" not in message


@pytest.mark.parametrize("value", [None, {}, (1, 2), torch.zeros(2, 4)])
def test_what_is_no_prediction_is_named(value):
    with pytest.raises(PredictionError, match=r"image street/7\.png: predict returned a \w+; want a roibench"):
        check_predictions([value], [FRAME], FIELDS)


def test_a_task_gets_all_the_fields_that_it_needs():
    with pytest.raises(PredictionError, match=r"image street/7\.png: no labels, which the model's task needs"):
        check_predictions([replace(SOUND, labels=None)], [FRAME], FIELDS, ("boxes", "labels"))


@pytest.mark.parametrize(
    ("predictions", "words"), [([], "0 predictions"), (None, "a NoneType"), (iter([1]), "a list_iterator")]
)
def test_predict_returns_a_list_of_one_per_image(predictions, words):
    with pytest.raises(
        PredictionError, match=rf"predict returned {words}.* for 1 images; want one Prediction per Input"
    ):
        check_count(predictions, 1)


@given(
    count=st.integers(0, 4),
    floats=st.sampled_from([torch.float32, torch.float64]),
    integers=st.sampled_from([torch.int64, torch.int32, torch.uint8]),
    size=st.tuples(st.integers(1, 5), st.integers(1, 5)),
)
def test_whatever_holds_the_same_values_is_taken(count, floats, integers, size):
    frame = Frame("any", size, ("a", "b"))
    found = Prediction(
        boxes=torch.rand(count, 4, dtype=floats) * 100 - 50,  # doubtful, not impossible
        scores=torch.randn(count, dtype=floats),
        labels=torch.randint(0, 2, (count,)).to(integers),
        keypoints=torch.rand(count, 9, 3, dtype=floats),
        extra={"attribution": torch.randn(size, dtype=floats)},
    )
    check_predictions([found], [frame], FIELDS, ("boxes", "scores", "labels"))


def test_a_frame_knows_its_image_and_its_dataset():
    data = Scenes("val")
    frame = Frame.of(data[3].input, data.info)
    assert (frame.id, frame.size, frame.joints) == ("scenes-val-000003", (128, 128), 14)
    bare = Frame.of(Input("latent", None), DatasetInfo("d", "val", ("a",)))
    assert (bare.size, bare.joints) == (None, None)


@pytest.mark.usefixtures("third_party")
@pytest.mark.parametrize(
    ("model", "words"),
    [
        ("nan_scores", "image square-0: scores[0] is nan"),
        ("labels_beyond", "image square-0: labels[0] is 5; want 0 to 0"),
        ("float_labels", "image square-0: labels is torch.float32"),
        ("an_array", "image square-0: boxes is a ndarray"),
        ("a_dict", "image square-0: predict returned a dict"),
    ],
)
def test_a_cell_whose_model_returns_it_fails_before_the_second_round(tmp_path, model, words):
    record = measured(planned_cell(model, rounds=2), tmp_path)
    assert record.status == "failed" and words in record.error
    assert record.error.endswith("(while checking what predict returned)")
    assert not list(tmp_path.iterdir())  # nothing of it is kept
