import dataclasses
import importlib
import re
import sys
from importlib.metadata import EntryPoint
from types import ModuleType

import pytest

from roibench import hookspecs
from roibench.registry import Registry, UnknownNameError, installed, load
from roibench.specs import DatasetSpec, Knob, MetricSpec, ModelSpec, Paper, Recipe, Value, WarmStart
from roibench.task import Task
from roibench.tasks.detection import Detection
from roibench.tasks.objects import BOXES

SPEC = ModelSpec(
    "model_a", "family", ("detection",), build="package.module:build", paper=Paper("T", 2020, "https://example.org")
)


def test_built_in_families_come_through_entry_points():
    registry = installed()
    assert registry.failures == []
    assert registry.origin["ModelSpec", "faster_rcnn"] == "two_stage"
    assert {"scenes", "voc"} <= set(registry.datasets)
    metrics = [metric.name for metric in registry.metrics_for("detection")]
    assert metrics == ["coco_ap", "neighbour_recall", "voc_ap", "tide", "operating_point", "box_calibration"]


def test_one_bad_plugin_does_not_stop_the_rest(third_party):
    assert {"works", "faster_rcnn"} <= set(third_party.models)
    errors = {(failure.plugin, failure.error) for failure in third_party.failures}
    assert ("broken_import", "RuntimeError: this plugin is broken") in errors
    assert any(plugin == "misbehaving" and "'Bad Name'" in error and "name:" in error for plugin, error in errors)
    assert any(plugin == "misbehaving" and "'no_build'" in error and "build:" in error for plugin, error in errors)
    assert any("'juggles'" in error and "tasks: no task matches 'juggling'" in error for _, error in errors)
    assert any("'begins_with_nothing'" in error and "warm_start: no model matches" in error for _, error in errors)
    assert "points" in third_party.models
    assert not {"juggles", "begins_with_nothing"} & set(third_party.models)
    assert len(errors) == 5


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"name": "Model-A"}, "name"),
        ({"tasks": ()}, "tasks"),
        ({"tasks": ("detection", 3)}, "tasks"),
        ({"tasks": "detection"}, "tasks"),
        ({"build": "package.module.build"}, "build"),
        ({"paper": "Faster R-CNN"}, "paper"),
        ({"required_targets": ["boxes"]}, "required_targets"),
        ({"wraps": "fcn"}, "wraps"),
        ({"optional_targets": "boxes"}, "optional_targets"),
        ({"warm_start": "fcn"}, "warm_start"),
        ({"warm_start": WarmStart("fcn", "voc:here")}, r"warm_start\.dataset"),
        ({"teacher": "Large ResNet"}, "teacher"),
        ({"recipe": {"epochs": 3}}, "recipe"),
        ({"weights": {"scenes": "weights.pt"}}, "weights"),
        ({"knobs": ("proposals",)}, r"knobs\[0\]: want a Knob, got 'proposals'"),
        ({"knobs": (Knob("Side", 1, 1, 2, ""),)}, r"knobs\[0\]\.name"),
        ({"knobs": (Knob("side", 1, None, 2, ""),)}, r"knobs\[0\]\.low"),
        ({"knobs": (Knob("side", 3, 1, 2, ""),)}, r"knobs\[0\]\.default: want a whole number from 1 to 2, got 3"),
        ({"knobs": (Knob("side", None, 5, 2, ""),)}, r"knobs\[0\]\.default: want a whole number from 5 to 2, got None"),
        ({"knobs": (Knob("side", 1, 1, 2, ""),), "config": {"side": 2}}, r"knobs\[0\]\.default: want 2, as in config"),
        ({"knobs": (Knob("side", 1, 1, 2, ""),) * 2}, "knobs: 'side' is declared twice"),
    ],
)
def test_a_wrong_attribute_is_refused_by_name(changes, words):
    with pytest.raises(ValueError, match=rf"plugin 'mine', ModelSpec .*: {words}"):
        Registry().add("mine", ModelSpec, dataclasses.replace(SPEC, **changes))


@pytest.mark.parametrize(
    ("kind", "spec", "words"),
    [
        (DatasetSpec, DatasetSpec("d", open="nowhere", fields=(), description=""), "open"),
        (DatasetSpec, DatasetSpec("d", open="a:b", fields="pixels", description=""), "fields"),
        (MetricSpec, MetricSpec("m", None, "a:b", (Value("x"),)), "task"),
        (MetricSpec, MetricSpec("m", "detection", "a.b", (Value("x"),)), "compute"),
        (MetricSpec, MetricSpec("m", "detection", "a:b", ()), "values: want a tuple of Value, at least one"),
        (MetricSpec, MetricSpec("m", "detection", "a:b", ("x",)), r"values\[0\]: want a Value, got 'x'"),
        (MetricSpec, MetricSpec("m", "detection", "a:b", (Value("a/b"),)), r"values\[0\].name: want letters, digits"),
        (MetricSpec, MetricSpec("m", "detection", "a:b", (Value("x", unit=None),)), r"values\[0\].unit: want .*'ms'"),
        (MetricSpec, MetricSpec("m", "detection", "a:b", (Value("x"), Value("x", "ms"))), "'x' is declared twice"),
        (MetricSpec, SPEC, "MetricSpec"),
    ],
)
def test_wrong_datasets_and_metrics_are_refused_by_name(kind, spec, words):
    with pytest.raises(ValueError, match=words):
        Registry().add("mine", kind, spec)


def test_a_name_is_taken_once():
    registry = Registry()
    registry.add("first", ModelSpec, SPEC)
    with pytest.raises(ValueError, match="already registered by plugin 'first'"):
        registry.add("second", ModelSpec, SPEC)


