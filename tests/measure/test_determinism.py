"""The same cell measured twice: times differ, what was predicted doesn't."""

from planned_cells import measured

from roibench.measure.plan import Options, make_plan
from roibench.registry import installed


def test_two_runs_of_a_cell_agree_exactly(tmp_path):
    plan = make_plan(Options(models=("faster_rcnn",), images=12, rounds=2, budget_s=600), installed())
    first, second = (measured(plan.cells[0], tmp_path / name) for name in ("first", "second"))
    assert first.status == "ok", first.error
    assert first.images == second.images == 12
    assert first.scores == second.scores
    assert first.predictions_sha256 == second.predictions_sha256
    assert first.latency != second.latency
    for record in (first, second):
        assert "repeated turns gave different predictions" not in record.interference.warnings
