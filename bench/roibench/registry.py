"""Loads plugins, checks what they register, answers "which models?".

Every plugin, built in or not, is an entry point of the group `roibench`. Each is loaded and asked on its own: one that
fails is remembered with its error in `Registry.failures`, and the others stand.
"""

import difflib
import fnmatch
import importlib
import re
import sys
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field, fields, replace
from functools import cache
from importlib.metadata import Distribution, EntryPoint, entry_points
from types import ModuleType
from typing import Any

import pluggy

from roibench import hookspecs
from roibench.sources import Source
from roibench.spec_checks import spec_problem
from roibench.specs import (
    TORCH,
    BackendSpec,
    ClaimSpec,
    CommandSpec,
    DatasetSpec,
    MetricSpec,
    ModelSpec,
    SourceSpec,
    Value,
)
from roibench.structures import Target
from roibench.task import Field, TargetField, Task

GROUP = "roibench"
Spec = ModelSpec | SourceSpec | BackendSpec | DatasetSpec | MetricSpec | ClaimSpec | CommandSpec | Task
AT = "@"  # WRAPPER@MODEL


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
    """What is registered, by name, and what failed.

    models, sources, backends, datasets, metrics, tasks, claims, commands: name -> what was registered.
    failures: plugins that could not be used, whole or in part.
    origin: (kind, name) -> plugin.
    modules: plugin -> module.
    distributions: plugin -> what it was installed from.
    """

    models: dict[str, ModelSpec] = field(default_factory=dict)
    sources: dict[str, SourceSpec] = field(default_factory=dict)
    backends: dict[str, BackendSpec] = field(default_factory=dict)
    datasets: dict[str, DatasetSpec] = field(default_factory=dict)
    metrics: dict[str, MetricSpec] = field(default_factory=dict)
    tasks: dict[str, Task] = field(default_factory=dict)
    claims: dict[str, ClaimSpec] = field(default_factory=dict)
    commands: dict[str, CommandSpec] = field(default_factory=dict)
    failures: list[Failure] = field(default_factory=list)
    origin: dict[tuple[str, str], str] = field(default_factory=dict)
    modules: dict[str, ModuleType] = field(default_factory=dict)
    distributions: dict[str, Distribution] = field(default_factory=dict)

    @property
    def fields(self) -> dict[str, Field]:
        """Every field that a prediction may have, by name."""
        return {field.name: field for task in self.tasks.values() for field in task.prediction_fields}

    @property
    def target_fields(self) -> dict[str, TargetField]:
        """Every field of ground truth that a task scores, by name."""
        return {field.name: field for task in self.tasks.values() for field in task.target_fields}

    def needed_fields(self, tasks: Iterable[str]) -> set[str]:
        """The fields that a model of these tasks must return."""
        return {field.name for task in tasks for field in self.tasks[task].prediction_fields}

    def tasks_of(self, spec: ModelSpec) -> list[Task]:
        return [self.tasks[name] for name in spec.tasks]

    def metrics_for(self, task: str) -> list[MetricSpec]:
        return [metric for metric in self.metrics.values() if metric.task == task]

    def model(self, name: str) -> ModelSpec:
        """The model of this name: for WRAPPER@MODEL the one around the other, for SCHEME:REST one from outside.

        Raises UnknownNameError, and for one from outside what SourceSpec.open raises.
        """
        if (source := Source.parse(name)) is not None:
            return self._open(source)
        outer, at, inner = name.partition(AT)
        spec = self.models.get(outer)
        if spec is None or spec.wraps != bool(at):
            raise UnknownNameError(self._no_model(outer if at else name, bool(at)))
        if not at:
            return spec
        inside = self.model(inner)
        return replace(spec, name=f"{outer}{AT}{inside.name}", inner=inside)

    def _open(self, source: Source) -> ModelSpec:
        """Raises RegistrationError where a source gives what is no model."""
        spec = self.sources.get(source.scheme)
        if spec is None:
            raise UnknownNameError(unknown("source of models", source.scheme, self.sources))
        model = resolve(spec.open)(source.rest)
        where = f"plugin {self.origin['SourceSpec', spec.name]!r}, model {source}"
        if not isinstance(model, ModelSpec) or model.outside is None:
            raise RegistrationError(f"{where}: want a ModelSpec with its `outside`, got {type(model).__name__}")
        if problem := spec_problem(replace(model, name="outside")) or _knobs_problem(model):
            raise RegistrationError(f"{where}: {problem}")
        if problem := next(self._unknown_names(model), None):
            raise RegistrationError(f"{where}: {problem}")
        return model

    def select_models(self, patterns: Iterable[str]) -> list[ModelSpec]:
        """Models whose names match any of the wildcard patterns, in order of registration. `grad_cam@*` is Grad-CAM
        around each model; `*` alone matches no wrapper. SCHEME:REST is a model from outside; these come last, as typed.

        Raises UnknownNameError for a pattern that matches nothing, and ValueError where two models from outside would
        have one name.
        """
        chosen: dict[str, ModelSpec] = {}
        opened: dict[str, ModelSpec] = {}
        for pattern in patterns:
            if Source.inside(pattern) is not None:
                spec = self.model(pattern)
                first = opened.setdefault(spec.name, spec)
                if first.learns.outside != spec.learns.outside:
                    both = f"{first.learns.outside.source} and {spec.learns.outside.source}"
                    raise ValueError(f"{both} would both be called {spec.name}: rename a file, or give one a name")
                continue
            outer, at, inner = pattern.partition(AT)
            names = fnmatch.filter((name for name, spec in self.models.items() if spec.wraps == bool(at)), outer)
            if not names:
                raise UnknownNameError(self._no_model(outer, bool(at)))
            insides = [f"{AT}{one.name}" for one in self.select_models([inner])] if at else [""]
            found = (self.model(name + inside) for name in names for inside in insides)
            chosen |= {spec.name: spec for spec in found}
        order = list(self.models)
        registered = sorted(chosen.values(), key=lambda spec: [order.index(part) for part in spec.name.split(AT)])
        return [*registered, *opened.values()]

    def _no_model(self, name: str, wrapper: bool) -> str:
        wrappers = [name for name, spec in self.models.items() if spec.wraps]
        plain = [name for name, spec in self.models.items() if not spec.wraps]
        if not wrapper and name in wrappers:
            example = f", such as {name}{AT}{plain[0]}" if plain else ""
            return f"model {name!r} goes around another one: want {name}{AT}MODEL{example}, or {name}{AT}*"
        if wrapper and name in plain:
            return f"model {name!r} goes around no other; {unknown('wrapper', name, wrappers).partition('; ')[2]}"
        return unknown("wrapper", name, wrappers) if wrapper else unknown("model", name, plain)

    def ranking(self, task: str) -> tuple[MetricSpec, Value] | None:
        """The metric and its value that rank a task's models; None where no metric declares one."""
        found = ((metric, value) for metric in self.metrics_for(task) for value in metric.values if value.ranks)
        return next(found, None)

    def add(self, plugin: str, kind: type[Spec], spec: object) -> None:
        """Checks one spec and files it. Raises RegistrationError, naming plugin and attribute."""
        if not isinstance(spec, kind):
            raise RegistrationError(f"plugin {plugin!r}: register() wants a {kind.__name__}, got {type(spec).__name__}")
        shelf = self._shelf(kind)
        problem = self._task_problem(spec) if isinstance(spec, Task) else spec_problem(spec)
        if isinstance(spec, MetricSpec):
            problem = problem or self._values_problem(spec)
        if isinstance(spec, ModelSpec):
            problem = problem or _knobs_problem(spec)
        if isinstance(spec, BackendSpec) and spec.name == TORCH:
            problem = f"name: {TORCH!r} is what backends are compared with, and no backend's"
        if problem:
            raise RegistrationError(f"plugin {plugin!r}, {kind.__name__} {spec.name!r}: {problem}")
        if spec.name in shelf:
            first = self.origin[kind.__name__, spec.name]
            raise RegistrationError(
                f"plugin {plugin!r}, {kind.__name__} {spec.name!r}: name: already registered by plugin {first!r}"
            )
        if isinstance(spec, MetricSpec) and (problem := self._values_problem(spec)):
            raise RegistrationError(f"plugin {plugin!r}, MetricSpec {spec.name!r}: {problem}")
        shelf[spec.name] = spec
        self.origin[kind.__name__, spec.name] = plugin
        if isinstance(spec, Task):
            for metric in spec.metrics:
                self.add(plugin, MetricSpec, metric)

    def refuse_orphans(self) -> None:
        """Takes out what names something that no plugin has registered: asked once all of them are loaded."""
        for kind in (ModelSpec, DatasetSpec, MetricSpec):
            for spec in list(self._shelf(kind).values()):
                if problem := next(self._unknown_names(spec), None):
                    del self._shelf(kind)[spec.name]
                    plugin = self.origin[kind.__name__, spec.name]
                    text = f"plugin {plugin!r}, {kind.__name__} {spec.name!r}: {problem}"
                    self.failures.append(Failure(plugin, text))

    def _unknown_names(self, spec: ModelSpec | DatasetSpec | MetricSpec) -> Iterator[str]:
        """Attributes that name what nobody has registered, and what comes close."""
        target_fields = {*(one.name for one in fields(Target) if one.name != "extra"), *self.target_fields}
        match spec:
            case ModelSpec():
                learners = [name for name, other in self.models.items() if not other.wraps]
                named = [
                    ("tasks", spec.tasks, "task", self.tasks),
                    ("warm_start", [spec.warm_start.model] if spec.warm_start else [], "model", learners),
                    ("teacher", [spec.teacher] if spec.teacher else [], "model", learners),
                    ("required_targets", spec.required_targets, "field of Target", target_fields),
                    ("optional_targets", spec.optional_targets, "field of Target", target_fields),
                ]
            case DatasetSpec():
                named = [("fields", spec.fields, "field of Target", target_fields)]
            case MetricSpec():
                named = [("task", [spec.task], "task", self.tasks)]
        for attribute, names, kind, known in named:
            yield from (f"{attribute}: {unknown(kind, name, known)}" for name in names if name not in known)

    def registered_by(self, plugin: str) -> list[Spec]:
        """All that a plugin registered and that stands."""
        shelves = {kind.__name__: self._shelf(kind) for _, kind in _HOOKS}
        own = [(shelves[kind], name) for (kind, name), origin in self.origin.items() if origin == plugin]
        return [shelf[name] for shelf, name in own if name in shelf]

    def _shelf(self, kind: type[Spec]) -> dict[str, Any]:
        shelves = {ModelSpec: self.models, SourceSpec: self.sources, DatasetSpec: self.datasets}
        shelves |= {BackendSpec: self.backends, MetricSpec: self.metrics, Task: self.tasks}
        return (shelves | {ClaimSpec: self.claims, CommandSpec: self.commands})[kind]

    def _task_problem(self, task: Task) -> str | None:
        if not isinstance(getattr(task, "name", None), str) or not re.fullmatch(r"[a-z][a-z0-9_]*", task.name):
            return f"name: want lower_case letters, digits and underscores, got {getattr(task, 'name', None)!r}"
        if not task.prediction_fields:
            return "prediction_fields: want at least one roibench.task.Field"
        for attribute, known in (("prediction_fields", self.fields), ("target_fields", self.target_fields)):
            for one in getattr(task, attribute):
                if not re.fullmatch(r"[a-z][a-z0-9_]*", one.name) or one.name == "ids" or one.name.endswith("_shapes"):
                    return f"{attribute}: want other names of fields than {one.name!r}"
                if known.get(one.name, one) != one:
                    return f"{attribute}: {one.name!r} is a field of another task already; want that one or a new name"
        return None

    def _values_problem(self, spec: MetricSpec) -> str | None:
        """A value is declared once, and a task's models stand in one order."""
        names = [value.name for value in spec.values]
        if twice := [name for name in names if names.count(name) > 1]:
            return f"values: {twice[0]!r} is declared twice"
        claims = [f"{spec.name}/{value.name}" for value in spec.values if value.ranks]
        ranking = self.ranking(spec.task)
        before = [f"{ranking[0].name}/{ranking[1].name}"] if ranking and claims else []
        match before + claims:
            case [first, second, *_]:
                return (
                    f"values: {second!r} would rank {spec.task}, which {first!r} does; want one value that ranks a task"
                )
        return None


