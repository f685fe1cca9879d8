import dataclasses

import pytest

from roibench import hookspecs
from roibench.registry import Registry, UnknownNameError, installed
from roibench.specs import DatasetSpec, MetricSpec, ModelSpec, Paper, Recipe, Value
from roibench.task import RULES, Task

SPEC = ModelSpec(
    "model_a", "family", (Task.DETECTION,), build="package.module:build", paper=Paper("T", 2020, "https://example.org")
)


def test_built_in_families_come_through_entry_points():
    registry = installed()
    assert registry.failures == []
    assert registry.origin["ModelSpec", "faster_rcnn"] == "two_stage"
    assert {"scenes", "voc"} <= set(registry.datasets)
    assert [metric.name for metric in registry.metrics_for(Task.DETECTION)] == ["coco_ap", "voc_ap"]


def test_one_bad_plugin_does_not_stop_the_rest(third_party):
    assert {"works", "faster_rcnn"} <= set(third_party.models)
    errors = {(failure.plugin, failure.error) for failure in third_party.failures}
    assert ("broken_import", "RuntimeError: this plugin is broken") in errors
    assert any(plugin == "misbehaving" and "'Bad Name'" in error and "name:" in error for plugin, error in errors)
    assert any(plugin == "misbehaving" and "'no_build'" in error and "build:" in error for plugin, error in errors)
    assert any("'points_at_nothing'" in error and "explains: no model matches 'nobody'" in error for _, error in errors)
    assert any("'begins_with_nothing'" in error and "warm_start: no model matches" in error for _, error in errors)
    assert "points" in third_party.models
    assert not {"points_at_nothing", "begins_with_nothing"} & set(third_party.models)
    assert len(errors) == 5


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"name": "Model-A"}, "name"),
        ({"tasks": ()}, "tasks"),
        ({"tasks": (Task.DETECTION, "juggling")}, "tasks"),
        ({"tasks": "detection"}, "tasks"),
        ({"build": "package.module.build"}, "build"),
        ({"paper": "Faster R-CNN"}, "paper"),
        ({"required_targets": ("boxen",)}, "required_targets"),
        ({"optional_targets": "boxes"}, "optional_targets"),
        ({"recipe": {"epochs": 3}}, "recipe"),
        ({"weights": {"scenes": "weights.pt"}}, "weights"),
    ],
)
def test_a_wrong_attribute_is_refused_by_name(changes, words):
    with pytest.raises(ValueError, match=rf"plugin 'mine', ModelSpec .*: {words}: "):
        Registry().add("mine", ModelSpec, dataclasses.replace(SPEC, **changes))


@pytest.mark.parametrize(
    ("kind", "spec", "words"),
    [
        (DatasetSpec, DatasetSpec("d", open="nowhere", fields=(), description=""), "open"),
        (DatasetSpec, DatasetSpec("d", open="a:b", fields=("pixels",), description=""), "fields"),
        (MetricSpec, MetricSpec("m", "juggling", "a:b", (Value("x"),)), "task"),
        (MetricSpec, MetricSpec("m", Task.DETECTION, "a.b", (Value("x"),)), "compute"),
        (MetricSpec, MetricSpec("m", Task.DETECTION, "a:b", ()), "values: want a tuple of Value"),
        (MetricSpec, MetricSpec("m", Task.DETECTION, "a:b", ("x",)), "values: want a tuple of Value"),
        (MetricSpec, MetricSpec("m", Task.DETECTION, "a:b", (Value("a/b"),)), "values: want names of letters"),
        (MetricSpec, MetricSpec("m", Task.DETECTION, "a:b", (Value("x", unit=None),)), "values: x: want a unit"),
        (MetricSpec, MetricSpec("m", Task.DETECTION, "a:b", (Value("x"), Value("x", "ms"))), "'x' is declared twice"),
        (MetricSpec, SPEC, "MetricSpec"),
    ],
)
def test_wrong_data_sets_and_metrics_are_refused_by_name(kind, spec, words):
    with pytest.raises(ValueError, match=words):
        Registry().add("mine", kind, spec)


def test_a_name_is_taken_once():
    registry = Registry()
    registry.add("first", ModelSpec, SPEC)
    with pytest.raises(ValueError, match="already registered by plugin 'first'"):
        registry.add("second", ModelSpec, SPEC)


def test_one_value_ranks_a_task():
    registry = Registry()
    registry.add("mine", MetricSpec, MetricSpec("ap", Task.DETECTION, "a:b", (Value("mean", ranks=True), Value("low"))))
    assert registry.ranking(Task.DETECTION)[1].name == "mean" and registry.ranking(Task.KEYPOINTS) is None
    again = MetricSpec("count", Task.DETECTION, "a:b", (Value("total"), Value("error", ranks=True)))
    words = "plugin 'yours', MetricSpec 'count': values: 'count/error' would rank detection, which 'ap/mean' does"
    with pytest.raises(ValueError, match=words):
        registry.add("yours", MetricSpec, again)
    assert "count" not in registry.metrics
    registry.add("yours", MetricSpec, dataclasses.replace(again, task=Task.KEYPOINTS))
    twice = MetricSpec("both", Task.PROPOSALS, "a:b", (Value("one", ranks=True), Value("two", ranks=True)))
    with pytest.raises(ValueError, match="'both/two' would rank proposals, which 'both/one' does"):
        registry.add("yours", MetricSpec, twice)


def test_wildcards_select_and_misses_say_what_comes_close():
    registry = Registry()
    for name in ("faster_rcnn", "faster_rcnn_big", "retinanet"):
        registry.add("mine", ModelSpec, dataclasses.replace(SPEC, name=name, recipe=Recipe(1, 1, 0.1)))
    assert [spec.name for spec in registry.select_models(["*rcnn*"])] == ["faster_rcnn", "faster_rcnn_big"]
    with pytest.raises(UnknownNameError, match="did you mean 'retinanet'"):
        registry.select_models(["retinnet"])
    with pytest.raises(UnknownNameError, match="known: faster_rcnn, faster_rcnn_big, retinanet"):
        registry.select_models(["zzz*"])


def test_every_hook_says_in_a_sentence_what_to_do():
    hooks = [value for name, value in vars(hookspecs).items() if name.startswith("register_")]
    assert len(hooks) == 3
    assert all(hook.__doc__.startswith("Call register(") and hook.__doc__.endswith(".") for hook in hooks)


def test_every_task_has_rules():
    assert set(RULES) == set(Task)
