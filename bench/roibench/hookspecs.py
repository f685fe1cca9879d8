"""The hooks that a plugin may implement. Nothing else lives here: loading and validation are registry.py's business."""

from collections.abc import Callable
from typing import TYPE_CHECKING

import pluggy

from roibench.specs import BackendSpec, ClaimSpec, CommandSpec, DatasetSpec, MetricSpec, ModelSpec, SourceSpec

if TYPE_CHECKING:
    from roibench.task import Task  # which imports torch

hookspec = pluggy.HookspecMarker("roibench")
hookimpl = pluggy.HookimplMarker("roibench")


@hookspec
def register_models(register: Callable[[ModelSpec], None]) -> None:
    """Call register(ModelSpec) once for every model that this plugin offers."""


@hookspec
def register_sources(register: Callable[[SourceSpec], None]) -> None:
    """Call register(SourceSpec) once for every scheme by which a person names models from outside."""


@hookspec
def register_backends(register: Callable[[BackendSpec], None]) -> None:
    """Call register(BackendSpec) once for everything that this plugin lets run networks in torch's place."""


@hookspec
def register_datasets(register: Callable[[DatasetSpec], None]) -> None:
    """Call register(DatasetSpec) once for every dataset, or kind of dataset, that this plugin can open."""


@hookspec
def register_metrics(register: Callable[[MetricSpec], None]) -> None:
    """Call register(MetricSpec) once for every metric that scores a task's predictions."""


@hookspec
def register_tasks(register: Callable[["Task"], None]) -> None:
    """Call register(task) once, with an instance, for every task that this plugin adds."""


@hookspec
def register_claims(register: Callable[[ClaimSpec], None]) -> None:
    """Call register(ClaimSpec) once for everything that this plugin says of models and lets records decide."""


@hookspec
def register_commands(register: Callable[[CommandSpec], None]) -> None:
    """Call register(CommandSpec) once for every command that this plugin adds to `roibench`."""
