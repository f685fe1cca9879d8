"""Loads plugins, checks what they register, answers "which models?".

Every plugin, built in or not, is an entry point of the group `roibench`. Each is loaded and asked on its own: one that
fails is remembered with its error in `Registry.failures`, and the others stand.
"""

import difflib
import fnmatch
import importlib
import re
import sys
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from functools import cache
from importlib.metadata import Distribution, EntryPoint, entry_points
from types import ModuleType
from typing import Any

import pluggy

from roibench import hookspecs
from roibench.specs import DatasetSpec, MetricSpec, ModelSpec, Paper, Recipe, Value
from roibench.structures import Target
from roibench.task import RULES, Task

GROUP = "roibench"
Spec = ModelSpec | DatasetSpec | MetricSpec


class RegistrationError(ValueError):
    """What a plugin registered is not right; the message names the plugin and the attribute."""


class UnknownNameError(ValueError):
    """Nothing is registered under this name; the message says what comes close."""


@dataclass(frozen=True)
class Failure:
    """A plugin that could not be used, whole or in part."""

    plugin: str
    error: str

    @property
    def line(self) -> str:
        """One line that names the plugin."""
        text = " ".join(self.error.split())
        return text if text.startswith("plugin ") else f"plugin {self.plugin!r}: {text}"


@dataclass
class Registry:
    """What is registered, by name, and what failed. origin: (kind, name) -> plugin; modules: plugin -> module;
    distributions: plugin -> what it was installed from.
    """

    models: dict[str, ModelSpec] = field(default_factory=dict)
    datasets: dict[str, DatasetSpec] = field(default_factory=dict)
    metrics: dict[str, MetricSpec] = field(default_factory=dict)
    failures: list[Failure] = field(default_factory=list)
    origin: dict[tuple[str, str], str] = field(default_factory=dict)
    modules: dict[str, ModuleType] = field(default_factory=dict)
    distributions: dict[str, Distribution] = field(default_factory=dict)

    def select_models(self, patterns: Iterable[str]) -> list[ModelSpec]:
        """Models whose names match any of the wildcard patterns, in order of registration.

        Raises UnknownNameError for a pattern that matches nothing.
        """
        chosen: set[str] = set()
        for pattern in patterns:
            hits = fnmatch.filter(self.models, pattern)
            if not hits:
                raise UnknownNameError(unknown("model", pattern, self.models))
            chosen.update(hits)
        return [spec for name, spec in self.models.items() if name in chosen]

    def metrics_for(self, task: Task) -> list[MetricSpec]:
        return [metric for metric in self.metrics.values() if metric.task == task]

    def ranking(self, task: Task) -> tuple[MetricSpec, Value] | None:
        """The metric and its value that rank a task's models; None where no metric declares one."""
        found = ((metric, value) for metric in self.metrics_for(task) for value in metric.values if value.ranks)
        return next(found, None)

    def add(self, plugin: str, kind: type[Spec], spec: object) -> None:
        """Checks one spec and files it. Raises RegistrationError, naming plugin and attribute."""
        if not isinstance(spec, kind):
            raise RegistrationError(f"plugin {plugin!r}: register() wants a {kind.__name__}, got {type(spec).__name__}")
        shelf, check = {
            ModelSpec: (self.models, _model_problem),
            DatasetSpec: (self.datasets, _dataset_problem),
            MetricSpec: (self.metrics, _metric_problem),
        }[kind]
        if problem := _name_problem(spec) or check(spec):
            raise RegistrationError(f"plugin {plugin!r}, {kind.__name__} {spec.name!r}: {problem}")
        if spec.name in shelf:
            first = self.origin[kind.__name__, spec.name]
            raise RegistrationError(
                f"plugin {plugin!r}, {kind.__name__} {spec.name!r}: name: already registered by plugin {first!r}"
            )
        if isinstance(spec, MetricSpec) and (problem := self._ranking_problem(spec)):
            raise RegistrationError(f"plugin {plugin!r}, MetricSpec {spec.name!r}: {problem}")
        shelf[spec.name] = spec
        self.origin[kind.__name__, spec.name] = plugin

    def _ranking_problem(self, spec: MetricSpec) -> str | None:
        """A task's models stand in one order."""
        claims = [f"{spec.name}/{value.name}" for value in spec.values if value.ranks]
        ranking = self.ranking(spec.task)
        before = [f"{ranking[0].name}/{ranking[1].name}"] if ranking and claims else []
        match before + claims:
            case [first, second, *_]:
                return (
                    f"values: {second!r} would rank {spec.task}, which {first!r} does; want one value that ranks a task"
                )
        return None


def unknown(kind: str, name: str, known: Iterable[str]) -> str:
    """A sentence for a name that nothing matches: what was asked for, what comes close, what there is."""
    known = sorted(known)
    close = difflib.get_close_matches(name.strip("*?"), known, n=3, cutoff=0.5)
    hint = f"did you mean {' or '.join(map(repr, close))}?" if close else f"known: {', '.join(known) or 'none'}"
    return f"no {kind} matches {name!r}; {hint}"


def resolve(path: str) -> Callable[..., Any]:
    """Imports what a spec's "module:function" names."""
    module, _, name = path.partition(":")
    return getattr(importlib.import_module(module), name)


