"""A registered model before it is trained: measured, not scored."""

import pytest

from roibench.measure.plan import Options, PlanError, make_plan
from roibench.registry import installed

OPTIONS = {"datasets": ("scenes@val",), "images": 2}


def test_it_is_the_registered_model_and_needs_no_weights():
    registry = installed()
    plan = make_plan(Options(models=("untrained:deconvnet_segmenter",), **OPTIONS), registry)
    [cell] = plan.cells
    assert cell.spec.model == cell.spec.label == "untrained:deconvnet_segmenter"
    assert cell.spec.outside.random_weights and cell.spec.weights is None and cell.spec.weights_hash
    assert cell.model.build == registry.model("deconvnet_segmenter").build


def test_by_its_own_name_alone_a_model_without_weights_is_refused():
    with pytest.raises(PlanError, match="'fcn_full_resolution_wide' has no weights for dataset 'scenes@val'"):
        make_plan(Options(models=("fcn_full_resolution_wide",), **OPTIONS), installed())


@pytest.mark.parametrize(
    ("rest", "words"),
    [
        ("fnc", "model untrained:fnc: no model matches 'fnc'; did you mean 'fcn'"),
        ("grad_cam@fcn", "model untrained:grad_cam@fcn: want the name of a registered model"),
        ("untrained:fcn", "model untrained:untrained:fcn: want the name of a registered model"),
    ],
)
def test_what_is_no_registered_model_is_refused(rest, words):
    with pytest.raises(ValueError, match=words):
        installed().model(f"untrained:{rest}")
