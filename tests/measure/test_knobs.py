"""Knobs: what is set of a model multiplies its cells, reaches it, and stands in its records."""

import hashlib

import pytest

from roibench.measure.journal import read_records
from roibench.measure.plan import Options, PlanError, make_plan
from roibench.measure.record import CellSpec
from roibench.measure.run import Run
from roibench.registry import installed


def planned(registry, *models, dataset="squares", **knobs):
    return make_plan(Options(models=models, datasets=(dataset,), images=4, threads=(1,), knobs=knobs), registry).cells


def test_a_model_predicts_as_it_was_set_and_the_record_says_how(tmp_path, third_party):
    options = Options(models=("works",), datasets=("squares",), threads=(1,), knobs={"white": (256, 255)})
    run = Run(make_plan(options, third_party), tmp_path, third_party)
    for _ in run.measure(run.plan.cells, print):
        pass
    run.finish()
    blind, sees = read_records(run.folder / "records.jsonl")
    if blind.cell.knobs != {"white": 256}:
        blind, sees = sees, blind
    assert (blind.cell.knobs, sees.cell.knobs) == ({"white": 256}, {"white": 255})
    assert [one.scores["detection"].values["coco_ap/AP"].value for one in (blind, sees)] == [0, pytest.approx(1)]
    assert blind.cell_id.startswith("works-white256-squares-") and blind.cell.label == "works white=256"


def test_several_knobs_are_combined_in_the_order_of_their_declaration():
    registry = installed()
    cells = planned(registry, "faster_rcnn", dataset="scenes", nms_iou=(1,), short_side=(64, 96), proposals=(10, 50))
    found = [list(cell.spec.knobs.items()) for cell in cells]
    assert found == [[("proposals", p), ("short_side", s), ("nms_iou", 1.0)] for p in (10, 50) for s in (64, 96)]
    assert len({cell.id for cell in cells}) == 4 and all("-nms_iou1.0-scenes-" in cell.id for cell in cells)
    again = planned(registry, "faster_rcnn", dataset="scenes", proposals=(10,), short_side=(64,), nms_iou=(1.0,))
    assert again[0].id == cells[0].id
    assert cells[0].model.config == {"proposals": 10, "short_side": 64, "nms_iou": 1.0}


def test_what_a_wildcard_matches_without_the_knob_is_measured_as_it_is(third_party):
    cells = planned(third_party, "works", "too_fe*", white=(0, 255))
    assert [cell.spec.label for cell in cells] == ["works white=0", "works white=255", "too_few"]
    with pytest.raises(PlanError, match="--set white: model 'too_few' has no such knob; it has none"):
        planned(third_party, "works", "too_few", white=(0,))


def test_a_wrapper_has_the_knobs_of_the_model_inside(third_party):
    [cell] = planned(third_party, "points@works", white=(7,))
    assert cell.spec.label == "points@works white=7" and cell.model.inner.config["white"] == 7


def test_a_cell_of_which_nothing_is_set_keeps_the_name_that_it_had():
    spec = CellSpec(model="m", dataset="squares", dataset_hash="0" * 64, threads=1)
    before = spec.model_dump_json().replace(',"knobs":{}', "").replace(',"outside":null', "")
    before = before.replace(',"backend":"torch"', "")
    assert (
        "knobs" not in before
        and "outside" not in before
        and "backend" not in before
        and spec.id.endswith(hashlib.sha256(before.encode()).hexdigest()[:8])
    )
    assert CellSpec.model_validate_json(before) == spec and spec.label == "m"
