"""The pick, the runner-up, and what is between them."""

import json
import math
from pathlib import Path

import pytest
from claimed import turns
from made_records import MACHINE
from typer.testing import CliRunner

from roibench import cli
from roibench.decide.choose import Limits, Status, choose, parse_least

SCENES = Path(__file__).parents[2] / "results" / "scenes"


@pytest.fixture
def model(scored):
    """model(name, ap, ms, ...): a record with resamples, and turns that it took with the others."""

    def make(name, ap, ms, own=0.002, **changes):
        made = scored(name, ap, own=own, turns=turns(ms, noise_floor=changes.pop("floor", 0.02)), **changes)
        p50 = made.latency.p50.model_copy(update={"value": ms, "low": ms * 0.98, "high": ms * 1.02})
        memory = made.memory.model_copy(update={"peak": made.memory.before + ms})
        latency = made.latency.model_copy(update={"p50": p50})
        return made.model_copy(update={"latency": latency, "memory": memory})

    return make


def names(candidates):
    return [one.model for one in candidates]


def test_the_most_accurate_that_keeps_the_limit_by_the_upper_end_of_its_interval_is_picked(model):
    records = [model("slow", 0.6, 40), model("edge", 0.55, 20), model("b", 0.5, 10), model("c", 0.4, 5)]
    found = choose(records, Limits(max_ms=20.1))
    assert (found.pick.model, names(gap.other for gap in found.gaps)) == ("b", ["c"])
    assert (names(found.undecided), names(found.broken)) == (["edge"], ["slow"])
    assert choose(records, Limits(max_ms=20.5)).pick.model == "edge"
    assert choose(records, Limits()).pick.model == "slow"
    nothing = choose(records, Limits(max_ms=1))
    assert nothing.pick is None and nothing.runner_up is None


def test_least_values_and_memory_are_limits_too(model):
    records = [model("a", 0.5, 10), model("b", 0.4, 5), model("c", 0.43, 1)]
    found = choose(records, Limits(max_mib=9, least={"AP": 37}))  # intervals reach 4 points down
    assert found.pick.model == "c" and names(found.broken) == ["a"] and names(found.undecided) == ["b"]
    [check] = [one for one in found.undecided[0].checks if one.status is Status.CANNOT_TELL]
    assert check.what == "coco_ap/AP" and check.limit == 0.37
    assert check.more == 390  # 500 images reach 4 points; three need (4/3)^2 as many


def test_both_axes_are_paired_and_what_is_no_difference_is_none(model):
    pick, other = model("a", 0.5, 10), model("b", 0.45, 8)
    gap = choose([pick, other], Limits()).runner_up
    assert gap.accuracy_told and gap.paired and gap.time_told
    assert gap.accuracy.value == pytest.approx(0.05) and gap.accuracy.high - gap.accuracy.low < 0.02
    assert gap.time.value == pytest.approx(1.25, rel=0.01) and gap.more_images is None is gap.more_turns
    near = choose([pick, model("b", 0.4995, 10.1)], Limits()).runner_up
    assert not near.accuracy_told and not near.time_told
    assert near.more_images > 500 and near.more_turns > 20
    tenfold = (near.accuracy.value - near.accuracy.low) / near.accuracy.value
    assert near.more_images == pytest.approx(500 * (tenfold**2 - 1), rel=0.05)
    assert near.more_turns == pytest.approx(20 * ((math.log1p(0.02) / -math.log(near.time.value)) ** 2 - 1), rel=0.05)


def test_of_few_images_accuracies_are_not_compared_and_that_is_told(model):
    few = model("few", 0.9, 5, images=20)
    found = choose([few, model("a", 0.5, 10), model("b", 0.4, 10)], Limits())
    assert found.pick.model == "a" and names(found.apart) == ["few"] and found.images == 500


def test_records_that_must_not_be_mixed_are_refused(model, record):
    a = model("a", 0.5, 10)
    wrong = {
        r"of different data, all called scenes \(5c5c5c5c, aaaaaaaa\)": model("b", 0.5, 10, dataset_hash="aa" * 32),
        "of several machines": model("b", 0.5, 10, provenance=MACHINE.model_copy(update={"cpu": "Another"})),
        "name one by --task and --dataset: detection on scenes, detection on icons": model(
            "b", 0.5, 10, dataset="icons"
        ),
    }
    for words, other in wrong.items():
        with pytest.raises(ValueError, match=words):
            choose([a, other], Limits())
    with pytest.raises(ValueError, match="no record of keypoints on any dataset; there are: detection on scenes"):
        choose([a], Limits(), task="keypoints")
    with pytest.raises(ValueError, match="--min APP: a: no value matches 'APP'; did you mean 'AP'"):
        choose([a], Limits(least={"APP": 3}))
    with pytest.raises(ValueError, match="better the lower"):
        choose([model("a", 0.5, 10, higher=False)], Limits(least={"AP": 3}))
    with pytest.raises(ValueError, match="--min AP>3: want VALUE=NUMBER"):
        parse_least(["AP>3"])


def test_where_lower_is_better_the_lowest_is_picked(model):
    found = choose([model("a", 0.5, 10, higher=False), model("b", 0.4, 10, higher=False)], Limits())
    assert found.pick.model == "b"


def test_the_command_tells_the_pick_of_what_is_published():
    arguments = ["choose", str(SCENES), "--task", "detection", "--max-ms"]
    text = CliRunner().invoke(cli.app, [*arguments, "10"], catch_exceptions=False)
    assert text.exit_code == 0 and "pick: ssd" in text.output and "runner-up: centernet" in text.output
    assert "more turns would decide" in text.output and "can't be told apart" in text.output
    assert "detr: better in AP, if it keeps the limits: p50 ms 10: can't be told" in text.output
    found = json.loads(CliRunner().invoke(cli.app, [*arguments, "10", "--json"]).output)
    assert found["pick"]["model"] == "ssd" and found["gaps"][0]["accuracy"]["low"] > 0
    assert CliRunner().invoke(cli.app, [*arguments, "1"]).exit_code == 1