def test_one_value_ranks_a_task():
    registry = Registry()
    registry.add("mine", MetricSpec, MetricSpec("ap", "detection", "a:b", (Value("mean", ranks=True), Value("low"))))
    assert registry.ranking("detection")[1].name == "mean" and registry.ranking("keypoints") is None
    again = MetricSpec("count", "detection", "a:b", (Value("total"), Value("error", ranks=True)))
    words = "plugin 'yours', MetricSpec 'count': values: 'count/error' would rank detection, which 'ap/mean' does"
    with pytest.raises(ValueError, match=words):
        registry.add("yours", MetricSpec, again)
    assert "count" not in registry.metrics
    registry.add("yours", MetricSpec, dataclasses.replace(again, task="keypoints"))
    twice = MetricSpec("both", "proposals", "a:b", (Value("one", ranks=True), Value("two", ranks=True)))
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
    assert len(hooks) == 8
    assert all(hook.__doc__.startswith("Call register(") and hook.__doc__.endswith(".") for hook in hooks)


@pytest.mark.parametrize(
    ("kind", "spec", "words"),
    [
        (ModelSpec, dataclasses.replace(SPEC, tasks=("detektion",)), "tasks: .*did you mean 'detection'"),
        (ModelSpec, dataclasses.replace(SPEC, required_targets=("boxen",)), "required_targets: .*did you mean 'boxes'"),
        (ModelSpec, dataclasses.replace(SPEC, teacher="nobody"), "teacher: no model matches 'nobody'"),
        (DatasetSpec, DatasetSpec("d", open="a:b", fields=("pixels",), description=""), "fields: no field of Target"),
        (MetricSpec, MetricSpec("m", "juggling", "a:b", (Value("x"),)), "task: no task matches 'juggling'"),
    ],
)
def test_what_nobody_registered_is_refused_once_all_plugins_are_loaded(kind, spec, words):
    registry = Registry()
    registry.add("tasks", Task, Detection())
    registry.add("mine", kind, spec)
    registry.refuse_orphans()
    [failure] = registry.failures
    assert re.search(rf"^plugin 'mine', {kind.__name__} '{spec.name}': {words}", failure.line)
    assert spec.name not in {**registry.models, **registry.datasets, **registry.metrics}


def test_wrappers_go_around_models_by_name_and_wildcard():
    registry = Registry()
    for name, wraps in (("cam", True), ("tiles", True), ("fcn", False), ("fcn_big", False), ("vit", False)):
        registry.add("mine", ModelSpec, dataclasses.replace(SPEC, name=name, wraps=wraps))

    def names(*patterns):
        return [spec.name for spec in registry.select_models(patterns)]

    assert names("*") == ["fcn", "fcn_big", "vit"]
    assert names("cam@fcn*", "*@vit") == ["cam@fcn", "cam@fcn_big", "cam@vit", "tiles@vit"]
    assert names("cam@tiles@vit") == ["cam@tiles@vit"]
    assert registry.model("cam@tiles@vit").learns == registry.models["vit"]
    for name, words in {
        "cam": "goes around another one: want cam@MODEL, such as cam@fcn, or cam@\\*",
        "fcn@vit": "model 'fcn' goes around no other; known: cam, tiles",
        "cam@vat": "no model matches 'vat'; did you mean 'vit'",
        "cm@vit": "no wrapper matches 'cm'; did you mean 'cam'",
    }.items():
        for find in (registry.model, names):
            with pytest.raises(UnknownNameError, match=words):
                find(name)


def test_a_field_is_declared_once():
    class Other(Detection):
        name = "other"
        prediction_fields = (dataclasses.replace(BOXES, per_object=False),)

    registry = Registry()
    registry.add("tasks", Task, Detection())
    with pytest.raises(ValueError, match="Task 'other': prediction_fields: 'boxes' is a field of another task already"):
        registry.add("mine", Task, Other())


@pytest.mark.parametrize("name", ["ids", "boxes_shapes", "My field"])
def test_a_field_has_a_name_that_a_file_can_hold(name):
    class Other(Detection):
        prediction_fields = (dataclasses.replace(BOXES, name=name),)

    with pytest.raises(ValueError, match=f"prediction_fields: want other names of fields than '{name}'"):
        Registry().add("mine", Task, Other())


def test_a_task_brings_its_metrics_and_what_is_built_in_comes_first(monkeypatch):
    names = []
    entries = [
        EntryPoint(name, f"{module}.{name}", "roibench")
        for name, module in (("aaa", "mine"), ("tasks", "roibench"), ("zzz", "mine"), ("datasets", "roibench"))
    ]
    monkeypatch.setattr(EntryPoint, "load", lambda entry: names.append(entry.name) or importlib.import_module("math"))
    monkeypatch.setitem(sys.modules, "mine.aaa", ModuleType("aaa"))
    monkeypatch.setitem(sys.modules, "mine.zzz", ModuleType("zzz"))
    load(entries)
    assert names == ["datasets", "tasks", "aaa", "zzz"]
    registry = Registry()
    registry.add("tasks", Task, Detection())
    assert list(registry.metrics) == [metric.name for metric in Detection.metrics]
    assert registry.origin["MetricSpec", "coco_ap"] == "tasks"
    late = MetricSpec("count", "detection", "a:b", (Value("error", ranks=True),))
    with pytest.raises(ValueError, match="'count/error' would rank detection, which 'coco_ap/AP' does"):
        registry.add("aaa", MetricSpec, late)
