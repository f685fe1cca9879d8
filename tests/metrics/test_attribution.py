"""The pointing game and MaxBoxAccV2 on cases by hand and against plain loops."""

import numpy as np
import pytest
import torch

from roibench.metrics.attribution import THRESHOLDS, max_box_acc, pointing_game
from roibench.structures import Prediction, Target

CIRCLE, SQUARE = 0, 1


def target(*boxes, labels=None, main=0, masks=None, **more):
    labels = [CIRCLE] * len(boxes) if labels is None else labels
    return Target(
        boxes=torch.tensor(boxes, dtype=torch.float32).reshape(-1, 4),
        labels=torch.tensor(labels, dtype=torch.int64),
        main=main if boxes else None,
        masks=masks,
        **more,
    )


def peaks(*places, size=(100, 100)):
    """A map that is 1 at (x, y) and 0 elsewhere."""
    relevance = torch.zeros(size)
    for x, y in places:
        relevance[y, x] = 1
    return Prediction(extra={"attribution": relevance})


def values(metric, *images):
    predictions, targets = zip(*images, strict=True)
    return {name: estimate.value for name, estimate in metric(predictions, targets).values.items()}


def pointing(*images):
    return values(pointing_game, *images).get("pointing")


ONE = target((20, 30, 40, 50))


@pytest.mark.parametrize(
    ("place", "hit"),
    [
        ((30, 40), 1),
        ((20, 30), 1),
        ((39, 49), 1),
        ((42, 40), 1),  # three pixels outside, of 100: within the tolerance
        ((43, 40), 0),
        ((41, 51), 1),  # the distance is Euclidean
        ((42, 52), 0),
        ((90, 10), 0),
        ((0, 0), 0),
    ],
)
def test_a_maximum_hits_on_an_object_or_within_three_per_cent_of_it(place, hit):
    assert pointing((peaks(place), ONE)) == hit


def test_the_tolerance_grows_with_the_image():
    large = target((400, 400, 600, 600))
    assert pointing((peaks((629, 500), size=(1000, 1000)), large)) == 1
    assert pointing((peaks((631, 500), size=(1000, 1000)), large)) == 0


def test_a_tie_hits_only_if_all_of_it_does():
    assert pointing((peaks((25, 35), (35, 45)), ONE)) == 1
    assert pointing((peaks((25, 35), (90, 10)), ONE)) == 0
    everywhere = Prediction(extra={"attribution": torch.zeros(100, 100)})
    assert pointing((everywhere, ONE)) == 0
    assert pointing((everywhere, target((0, 0, 100, 100)))) == 0


def test_an_empty_mask_is_nothing_to_point_at():
    empty = torch.zeros(1, 100, 100, dtype=torch.bool)
    images = [(peaks((30, 40)), target((20, 30, 40, 50), masks=empty)), (peaks((0, 0)), ONE)]
    assert values(pointing_game, *images)["pointing"] == 0
    assert pointing(images[0]) is None
    result = pointing_game(*map(list, zip(*images, strict=True)))
    assert result.per_image["pointing"].isnan().tolist() == [True, False]


def test_a_mask_counts_where_there_is_one():
    mask = torch.zeros(1, 100, 100, dtype=torch.bool)
    mask[0, 48:50, 38:40] = True
    assert pointing((peaks((22, 32)), target((20, 30, 40, 50), masks=mask))) == 0
    assert pointing((peaks((38, 48)), target((20, 30, 40, 50), masks=mask))) == 1


def test_any_object_of_the_class_may_be_pointed_at_and_none_of_another():
    several = target((0, 0, 10, 10), (80, 80, 95, 95), (40, 40, 60, 60), labels=[CIRCLE, CIRCLE, SQUARE])
    assert [pointing((peaks(place), several)) for place in ((5, 5), (85, 85), (50, 50))] == [1, 1, 0]


