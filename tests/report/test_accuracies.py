"""Claims by values that don't rank, and of two tasks."""

import pytest
from claimed import localizing

from roibench.claim import Accuracy, Status, better, judge
from roibench.measure.record import Prefix
from roibench.registry import installed

LOCALIZER = Accuracy("localizer", "localization", "localization_accuracy/MaxBoxAccV2")
CAM = Accuracy("cam@resnet_classifier", "attribution", "max_box_acc/MaxBoxAccV2")


def judged(claim, records):
    return judge([installed().claims[claim]], records)[0].verdict


@pytest.mark.parametrize(
    ("accuracy", "status"), [(0.7, Status.HELD), (0.6001, Status.CANNOT_TELL), (0.5, Status.NOT_HELD)]
)
def test_boxes_and_maps_are_compared_by_the_same_figure_of_their_tasks(scored, accuracy, status):
    found = judged("boxes_localize_better", [localizing(scored, "localizer", accuracy), localizing(scored, "cam", 0.6)])
    assert found.status is status
    assert found.figures.startswith(f"localizer - cam@resnet_classifier: MaxBoxAccV2 {100 * (accuracy - 0.6):.1f} [")


@pytest.mark.parametrize(
    ("center", "edges", "status"),
    [(0.3, 0.4, Status.HELD), (0.3, 0.5999, Status.CANNOT_TELL), (0.7, 0.4, Status.NOT_HELD)],
)
def test_labels_alone_must_beat_both_the_centre_and_the_edges(scored, center, edges, status):
    records = [localizing(scored, *one) for one in (("cam", 0.6), ("center", center), ("edges", edges))]
    found = judged("localizes_from_labels", records)
    assert found.status is status
    assert found.figures.count("cam@resnet_classifier - ") == 2 and "500 images, cpu" in found.figures
    assert judged("localizes_from_labels", records[:2]).status is not Status.HELD


def test_what_records_lack_is_not_measured(scored):
    """Resamples of values that don't rank, which records of before schema 9 don't hold; the same images; the value."""
    ours, theirs = localizing(scored, "localizer", 0.7), localizing(scored, "cam", 0.6)
    [(task, score)] = ours.scores.items()
    values = {key: value.model_copy(update={"resampled": ()}) for key, value in score.values.items()}
    old = ours.model_copy(update={"scores": {task: score.model_copy(update={"values": values})}})
    found = better([old, theirs], LOCALIZER, CAM)
    assert found.status is Status.NOT_MEASURED and "before schema 9" in found.figures
    prefixes = {200: Prefix(value=0.1, resampled=(0.1,) * 1000)}  # of what ranks
    theirs = theirs.model_copy(
        update={"scores": {name: one.model_copy(update={"prefixes": prefixes}) for name, one in theirs.scores.items()}}
    )
    fewer = ours.model_copy(update={"images": 200})
    assert "not measured alike on the same images" in better([fewer, theirs], LOCALIZER, CAM).figures
    other = LOCALIZER._replace(value="localization_accuracy/box_iou")
    assert better([ours, theirs], other, CAM).status is Status.NOT_MEASURED
    assert better([ours], LOCALIZER, CAM).figures == "no record of cam@resnet_classifier"
