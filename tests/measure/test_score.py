"""Metrics' values and artefacts under names of their own; what can't be scored is named."""

import sys
from types import ModuleType

import pytest
import torch

from roibench.measure.score import ScoreError, score
from roibench.metric import Estimate, Result
from roibench.registry import Registry, installed
from roibench.specs import MetricSpec
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
            registry.add("mine", MetricSpec, MetricSpec(name, "detection", f"my_metrics:{name}"))
        return registry

    return make


def test_each_metric_keeps_its_artefacts():
    found = score(installed().tasks["detection"], [FOUND] * 2, [TRUTH] * 2, FRAMES, installed())
    per_class = {name for name in found.artefacts if name.endswith("AP per class")}
    assert per_class == {"coco_ap: AP per class", "voc_ap: AP per class"}
    assert {"AP", "VOC_AP50"} <= set(found.values)


def test_two_metrics_that_give_one_name_are_refused(registry_with):
    registry = registry_with(another_ap=lambda *_, probe: Result({"AP75": Estimate(0.1, 0.0, 0.2)}))
    with pytest.raises(ScoreError, match="'coco_ap' and 'another_ap' both give 'AP75'; want a name for each value"):
        score(installed().tasks["detection"], [FOUND] * 2, [TRUTH] * 2, FRAMES, registry)


def test_a_metric_that_fails_is_named(registry_with):
    registry = registry_with(broken=lambda *_, probe: 1 / 0)
    with pytest.raises(ScoreError, match="metric 'broken': ZeroDivisionError: division by zero"):
        score(installed().tasks["detection"], [FOUND] * 2, [TRUTH] * 2, FRAMES, registry)


def test_an_image_that_can_not_be_scored_has_its_own_name():
    wrong = Target(boxes=BOX, labels=torch.zeros(3, dtype=torch.int64))
    with pytest.raises(ScoreError, match=r"^image second\.png: target: 3 labels for 1 boxes$"):
        score(installed().tasks["detection"], [FOUND] * 2, [TRUTH, wrong], FRAMES, installed())


def test_a_task_without_its_primary_value_says_what_there_is():
    with pytest.raises(ScoreError, match="no metric of task detection gave its primary value 'AP'"):
        score(installed().tasks["detection"], [FOUND], [TRUTH], FRAMES[:1], Registry())
