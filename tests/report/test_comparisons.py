"""Detectors compared in all pairs, and what a study of base networks, architectures and settings says."""

import pytest
from claimed import staged, turns

from roibench.claim import Status, judge
from roibench.registry import installed


def proposing(record, **changes):
    """The record of a model that finds regions first."""
    return staged(record, proposals=1).model_copy(update={"family": "two_stage"} | changes)


@pytest.mark.parametrize(
    ("yolo", "ssd", "status", "words"),
    [
        ((0.3, 2), (0.4, 3), Status.HELD, "more accurate in 4 of 4; and slower in 4 of 4"),
        ((0.3, 2), (0.5, 3), Status.NOT_HELD, "more accurate in 3 of 4 (not held: rfcn and ssd)"),
        ((0.3, 2), (0.4499, 3), Status.CANNOT_TELL, "more accurate in 3 of 4 (can't be told: rfcn and ssd)"),
        ((0.3, 20), (0.4, 3), Status.NOT_HELD, "slower in 2 of 4 (not held: faster_rcnn and yolo, rfcn and yolo)"),
    ],
)
def test_detectors_of_two_stages_and_of_one_are_compared_in_all_pairs(scored, yolo, ssd, status, words):
    two = [proposing(scored(name, ap, turns=turns(10))) for name, ap in (("faster_rcnn", 0.55), ("rfcn", 0.45))]
    one = [
        scored(name, ap, turns=turns(ms)).model_copy(update={"family": "single_stage"})
        for name, (ap, ms) in (("yolo", yolo), ("ssd", ssd))
    ]
    neither = [
        scored("hog_svm", 0.1, turns=turns(99)).model_copy(update={"family": "two_stage"}),
        proposing(scored("faster_rcnn", 0.2, turns=turns(5), knobs={"proposals": 10})),
        proposing(scored("sppnet", 0.9, turns=turns(1, run="another"))),
    ]
    claim = installed().claims["all_pairs"]
    verdict = judge([claim], [*two, *one, *neither])[0].verdict
    assert verdict.status is status and words in verdict.figures, verdict.figures
    assert judge([claim], [*two, *neither])[0].verdict.status is Status.NOT_MEASURED


NETWORKS = ("", "_small_vgg", "_small_mobilenet")


def studied(scored, ap=lambda name, network, side, count: 0.4, ms=lambda name, network, side, count: 10.0):
    """The records of a study of base networks, whose accuracies and milliseconds are made up."""
    found = []
    for name, counts in (("faster_rcnn", (50, 150)), ("rfcn", (50, 150)), ("ssd", (None,))):
        for network, side, count in ((n, s, c) for n in NETWORKS for s in (64, 128) for c in counts):
            knobs = {"proposals": count, "short_side": side} if count else {"short_side": side}
            one = name, network, side, count
            found.append(scored(name + network, ap(*one), turns=turns(ms(*one)), knobs=knobs))
    return found


def verdict_of(name, records):
    return judge([installed().claims[name]], records)[0].verdict


def test_architectures_are_compared_on_every_base_network(scored):
    aps, times = {"faster_rcnn": 0.5, "rfcn": 0.4, "ssd": 0.3}, {"faster_rcnn": 10.0, "rfcn": 8.0, "ssd": 5.0}
    records = studied(scored, lambda name, *_: aps[name], lambda name, *_: times[name])
    found = verdict_of("architectures", records)
    assert found.status is Status.HELD
    assert found.figures == "Faster R-CNN is slower in 6 of 6; and more accurate in 6 of 6"
    slow = studied(
        scored,
        lambda name, *_: aps[name],
        lambda name, network, *_: 20 if (name, network) == ("ssd", "_small_vgg") else times[name],
    )
    assert verdict_of("architectures", slow).figures.startswith(
        "Faster R-CNN is slower in 5 of 6 (not held: ssd on small_vgg)"
    )
    assert verdict_of("architectures", records[:1]).status is Status.NOT_MEASURED


@pytest.mark.parametrize(
    ("few", "status"), [((0.48, 8.1), "held"), ((0.4, 8.1), "not held"), ((0.48, 9.5), "not held")]
)
def test_few_proposals_are_compared_with_r_fcn_in_time_and_with_many_in_accuracy(scored, few, status):
    points = {("faster_rcnn", 50): few, ("faster_rcnn", 150): (0.5, 12), ("rfcn", 150): (0.4, 8)}
    value = lambda index: lambda name, network, side, count: points.get((name, count), (0.4, 7))[index]  # noqa: E731
    assert verdict_of("few_proposals_suffice", studied(scored, value(0), value(1))).status == status


@pytest.mark.parametrize(
    ("ssd", "status"), [((0.32, 0.3), "held"), ((0.4, 0.2), "not held"), ((0.3, 0.2), "can't be told")]
)
@pytest.mark.parametrize("better", ["_small_vgg", "_small_mobilenet"])
def test_a_base_network_is_said_to_matter_less_where_the_lead_is_smaller(scored, better, ssd, status):
    def ap(name, network, *_):
        best, other = ssd if name == "ssd" else (0.5, 0.4)
        return best if network == better else other

    found = verdict_of("base_network_matters_less", studied(scored, ap))
    assert found.status == status and found.figures.startswith(f"{better[1:]} - ")


def test_half_of_the_side_costs_accuracy_and_saves_time(scored):
    records = studied(scored, lambda _, __, side, ___: 0.4 if side == 128 else 0.3, lambda _, __, side, ___: side / 10)
    found = verdict_of("half_the_side", records)
    assert found.status is Status.HELD
    assert "64 pixels are faster than 128 in 9 of 9" in found.figures
    assert "25.0 % of AP and 50.0 % of the time are lost" in found.figures
    assert verdict_of("half_the_side", records[:2]).status is Status.NOT_MEASURED
