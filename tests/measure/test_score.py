"""Metrics' values and artefacts under names of their own; what can't be scored is named."""

import sys
from types import ModuleType

import pytest
import torch

from roibench.measure.score import ScoreError, score
from roibench.metric import Estimate, Result
from roibench.registry import Registry, installed
from roibench.specs import MetricSpec, Value
from roibench.structures import Prediction, Target
from roibench.task import Frame

BOX = torch.tensor([[1.0, 1, 9, 9]])
FOUND = Prediction(boxes=BOX, scores=torch.ones(1), labels=torch.zeros(1, dtype=torch.int64))
TRUTH = Target(boxes=BOX, labels=torch.zeros(1, dtype=torch.int64))
FRAMES = [Frame("first.png", (20, 20), ("cat",)), Frame("second.png", (20, 20), ("cat",))]


@pytest.fixture
def registry_with(monkeypatch):
    """registry_with(name=function, ...): the installed metrics of detection, and what a plugin's author wrote."""

    def make(**metrics) -> Registry:
        module = ModuleType("my_metrics")
        monkeypatch.setitem(sys.modules, "my_metrics", module)
        registry = Registry(metrics=dict(installed().metrics))
        for name, function in metrics.items():
            setattr(module, name, function)
            values = (Value("AP75", unit="px", higher_is_better=False),)
            registry.add("mine", MetricSpec, MetricSpec(name, "detection", f"my_metrics:{name}", values))
        return registry

    return make


def test_each_metric_keeps_its_artefacts():
    found = score(installed().tasks["detection"], [FOUND] * 2, [TRUTH] * 2, FRAMES, installed())
    per_class = {name for name in found.artefacts if name.endswith("AP per class")}
    assert per_class == {"coco_ap: AP per class", "voc_ap: AP per class"}
    assert found.primary == "coco_ap/AP" and {"coco_ap/AP", "voc_ap/VOC_AP50"} <= set(found.values)


def test_two_metrics_may_give_a_value_one_name_and_a_record_keeps_what_each_declared(registry_with):
    registry = registry_with(another_ap=lambda *_, probe: Result({"AP75": Estimate(12.0, 10.0, 20.0)}))
    recorded = score(installed().tasks["detection"], [FOUND] * 2, [TRUTH] * 2, FRAMES, registry).recorded
    first, second = (recorded.values[f"{metric}/AP75"] for metric in ("coco_ap", "another_ap"))
    assert (first.value, first.unit, first.higher_is_better, first.shown) == (pytest.approx(1), "%", True, True)
    assert (second.value, second.unit, second.higher_is_better, second.shown) == (12, "px", False, False)
    assert (recorded.primary, recorded.score_threshold, recorded.max_detections) == ("coco_ap/AP", 0.05, 100)


def test_what_ranks_is_known_over_the_first_images_as_if_there_were_no_others():
    task = installed().tasks["detection"]
    wrong = Prediction(boxes=BOX + 5, scores=torch.ones(1), labels=FOUND.labels)
    predictions = [FOUND, wrong, FOUND, FOUND, wrong]
    found = score(task, predictions, [TRUTH] * 5, FRAMES[:1] * 5, installed(), prefixes=(1, 3)).recorded
    for images in (1, 3):
        alone = score(task, predictions[:images], [TRUTH] * images, FRAMES[:1] * images, installed()).recorded
        assert found.prefixes[images].value == alone.values[alone.primary].value != found.values[found.primary].value
        assert found.prefixes[images].resampled == alone.resampled != found.resampled
    nowhere = Target(boxes=BOX[:0], labels=torch.zeros(0, dtype=torch.int64))
    later = score(task, [FOUND] * 2, [nowhere, TRUTH], FRAMES, installed(), prefixes=(1,))
    assert later.recorded.prefixes == {}


def test_resamples_of_what_tables_show_are_kept_the_same_draws_for_all():
    task = installed().tasks["detection"]
    wrong = Prediction(boxes=BOX + 5, scores=torch.ones(1), labels=FOUND.labels)
    recorded = score(task, [FOUND, wrong], [TRUTH] * 2, FRAMES, installed()).recorded
    kept = {key: value.resampled for key, value in recorded.values.items() if value.resampled}
    assert kept == {"coco_ap/AP50": recorded.resampled, "coco_ap/AP75": recorded.resampled}
    assert len(recorded.resampled) == 1000 and len(set(recorded.resampled)) > 1