def load(entries: Iterable[EntryPoint]) -> Registry:
    """Loads plugins one by one and collects what they register. Never raises for a plugin's fault."""
    registry = Registry()
    manager = pluggy.PluginManager(GROUP)
    manager.add_hookspecs(hookspecs)
    for entry in sorted(entries, key=lambda entry: entry.name):
        try:
            manager.register(entry.load(), entry.name)
            manager.check_pending()
        except Exception as error:
            if manager.has_plugin(entry.name):
                manager.unregister(name=entry.name)
            registry.failures.append(Failure(entry.name, f"{type(error).__name__}: {error}"))
            continue
        registry.modules[entry.name] = sys.modules[entry.module]
        if entry.dist is not None:
            registry.distributions[entry.name] = entry.dist
        for hook, kind in _HOOKS:
            _ask(registry, manager, entry.name, hook, kind)
    _refuse_orphans(registry)
    return registry


@cache
def installed() -> Registry:
    """The registry of every plugin installed in this environment, loaded once."""
    return load(entry_points(group=GROUP))


_HOOKS = (("register_models", ModelSpec), ("register_datasets", DatasetSpec), ("register_metrics", MetricSpec))


def _ask(registry: Registry, manager: pluggy.PluginManager, plugin: str, hook: str, kind: type[Spec]) -> None:
    """Calls one hook of one plugin. A refused spec doesn't stop the plugin's other specs."""

    def register(spec: object) -> None:
        try:
            registry.add(plugin, kind, spec)
        except RegistrationError as error:
            registry.failures.append(Failure(plugin, str(error)))

    others = [module for name, module in manager.list_name_plugin() if name != plugin]
    try:
        manager.subset_hook_caller(hook, remove_plugins=others)(register=register)
    except Exception as error:
        registry.failures.append(Failure(plugin, f"{hook}: {type(error).__name__}: {error}"))


def _refuse_orphans(registry: Registry) -> None:
    """Takes out models that hang on one which no plugin has registered, or which learns nothing itself."""
    learners = {name for name, spec in registry.models.items() if spec.explains is None}
    orphans = [
        (name, attribute, parent)
        for name, spec in registry.models.items()
        for attribute, parent in (("explains", spec.explains), ("warm_start", spec.warm_start))
        if parent is not None and parent not in learners
    ]
    for name, attribute, parent in orphans:
        registry.models.pop(name, None)
        plugin = registry.origin["ModelSpec", name]
        problem = f"{attribute}: {unknown('model', parent, learners)}"
        registry.failures.append(Failure(plugin, f"plugin {plugin!r}, ModelSpec {name!r}: {problem}"))


def _name_problem(spec: Spec) -> str | None:
    if not isinstance(spec.name, str) or not re.fullmatch(r"[a-z][a-z0-9_]*", spec.name):
        return f"name: want lower_case letters, digits and underscores, got {spec.name!r}"
    return None


def _path_problem(attribute: str, path: object) -> str | None:
    if not isinstance(path, str) or not re.fullmatch(r"[A-Za-z_][\w.]*:[A-Za-z_]\w*", path):
        return f'{attribute}: want "module:function", got {path!r}'
    return None


def _fields_problem(attribute: str, fields: object) -> str | None:
    known = set(Target.__dataclass_fields__)
    if not isinstance(fields, tuple) or not known.issuperset(fields):
        return f"{attribute}: want a tuple of Target's fields ({', '.join(sorted(known))}), got {fields!r}"
    return None


def _model_problem(spec: ModelSpec) -> str | None:
    if not isinstance(spec.tasks, tuple) or not spec.tasks or not all(task in RULES for task in spec.tasks):
        return f"tasks: want a tuple of names of tasks, at least one, got {spec.tasks!r}"
    if not isinstance(spec.paper, Paper):
        return f"paper: want a Paper, got {spec.paper!r}"
    if spec.recipe is not None and not isinstance(spec.recipe, Recipe):
        return f"recipe: want a Recipe or None, got {spec.recipe!r}"
    if not all(isinstance(file, str) and file.endswith(".safetensors") for file in spec.weights.values()):
        return f"weights: want dataset name -> file.safetensors, got {dict(spec.weights)!r}"
    return (
        _path_problem("build", spec.build)
        or _fields_problem("required_targets", spec.required_targets)
        or _fields_problem("optional_targets", spec.optional_targets)
    )


def _dataset_problem(spec: DatasetSpec) -> str | None:
    return _path_problem("open", spec.open) or _fields_problem("fields", spec.fields)


def _metric_problem(spec: MetricSpec) -> str | None:
    if spec.task not in RULES:
        return f"task: want the name of a task, got {spec.task!r}"
    return _path_problem("compute", spec.compute) or _values_problem(spec.values)


def _values_problem(values: object) -> str | None:
    if not isinstance(values, tuple) or not values or not all(isinstance(value, Value) for value in values):
        return f"values: want a tuple of Value, at least one, got {values!r}"
    names = [value.name for value in values]
    for value in values:
        if not isinstance(value.name, str) or not re.fullmatch(r"[A-Za-z]\w*", value.name):
            return f"values: want names of letters, digits and underscores, got {value.name!r}"
        if not isinstance(value.unit, str):
            return f"values: {value.name}: want a unit such as '%', 'ms' or '', got {value.unit!r}"
        if names.count(value.name) > 1:
            return f"values: {value.name!r} is declared twice"
    return None
