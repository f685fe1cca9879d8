import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from roibench.measure.record import Prefix, Score, Turns
from roibench.report import markdown, terminal
from roibench.report.rows import APART_NOTE, Standing, cells, failures, tables


def names(table):
    return [row.model for row in table.rows]


def pareto_front(table):
    return [row.model for row in table.rows if row.standing is Standing.FRONT]


def test_rows_stand_by_score_best_first(record):
    (table,) = tables([record("a", 0.2), record("b", 0.5), record("c", 0.3)])
    assert names(table) == ["b", "c", "a"]
    assert (table.task, table.dataset, table.primary) == ("detection", "scenes", "coco_ap/AP")


def test_a_row_holds_what_the_record_measured(record):
    row = tables([record("a", 0.4, p50=20.0)])[0].rows[0]
    assert (row.score.value, row.p50.value, row.gflops, row.parameters) == (0.4, 20.0, 2.0, 20.0)


def test_the_front_is_what_nothing_else_beats(record):
    records = [record("fast", 0.2, 5), record("good", 0.6, 50), record("worse", 0.5, 60), record("between", 0.4, 20)]
    assert pareto_front(tables(records)[0]) == ["good", "between", "fast"]


def test_equals_share_the_front(record):
    assert pareto_front(tables([record("a", 0.4, 9), record("b", 0.4, 9), record("slower", 0.4, 10)])[0]) == ["a", "b"]


@given(points=st.lists(st.tuples(st.integers(1, 9), st.integers(1, 9)), min_size=1, max_size=12))
def test_every_row_is_on_the_front_or_beaten_by_one_that_is(record, points):
    (table,) = tables([record(f"m{i}", ap / 10, p50=p50) for i, (ap, p50) in enumerate(points)])
    leaders = [(row.score.value, row.p50.value) for row in table.rows if row.standing is Standing.FRONT]
    for row in table.rows:
        point = (row.score.value, row.p50.value)
        beaten = any(leader != point and leader[0] >= point[0] and leader[1] <= point[1] for leader in leaders)
        assert (row.standing is not Standing.FRONT) == beaten


def test_a_model_competes_with_itself_under_other_knobs(record):
    records = [record("a", 0.5, 9, knobs={"k": 50}), record("a", 0.4, 9, knobs={"k": 10}), record("a", 0.3, 5)]
    (table,) = tables(records)
    assert pareto_front(table) == ["a k=50", "a"] and names(table) == ["a k=50", "a k=10", "a"]
    assert [cell.model for cell in cells(records)] == ["a", "a k=50", "a k=10"]


@pytest.mark.parametrize("other", [{"threads": 1}, {"batch_size": 8}, {"precision": "bfloat16"}, {"device": "cuda:0"}])
def test_cells_of_different_settings_do_not_compete(record, other):
    (table,) = tables([record("best", 0.5, 5), record("other", 0.4, 50, **other)])
    assert pareto_front(table) == ["best", "other"]
    assert table.own(table.rows[0].setting) != table.own(table.rows[1].setting)


def test_cells_of_different_machines_do_not_compete(record):
    elsewhere = record("x").provenance.model_copy(update={"cpu": "another"})
    assert len(pareto_front(tables([record("best", 0.5, 5), record("other", 0.4, 50, provenance=elsewhere)])[0])) == 2


def test_rows_of_different_numbers_of_images_compete_over_those_that_both_have(raced):
    """Fifty easy images: what looks better on them alone isn't, and what is better on them is."""
    quick = raced("quick", 0.4, 1.0, first_50=0.6)
    (table,) = tables([quick, raced("slow", 0.5, 9.0, images=50), raced("slow, good", 0.7, 10.0, images=50)])
    assert names(table) == ["quick", "slow, good", "slow"]
    assert [row.standing for row in table.rows] == [Standing.FRONT, Standing.FRONT, Standing.BEATEN]
    assert [round(row.fastest.value) for row in table.rows] == [1, 10, 9] and APART_NOTE not in table.notes
    assert [table.own(setting) for setting in table.settings] == ["500 images", "50 images (few: intervals are rough)"]


def test_what_has_no_images_in_common_is_not_compared_and_says_so(raced):
    records = [raced("quick", 0.4, 1.0, first_50=0.6), raced("slower", 0.3, 2.0), raced("slow", 0.9, 9.0, images=20)]
    (table,) = tables(records)
    found = {row.model: row.standing for row in table.rows}
    assert found == {"quick": Standing.FRONT, "slower": Standing.BEATEN, "slow": Standing.APART}
    assert APART_NOTE in table.notes
    assert [round(row.fastest.value) for row in table.rows if row.model == "slow"] == [9], "its speed is compared"
    for text in (markdown.comparison(table), "\n".join(map(str, terminal.render(records).renderables))):
        assert "\N{DAGGER} not comparable" in text
    apart = tables([*records[:2], records[2].model_copy(update={"images": 500})])[0]
    assert apart.notes == table.notes[1:] and "\N{DAGGER}" not in markdown.comparison(apart)


def test_by_a_value_that_prefixes_do_not_have_rows_of_different_numbers_of_images_are_not_compared(raced):
    (table,) = tables([raced("quick", 0.4, 1.0, first_50=0.6), raced("slow", 0.5, 9.0, images=50)])
    assert [row.standing for row in table.by("coco_ap/AP").rows] == [Standing.FRONT, Standing.BEATEN]
    assert [row.standing for row in table.by("coco_ap/AP50").rows] == [Standing.FRONT, Standing.APART]