def test_what_a_metric_warns_of_stands_beside_what_is_doubtful_of_the_predictions(registry_with):
    registry = registry_with(another_ap=lambda *_, probe: Result({}, warnings=("it may mean nothing",)))
    nothing = Prediction(boxes=BOX[:0], scores=torch.zeros(0), labels=torch.zeros(0, dtype=torch.int64))
    found = score(installed().tasks["detection"], [nothing] * 2, [TRUTH] * 2, FRAMES, registry)
    assert len(found.warnings) == 2 and found.warnings[1] == "it may mean nothing"
    assert found.recorded.warnings == found.warnings


def test_a_value_that_was_not_declared_is_refused(registry_with):
    registry = registry_with(another_ap=lambda *_, probe: Result({"AP76": Estimate(0.1, 0.0, 0.2)}))
    with pytest.raises(ScoreError, match="'another_ap' gave 'AP76', which it hasn't declared; its values: AP75"):
        score(installed().tasks["detection"], [FOUND] * 2, [TRUTH] * 2, FRAMES, registry)


def test_a_metric_that_fails_is_named(registry_with):
    registry = registry_with(broken=lambda *_, probe: 1 / 0)
    with pytest.raises(ScoreError, match="metric 'broken': ZeroDivisionError: division by zero"):
        score(installed().tasks["detection"], [FOUND] * 2, [TRUTH] * 2, FRAMES, registry)


def test_an_image_that_can_not_be_scored_has_its_own_name():
    wrong = Target(boxes=BOX, labels=torch.zeros(3, dtype=torch.int64))
    with pytest.raises(ScoreError, match=r"^image second\.png: target: 3 labels for 1 boxes$"):
        score(installed().tasks["detection"], [FOUND] * 2, [TRUTH, wrong], FRAMES, installed())


def test_a_task_that_nothing_ranks_says_what_there_is(registry_with):
    with pytest.raises(ScoreError, match="no metric of task detection declares a value that ranks"):
        score(installed().tasks["detection"], [FOUND], [TRUTH], FRAMES[:1], Registry())
    empty = Target(boxes=BOX[:0], labels=torch.zeros(0, dtype=torch.int64))
    with pytest.raises(ScoreError, match=r"task detection: 'coco_ap/AP', which ranks it, has no value; got .*D_ECE"):
        score(installed().tasks["detection"], [FOUND], [empty], FRAMES[:1], installed())


def test_what_images_cost_is_positive_where_they_make_a_value_worse(registry_with):
    columns = {"AP75": torch.tensor([3.0, 9.0]), "AP75 cost": torch.tensor([3.0, -3.0])}
    result = Result({"AP75": Estimate(6.0, 3.0, 9.0)}, per_image=columns)
    shifted = Prediction(boxes=BOX + 5, scores=FOUND.scores, labels=FOUND.labels)
    registry = registry_with(error=lambda *_, probe: result)
    found = score(installed().tasks["detection"], [FOUND, shifted], [TRUTH] * 2, FRAMES, registry).per_image
    assert found["error/AP75"].tolist() == [3, 9] and found["error/AP75 cost"].tolist() == [-3, 3]
    assert found["coco_ap/AP"].tolist() == pytest.approx([1, 0])
    assert found["coco_ap/AP cost"][0] < 0 < found["coco_ap/AP cost"][1]


@pytest.mark.parametrize(
    ("columns", "words"),
    [
        ({"AP75": torch.zeros(3)}, r"metric 'error': per_image\['AP75'\] is \[3\]; want \[2\]"),
        ({"mine": torch.zeros(2)}, "'error' gave 'mine', which it hasn't declared"),
    ],
)
def test_numbers_of_other_images_or_values_are_refused(registry_with, columns, words):
    registry = registry_with(error=lambda *_, probe: Result({}, per_image=columns))
    with pytest.raises(ScoreError, match=words):
        score(installed().tasks["detection"], [FOUND] * 2, [TRUTH] * 2, FRAMES, registry)
