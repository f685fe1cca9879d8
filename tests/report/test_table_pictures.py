"""Pictures of a table beside the one of speed and accuracy: what is drawn, read back from the figures."""

import pytest

from roibench.measure.record import Score
from roibench.report.rows import tables
from roibench.report.stage_bars import stage_bars, stage_shares
from roibench.report.value_curves import curve_points, value_curves
from roibench.specs import Point


@pytest.fixture
def proposing(record, score):
    """proposing(model, {count: recall}): a record whose values are points of two curves."""

    def make(model, recalls, **changes):
        values = {"proposal_recall/recall50": score(max(recalls.values()))}
        for curve, factor in (("recall50", 1.0), ("recall70", 0.5)):
            for at, recall in recalls.items():
                found = score(factor * recall, factor * recall - 0.01, factor * recall + 0.01)
                point = Point(curve, at, "proposals per image")
                values[f"proposal_recall/{curve}_at_{at}"] = found.model_copy(update={"point": point})
        return record(model, scores={"proposals": Score(primary="proposal_recall/recall50", values=values)}, **changes)

    return make


def test_there_is_a_panel_per_curve_and_a_line_per_model(proposing):
    [table] = tables([proposing("many", {100: 0.8, 10: 0.4}), proposing("few", {10: 0.2}, images=200)])
    assert list(curve_points(table)) == ["recall50", "recall70"]
    figure = value_curves(table)
    assert [axes.get_title() for axes in figure.axes] == ["recall50 (%)", "recall70 (%)"]
    first, second = (
        {line.get_label(): (list(line.get_xdata()), list(line.get_ydata())) for line in axes.lines}
        for axes in figure.axes
    )
    assert first["many, 500 images"] == ([10, 100], pytest.approx([40, 80]))
    assert second["few, 200 images"] == ([10], pytest.approx([10]))
    assert figure.axes[0].get_xlabel() == "proposals per image (log scale)"


def test_without_points_there_is_no_curve(record):
    assert curve_points(tables([record("a")])[0]) == {}


def test_a_bar_is_cut_into_the_shares_of_its_stages_and_a_stage_has_one_colour(record):
    [table] = tables([record("quick", 0.4, 10), record("slow", 0.5, 200)])
    assert [(name, milliseconds) for name, milliseconds, _ in stage_shares(table)] == [("slow", 200), ("quick", 10)]
    axes = stage_bars(table).axes[0]
    assert [label.get_text() for label in axes.get_yticklabels()] == ["slow", "quick"]
    bars = [patch for patch in axes.patches if patch.get_width() > 0]
    slow, quick = bars[:4], bars[4:8]
    assert [bar.get_width() for bar in slow] == pytest.approx([5, 60, 25, 10])
    assert [bar.get_facecolor() for bar in slow] == [bar.get_facecolor() for bar in quick]
    assert {"200 ms", "10.0 ms", "backbone"} <= {text.get_text() for text in axes.texts}