def test_accuracies_of_fewer_images_stand_below(record):
    assert names(tables([record("few", 0.9, images=40), record("all", 0.3)])[0]) == ["all", "few"]


def test_datasets_of_one_name_are_kept_apart(record):
    found = tables([record("a"), record("b", dataset_hash="f0" * 32), record("c")])
    assert [names(table) for table in found] == [["a", "c"], ["b"]]


def test_the_folders_above_a_dataset_are_not_told(record):
    assert tables([record("a", dataset="voc:/home/somebody/VOC2007@test")])[0].dataset == "voc:VOC2007@test"


def test_a_score_that_the_data_leave_undefined_ranks_last_and_is_on_no_front(record):
    (table,) = tables([record("undefined", None, 1), record("scored", 0.1, 100)])
    assert names(table) == ["scored", "undefined"]
    assert pareto_front(table) == ["scored"]


def test_a_failed_cell_is_a_failure_and_nothing_else(record, failed):
    records = [record("ran"), failed("broke", "Traceback (most recent call last):\n  ...\nValueError: no such box")]
    assert [names(table) for table in tables(records)] == [["ran"]]
    assert [cell.model for cell in cells(records)] == ["ran"]
    assert [(failure.model, failure.text) for failure in failures(records)] == [("broke", "ValueError: no such box")]


def test_what_all_rows_share_is_written_once(record):
    (table,) = tables([record("a"), record("b", threads=1)])
    assert table.shared == "500 images, cpu, float32, batch 1, Intel Xeon Processor @ 2.60GHz"
    assert [table.own(setting) for setting in table.settings] == ["2 threads", "1 thread"]


def turns(medians, *, run="r", group=0, reference=(10.0,) * 20, noise_floor=0.02):
    return Turns(
        run=run,
        group=group,
        medians=tuple(medians),
        reference_cell="the reference",
        reference=tuple(reference),
        noise_floor=noise_floor,
    )


@pytest.fixture(scope="module")
def raced(record, score):
    """raced(model, ap, factor): twenty turns on a machine whose mood swings by a half; all models feel it alike."""
    mood = 10 * np.exp(np.sin(np.arange(20)) / 2)
    own = np.random.default_rng(0)
    resamples = np.random.default_rng(1).normal(0, 0.02, 1000)

    def make(model, ap, factor, images=500, first_50=None, **changes):
        values = {f"coco_ap/{name}": score(ap, ap - 0.04, ap + 0.04) for name in ("AP", "AP50")}
        first = {} if first_50 is None else {50: Prefix(value=first_50, resampled=tuple(first_50 + resamples))}
        scored = Score(primary="coco_ap/AP", values=values, resampled=tuple(ap + resamples), prefixes=first)
        medians = mood * factor * np.exp(own.normal(0, 0.01, 20))
        found = turns(medians, **({"reference": mood} | changes))
        return record(model, p50=10 * factor, scores={"detection": scored}, turns=found, images=images)

    return make


def standings(records):
    return {row.model: row.standing for row in tables(records)[0].rows}


def test_times_are_compared_turn_by_turn_though_each_alone_swings(raced):
    (table,) = tables([raced("fast", 0.4, 1.0), raced("slow", 0.4, 1.3)])
    [ratio] = [row.fastest for row in table.rows if row.model == "slow"]
    assert 1.28 < ratio.low < ratio.value < ratio.high < 1.32
    assert table.noise_floor == 0.02


def test_groups_are_compared_by_the_reference_that_took_part_in_both(raced):
    later = 3 * np.exp(np.cos(np.arange(20)))  # the machine's mood, when the second group took its turns
    other = raced("other", 0.4, 1.0).model_copy(deep=True)
    found = turns(later * 1.3, group=1, reference=later)
    other = other.model_copy(update={"latency": other.latency.model_copy(update={"turns": found})})
    (table,) = tables([raced("fast", 0.4, 1.0), other])
    [ratio] = [row.fastest for row in table.rows if row.model == "fast"]  # whose median is the higher: another mood
    assert ratio.value == pytest.approx(1 / 1.3, rel=0.02) or ratio.value == pytest.approx(1.0)


def test_runs_are_not_compared_turn_by_turn(raced):
    (table,) = tables([raced("a", 0.4, 1.0), raced("b", 0.4, 1.3, run="another")])
    assert [row.fastest is None for row in table.rows if row.model == "b"] == [True]


def test_who_is_beaten_beyond_doubt_has_no_mark_and_who_may_not_be_has_a_circle(raced):
    found = standings([raced("best", 0.5, 1.0), raced("surely worse", 0.4, 1.3), raced("a hair worse", 0.499999, 1.3)])
    assert found["best"] is Standing.FRONT and found["surely worse"] is Standing.BEATEN
    level = standings([raced("best", 0.5, 1.0), raced("as fast", 0.4, 1.001)])
    assert level == {"best": Standing.FRONT, "as fast": Standing.NEAR}


def test_below_the_noise_floor_nothing_is_a_difference(raced):
    records = [raced("best", 0.5, 1.0, noise_floor=0.4), raced("worse", 0.4, 1.3, noise_floor=0.4)]
    assert standings(records)["worse"] is Standing.NEAR
