import pytest
from hypothesis import given
from hypothesis import strategies as st

from roibench.report.rows import cells, failures, tables


def names(table):
    return [row.model for row in table.rows]


def pareto_front(table):
    return [row.model for row in table.rows if row.on_pareto_front]


def test_rows_stand_by_score_best_first(record):
    (table,) = tables([record("a", 0.2), record("b", 0.5), record("c", 0.3)])
    assert names(table) == ["b", "c", "a"]
    assert (table.task, table.dataset, table.primary) == ("detection", "scenes", "coco_ap/AP")


def test_a_row_holds_what_the_record_measured(record):
    row = tables([record("a", 0.4, p50=20.0)])[0].rows[0]
    assert (row.score.value, row.p50.value, row.p90, row.p99, row.throughput) == (0.4, 20.0, 26.0, 36.0, 47.5)
    assert (row.memory, row.gflops, row.parameters) == (390.0, 2.0, 20.0)


def test_the_front_is_what_nothing_else_beats(record):
    records = [record("fast", 0.2, 5), record("good", 0.6, 50), record("worse", 0.5, 60), record("between", 0.4, 20)]
    assert pareto_front(tables(records)[0]) == ["good", "between", "fast"]


def test_equals_share_the_front(record):
    assert pareto_front(tables([record("a", 0.4, 9), record("b", 0.4, 9), record("slower", 0.4, 10)])[0]) == ["a", "b"]


@given(points=st.lists(st.tuples(st.integers(1, 9), st.integers(1, 9)), min_size=1, max_size=12))
def test_every_row_is_on_the_front_or_beaten_by_one_that_is(record, points):
    (table,) = tables([record(f"m{i}", ap / 10, p50=p50) for i, (ap, p50) in enumerate(points)])
    leaders = [(row.score.value, row.p50.value) for row in table.rows if row.on_pareto_front]
    for row in table.rows:
        point = (row.score.value, row.p50.value)
        beaten = any(leader != point and leader[0] >= point[0] and leader[1] <= point[1] for leader in leaders)
        assert row.on_pareto_front != beaten


@pytest.mark.parametrize(
    "other", [{"images": 40}, {"threads": 1}, {"batch_size": 8}, {"precision": "bfloat16"}, {"device": "cuda:0"}]
)
def test_cells_of_different_settings_do_not_compete(record, other):
    (table,) = tables([record("best", 0.5, 5), record("other", 0.4, 50, **other)])
    assert pareto_front(table) == ["best", "other"]
    assert table.own(table.rows[0].setting) != table.own(table.rows[1].setting)


def test_cells_of_different_machines_do_not_compete(record):
    elsewhere = record("x").provenance.model_copy(update={"cpu": "another"})
    assert len(pareto_front(tables([record("best", 0.5, 5), record("other", 0.4, 50, provenance=elsewhere)])[0])) == 2


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
