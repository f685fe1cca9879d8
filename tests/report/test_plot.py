import importlib
import sys
from itertools import combinations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from roibench.draw.labels import covered, place_labels
from roibench.measure.record import Score
from roibench.report.plot import speed_accuracy
from roibench.report.rows import Standing, tables


def names_in(figure):
    """Label text -> extent in pixels, of the names in the plot."""
    return {text.get_text(): text.get_window_extent() for text in figure.axes[0].texts}


@pytest.mark.parametrize("count", [1, 3, 15])
def test_every_model_is_named_inside_and_no_name_covers_another(fifteen, count):
    (table,) = tables(fifteen[:count])
    figure = speed_accuracy(table)
    labels = names_in(figure)
    assert set(labels) == {row.model for row in table.rows}
    inside = figure.axes[0].get_window_extent()
    for box in labels.values():
        assert inside.x0 <= box.x0 < box.x1 <= inside.x1
        assert inside.y0 <= box.y0 < box.y1 <= inside.y1
    assert not any(a.overlaps(b) for a, b in combinations(labels.values(), 2))


def test_a_crowd_of_points_keeps_its_names_apart(record):
    (table,) = tables([record(f"model_number_{i}", 0.4 + 0.004 * i, 20 + 0.5 * (i * 7 % 15)) for i in range(15)])
    assert not any(a.overlaps(b) for a, b in combinations(names_in(speed_accuracy(table)).values(), 2))


def test_the_axes_have_units_and_the_title_the_conditions(record):
    axes = speed_accuracy(tables([record("a")])[0]).axes[0]
    assert axes.get_xscale() == "log"
    assert "ms" in axes.get_xlabel()
    assert axes.get_ylabel().startswith("AP (%)")
    assert axes.get_title("left") == "500 images, cpu, float32, batch 1, 2 threads, Intel Xeon Processor @ 2.60GHz"
    assert axes.figure.get_suptitle() == "Detection on scenes"


def test_the_front_is_drawn_as_steps_within_one_setting(record):
    records = [record("a", 0.2, 5), record("b", 0.6, 50), record("worse", 0.1, 60), record("c", 0.5, 70, threads=1)]
    steps = [line for line in speed_accuracy(tables(records)[0]).axes[0].lines if line.get_drawstyle() == "steps-post"]
    assert [list(line.get_xdata()) for line in steps] == [[5, 50], [70]]


def test_a_thin_line_joins_what_differs_in_one_knob_and_names_are_short_along_it(record):
    grid = [
        record("tuned", 0.3 + size / 1000 + proposals / 1000, 5 + proposals / 10 + size / 10, knobs=knobs)
        for proposals, size in ((50, 64), (150, 64), (10, 64), (10, 96), (50, 96))
        for knobs in [{"proposals": proposals, "size": size}]
    ]
    other = [record("other", 0.2, 30, knobs={"size": 64}), record("tuned", 0.5, 18)]
    figure = speed_accuracy(tables([*grid, *other])[0])
    thin = sorted(list(line.get_xdata()) for line in figure.axes[0].lines if line.get_linewidth() == 0.8)
    assert thin == [[5 + 1 + 6.4, 5 + 5 + 6.4, 5 + 15 + 6.4], [5 + 1 + 9.6, 5 + 5 + 9.6]]
    whole = ["other size=64", "tuned", "tuned proposals=10 size=64", "tuned proposals=10 size=96"]
    assert sorted(text.get_text() for text in figure.axes[0].texts) == ["150", "50", "50", *whole]
    labels = [text.get_window_extent() for text in figure.axes[0].texts]
    assert not any(a.overlaps(b) for a, b in combinations(labels, 2))


def test_what_has_no_score_is_not_drawn(record):
    (table,) = tables([record("scored", 0.4), record("undefined", None)])
    assert names_in(speed_accuracy(table)).keys() == {"scored"}
    assert speed_accuracy(tables([record("undefined", None)])[0]) is None


def test_an_interval_beside_its_value_can_be_drawn(record, score):
    aside = {"detection": Score(primary="coco_ap/AP", values={"coco_ap/AP": score(0.0, 0.01, 0.02)})}
    assert speed_accuracy(tables([record("a", scores=aside)])[0])


def test_the_report_is_imported_without_matplotlib(monkeypatch):
    monkeypatch.setitem(sys.modules, "matplotlib", None)  # importing it now is an ImportError
    for name in [name for name in sys.modules if name.startswith("roibench.report")]:
        monkeypatch.delitem(sys.modules, name)
    assert importlib.import_module("roibench.report.write").write_report


@given(st.lists(st.tuples(st.integers(0, 400), st.integers(0, 300)), max_size=12))
def test_labels_stay_inside_and_apart(anchors):
    boxes = place_labels(anchors, [(60, 12)] * len(anchors), (0, 0, 400, 300))
    assert boxes.shape == (len(anchors), 4)
    assert (boxes >= -1e-9).all() and (boxes <= np.array([400, 300, 400, 300]) + 1e-9).all()
    for i in range(len(boxes)):
        assert covered(boxes[i : i + 1], np.delete(boxes, i, axis=0)) == pytest.approx(0)


def test_a_label_keeps_off_obstacles():
    (box,) = place_labels([(50, 50)], [(20, 10)], (0, 0, 100, 100), [(50, 45, 100, 55)])
    assert covered(box[None], np.array([[50.0, 45, 100, 55]])) == 0


def test_a_table_by_another_score_is_ranked_and_drawn_by_it(record, score):
    def scored(name, pointing, faithfulness, p50):
        values = {"game/pointing": pointing, "curves/faithfulness": faithfulness}
        around = {key: score(value, value - 0.1, value + 0.1) for key, value in values.items()}
        return record(name, p50=p50, scores={"attribution": Score(primary="game/pointing", values=around)})

    (table,) = tables([scored("slow", 0.9, -0.2, 50), scored("fast", 0.5, 0.4, 5)])
    ranked = table.by("curves/faithfulness")
    assert [row.model for row in table.rows] == ["slow", "fast"]
    assert [(row.model, row.standing) for row in ranked.rows] == [("fast", Standing.FRONT), ("slow", Standing.BEATEN)]
    axes = speed_accuracy(ranked).axes[0]
    assert axes.get_ylabel().startswith("faithfulness (%)")
    assert axes.get_ylim()[0] < -30  # what is below zero is in the picture


def test_an_error_in_pixels_is_drawn_as_it_is_the_lowest_best(record, score):
    def astray(name, pixels, p50):
        value = score(pixels, pixels - 20, pixels + 20, unit="px", higher_is_better=False)
        return record(name, p50=p50, scores={"tracking": Score(primary="drift/error", values={"drift/error": value})})

    (table,) = tables([astray("far", 450.0, 5), astray("near", 150.0, 50), astray("worse", 500.0, 60)])
    assert [row.model for row in table.rows] == ["near", "far", "worse"]
    axes = speed_accuracy(table).axes[0]
    assert axes.get_ylabel().startswith("error (px), better the lower;")
    assert axes.get_ylim()[0] < 130 and axes.get_ylim()[1] > 520
    [steps] = [line for line in axes.lines if line.get_drawstyle() == "steps-post"]
    assert (list(steps.get_xdata()), list(steps.get_ydata())) == ([5, 50], [450, 150])
