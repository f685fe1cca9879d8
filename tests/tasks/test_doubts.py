"""What is doubtful about predictions is told, with counts; what is usual isn't."""

from dataclasses import replace

import pytest
import torch

from roibench.registry import installed, resolve
from roibench.structures import VOID, Prediction, Target
from roibench.task import Frame, Scored

FRAME = Frame("one", (40, 48), ("cat", "dog", "cow"))


def told(name: str, predictions, targets, frames=None) -> tuple[str, ...]:
    task = installed().tasks[name]
    kept = [task.filter(prediction) for prediction in predictions]
    return task.doubts(Scored(task, predictions, kept, targets, frames or [FRAME] * len(predictions)))


def of_squares(registry, behaviour: str) -> tuple[str, ...]:
    """What is told of a model of the third-party plugin."""
    data = resolve(registry.datasets["squares"].open)(None, "val")
    model = resolve(registry.models["works"].build)(data.info, {"behaviour": behaviour})
    samples = [data[i] for i in range(len(data))]
    frames = [Frame.of(one.input, data.info) for one in samples]
    predictions = model.predict([one.input for one in samples])
    return told("detection", predictions, [one.target for one in samples], frames)


@pytest.mark.parametrize(
    ("behaviour", "sentences"),
    [
        ("works", []),
        ("centre_and_size", ["3 of 12 (25 %) boxes are inverted", "12 of 12 (100 %) boxes have no area"]),
        ("normalised", ["all 12 boxes lie within [0, 1]: divided by the image's size? want pixels"]),
        ("outside", ["12 of 12 (100 %) boxes reach out of their image"]),
        ("inverted", ["12 of 12 (100 %) boxes are inverted (x2 < x1 or y2 < y1)"]),
        ("unsorted", ["12 of 12 (100 %) images have scores that aren't sorted, best first"]),
        ("finds_nothing", ["nothing was found in any of 12 images; 12 scores lie below 0.05"]),
    ],
)
def test_what_a_model_does_wrong_is_told(third_party, behaviour, sentences):
    found = of_squares(third_party, behaviour)
    assert len(found) == len(sentences) and all(map(str.startswith, found, sentences)), found


def test_the_layout_that_fits_is_named(third_party):
    hint = "as x, y, width, height or centre x, centre y, width, height they fit: want x1, y1, x2, y2"
    assert hint in of_squares(third_party, "centre_and_size")[0]
    assert "they fit" not in "".join(of_squares(third_party, "outside"))


def boxes(*rows, labels=None, scores=None) -> Prediction:
    count = len(rows)
    return Prediction(
        boxes=torch.tensor(rows, dtype=torch.float32).reshape(-1, 4),
        scores=torch.ones(count) if scores is None else torch.tensor(scores),
        labels=torch.zeros(count, dtype=torch.int64) if labels is None else torch.tensor(labels),
    )


TARGET = Target(boxes=torch.tensor([[1.0, 1, 9, 9]]), labels=torch.tensor([0]))


def test_shares_count_boxes_that_are_scored_and_a_border_may_be_missed_by_rounding():
    found = boxes((-0.9, 0, 48.9, 40), (1, 1, 9, 9), (-2, 0, 5, 5), (-99, 0, 5, 5), scores=[0.9, 0.8, 0.7, 0.01])
    assert told("detection", [found], [TARGET]) == ("1 of 3 (33 %) boxes reach out of their image",)


def test_a_few_empty_boxes_are_no_matter():
    found = boxes(*[(1, 1, 9, 9)] * 30, (48, 1, 48, 9))
    assert told("detection", [found], [TARGET]) == ()


def test_a_model_that_names_other_classes_than_the_data_have_is_told_apart():
    [sentence] = told("detection", [boxes((1, 1, 9, 9), (1, 1, 9, 9), labels=[1, 2])], [TARGET])
    assert sentence == "no class in common: predicted are dog, cow; the data have cat"
    assert told("detection", [boxes((1, 1, 9, 9), (1, 1, 9, 9), labels=[0, 2])], [TARGET]) == ()


def test_images_in_which_nothing_is_there_or_found_are_usual():
    nothing = Target(boxes=torch.zeros(0, 4), labels=torch.zeros(0, dtype=torch.int64))
    found = boxes((1, 1, 9, 9))
    assert told("detection", [boxes(), found], [nothing, TARGET]) == ()
    assert told("detection", [boxes()], [nothing]) == ("nothing was found in any of 1 images",)


def test_maps_of_background_alone_and_of_other_classes():
    true = Target(semantic_map=torch.tensor([[0, 1], [VOID, 0]], dtype=torch.uint8))
    for values, sentences in (
        ([[0, 0], [0, 0]], ("not a pixel in 1 images has another class than background",)),
        ([[0, 3], [0, 0]], ("no class in common: predicted are cow; the data have cat",)),
        ([[0, 1], [3, 0]], ()),
    ):
        found = Prediction(semantic_map=torch.tensor(values, dtype=torch.uint8))
        assert told("semantic_segmentation", [found], [true]) == sentences


def test_classes_of_whole_images():
    found = [Prediction(class_scores=torch.eye(3)[label]) for label in (1, 1)]
    [sentence] = told("classification", found, [Target(image_label=0), Target(image_label=2)])
    assert sentence == "no class in common: predicted are dog; the data have cat, cow"
    assert told("classification", found, [Target(image_label=0), Target(image_label=1)]) == ()


def test_keypoints_and_masks_and_attributions():
    keypoints = Prediction(keypoints=torch.rand(2, 5, 3), scores=torch.ones(2))
    assert told("keypoints", [keypoints], [TARGET])[0].startswith("all 10 keypoints lie within [0, 1]")
    spread = replace(keypoints, keypoints=torch.rand(2, 5, 3) * 30 + 2)
    assert told("keypoints", [spread], [TARGET]) == ()
    masks = torch.zeros(4, 40, 48, dtype=torch.bool)
    masks[0, 3, 3] = True
    found = Prediction(masks=masks, scores=torch.ones(4), labels=torch.zeros(4, dtype=torch.int64))
    assert told("instance_segmentation", [found], [TARGET]) == ("3 of 4 (75 %) masks have no pixel",)
    few = Prediction(
        masks=torch.arange(30)[:, None, None].expand(30, 40, 48) > 0,
        scores=torch.ones(30),
        labels=torch.zeros(30, dtype=torch.int64),
    )
    assert told("instance_segmentation", [few], [TARGET]) == (), "one of thirty is what happens to poor detections"
    flat, peaked = torch.full((40, 48), 3.0), torch.eye(40, 48)
    same = "attributions are the same everywhere in their image"
    assert told("attribution", [Prediction(extra={"attribution": flat})] * 2, [TARGET] * 2) == (f"all 2 {same}",)
    assert told("attribution", [Prediction(extra={"attribution": x}) for x in (flat, peaked)], [TARGET] * 2) == ()