def test_crowds_and_ignored_objects_are_not_pointed_at():
    for flag in ("crowd", "ignored"):
        beside = target((0, 0, 10, 10), (80, 80, 95, 95), main=None, **{flag: torch.tensor([False, True])})
        assert [pointing((peaks(place), beside)) for place in ((5, 5), (85, 85))] == [1, 0]
        assert pointing((peaks((85, 85)), target((80, 80, 95, 95), main=None, **{flag: torch.tensor([True])}))) is None


def test_an_image_of_nothing_does_not_count():
    empty = target()
    assert pointing((peaks((5, 5)), empty), (peaks((30, 40)), ONE)) == 1
    assert values(pointing_game, (peaks((5, 5)), empty)) == {}
    assert values(max_box_acc, (peaks((5, 5)), empty)) == {}


def test_pointing_is_the_mean_over_classes_of_the_fraction_of_hits():
    hit, miss = peaks((30, 40)), peaks((90, 10))
    square = target((20, 30, 40, 50), labels=[SQUARE])
    images = [(hit, ONE), (hit, ONE), (miss, ONE), (miss, square)]
    assert pointing(*images) == pytest.approx((2 / 3 + 0) / 2)
    artefact = pointing_game(*zip(*images, strict=True)).artefacts["pointing per class"]
    assert artefact == {CIRCLE: pytest.approx(2 / 3), SQUARE: 0}


def test_the_interval_holds_the_value_and_narrows_with_images():
    images = [(peaks((30, 40)), ONE), (peaks((90, 10)), ONE)]
    widths = []
    for count in (20, 200):
        one = pointing_game(*zip(*images * count, strict=True)).values["pointing"]
        assert one.low < one.value == 0.5 < one.high
        widths.append(one.high - one.low)
    assert widths[1] < 0.5 * widths[0]


def test_energy_counts_positive_relevance_in_the_boxes():
    relevance = torch.zeros(100, 100)
    relevance[30:50, 20:40] = 2  # 400 pixels in the box
    relevance[60:70, 60:70] = 4  # 100 outside
    relevance[0:20] = -9
    assert values(pointing_game, (Prediction(extra={"attribution": relevance}), ONE))["energy"] == pytest.approx(
        800 / 1200
    )
    assert values(pointing_game, (Prediction(extra={"attribution": -relevance.abs()}), ONE))["energy"] == 0


def test_energy_counts_overlapping_boxes_once_and_a_pixel_by_its_centre():
    relevance = Prediction(extra={"attribution": torch.ones(10, 10)})
    twice = target((0, 0, 5, 10), (2, 0, 5, 10))
    assert values(pointing_game, (relevance, twice))["energy"] == pytest.approx(0.5)
    assert values(pointing_game, (relevance, target((0, 0, 4.6, 10))))["energy"] == pytest.approx(0.5)
    assert values(pointing_game, (relevance, target((0, 0, 4.4, 10))))["energy"] == pytest.approx(0.4)


def filled(*boxes, size=(100, 100)):
    relevance = torch.zeros(size)
    for (x1, y1, x2, y2), value in boxes:
        relevance[y1:y2, x1:x2] = value
    return Prediction(extra={"attribution": relevance})


def accuracy(*images):
    return values(max_box_acc, *images)["MaxBoxAccV2"]


def test_a_map_that_is_the_box_is_right_at_every_iou():
    assert accuracy((filled(((20, 30, 40, 50), 1)), ONE)) == 1


def test_an_iou_between_the_thresholds_is_right_at_some():
    assert accuracy((filled(((20, 30, 40, 42), 1)), ONE)) == pytest.approx(2 / 3)  # IoU 0.6
    assert accuracy((filled(((20, 30, 40, 37), 1)), ONE)) == pytest.approx(1 / 3)  # 0.35


def test_any_component_may_be_the_box():
    assert accuracy((filled(((0, 0, 10, 10), 1), ((20, 30, 40, 50), 1)), ONE)) == 1
    corner = filled(((0, 0, 10, 10), 1), ((10, 10, 20, 20), 1))  # they touch: one component
    assert accuracy((corner, target((0, 0, 20, 20)))) == 1