def _knobs_problem(spec: ModelSpec) -> str | None:
    """A knob is declared once, by the model that is built with it, and its default is what that one is built with."""
    names = [knob.name for knob in spec.knobs]
    for index, knob in enumerate(spec.knobs):
        if names.count(knob.name) > 1:
            return f"knobs: {knob.name!r} is declared twice"
        if (built := spec.config.get(knob.name, knob.default)) != knob.default:
            return f"knobs[{index}].default: want {built!r}, as in config, got {knob.default!r}"
        try:
            knob.value(knob.low if knob.default is None else knob.default)
        except ValueError as error:
            return f"knobs[{index}].default: {error}, got {knob.default!r}"
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
    # Ours first: what somebody else registers never takes a name, or the rank of a task, from what is built in.
    for entry in sorted(entries, key=lambda entry: (not entry.value.startswith("roibench."), entry.name)):
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
    registry.refuse_orphans()
    return registry


@cache
def installed() -> Registry:
    """The registry of every plugin installed in this environment, loaded once."""
    return load(entry_points(group=GROUP))


_HOOKS: tuple[tuple[str, type[Spec]], ...] = (
    ("register_tasks", Task),
    ("register_models", ModelSpec),
    ("register_sources", SourceSpec),
    ("register_backends", BackendSpec),
    ("register_datasets", DatasetSpec),
    ("register_metrics", MetricSpec),
    ("register_claims", ClaimSpec),
    ("register_commands", CommandSpec),
)


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