def test_the_threshold_is_the_best_for_the_whole_dataset():
    """Each image alone has a threshold that is right; together they don't agree."""
    low = filled(((0, 0, 100, 100), 0.05), ((20, 30, 40, 50), 0.2), ((60, 0, 100, 30), 1.0))
    halo = filled(((0, 0, 100, 100), 0.0), ((10, 20, 60, 70), 0.5), ((20, 30, 40, 50), 1.0))
    assert accuracy((low, ONE)) == accuracy((halo, ONE)) == 1
    assert accuracy((low, ONE), (halo, ONE)) == pytest.approx(0.5)
    best = max_box_acc([halo], [ONE]).artefacts["best threshold"]
    assert all(0.49 < row["threshold"] < 1 and row["fraction"] == 1 for row in best.values())


def test_scale_and_offset_of_a_map_do_not_matter_and_a_constant_map_has_no_box():
    relevance = torch.rand(100, 100, generator=torch.Generator().manual_seed(0))
    relevance[30:50, 20:40] += 1
    one, other = (accuracy((Prediction(extra={"attribution": m}), ONE)) for m in (relevance, 7 * relevance - 100))
    assert one == other == 1
    assert accuracy((Prediction(extra={"attribution": torch.full((100, 100), 3.0)}), target((0, 0, 100, 100)))) == 0


def test_max_box_acc_agrees_with_the_definition_written_plainly():
    generator = torch.Generator().manual_seed(0)
    images = []
    for _ in range(5):
        coarse = torch.rand(1, 1, 4, 4, generator=generator)
        relevance = torch.nn.functional.interpolate(coarse, (14, 14), mode="bilinear")[0, 0]
        x, y = torch.randint(0, 7, (2,), generator=generator).tolist()
        images.append((Prediction(extra={"attribution": relevance}), target((x, y, x + 7, y + 5))))
    best = [
        [max((overlap(box, t.boxes[0].tolist()) for box in flood(p, threshold)), default=0) for p, t in images]
        for threshold in THRESHOLDS
    ]
    fractions = [max(np.mean([one >= iou for one in row]) for row in best) for iou in (0.3, 0.5, 0.7)]
    assert accuracy(*images) == pytest.approx(np.mean(fractions))
    assert 0 < np.mean(fractions) < 1


def flood(prediction, threshold):
    """boxes of the components above a threshold, pixel by pixel."""
    relevance = prediction.get("attribution").double().numpy()
    relevance = (relevance - relevance.min()) / (relevance.max() - relevance.min())
    left = {(int(y), int(x)) for y, x in np.argwhere(relevance > threshold)}
    while left:
        edge, component = [left.pop()], []
        while edge:
            y, x = edge.pop()
            component.append((y, x))
            near = {(y + dy, x + dx) for dy in (-1, 0, 1) for dx in (-1, 0, 1)} & left
            left -= near
            edge += near
        ys, xs = zip(*component, strict=True)
        yield min(xs), min(ys), max(xs) + 1, max(ys) + 1


def overlap(a, b):
    width, height = min(a[2], b[2]) - max(a[0], b[0]), min(a[3], b[3]) - max(a[1], b[1])
    common = max(width, 0) * max(height, 0)
    return common / ((a[2] - a[0]) * (a[3] - a[1]) + (b[2] - b[0]) * (b[3] - b[1]) - common)


@pytest.mark.parametrize("metric", [pointing_game, max_box_acc])
@pytest.mark.parametrize(
    ("relevance", "message"),
    [
        (None, "prediction of image 1: no attribution"),
        (torch.full((100, 100), float("nan")), "prediction of image 1: NaN or infinite attribution"),
        (torch.zeros(1, 100, 100), r"prediction of image 1: attribution is \[1, 100, 100\], want \[H, W\]"),
        (torch.zeros(50, 50), "prediction of image 1: attribution: 50x50 pixels, the ground truth has 100x100"),
    ],
)
def test_what_is_broken_is_named(metric, relevance, message):
    whole = target((20, 30, 40, 50), masks=torch.ones(1, 100, 100, dtype=torch.bool))
    with pytest.raises(ValueError, match=message):
        metric([peaks((1, 1)), Prediction(extra={"attribution": relevance})], [whole, whole])
