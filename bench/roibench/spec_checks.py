"""Whether a spec is what its annotations say, as pydantic sees it; in words for whoever wrote the plugin."""

import re
from functools import cache
from typing import Any, get_args, get_type_hints

from pydantic import TypeAdapter, ValidationError
from pydantic.fields import FieldInfo

from roibench.specs import BackendSpec, ClaimSpec, CommandSpec, DatasetSpec, MetricSpec, ModelSpec, SourceSpec

_PARTS = {"values": "a Value", "knobs": "a Knob"}  # attributes that hold several, and what each is


def spec_problem(
    spec: ModelSpec | SourceSpec | BackendSpec | DatasetSpec | MetricSpec | ClaimSpec | CommandSpec,
) -> str | None:
    """The first thing that is wrong with a spec by itself: which attribute, what it wants and what it got."""
    try:
        _adapter(type(spec)).validate_python(spec)
    except ValidationError as error:
        where, wanted, value = "", "", spec
        for part in error.errors()[0]["loc"]:
            if where in _PARTS and isinstance(part, int):
                where, wanted, value = f"{where}[{part}]", _PARTS[where], value[part]
            elif isinstance(part, str) and hasattr(value, part):
                where, wanted = f"{where}.{part}".lstrip("."), _wanted(type(value), part)
                value = getattr(value, part)
        return f"{where}: want {wanted}, got {value!r}"
    return None


@cache
def _adapter(kind: type) -> TypeAdapter:
    return TypeAdapter(kind)


def _wanted(kind: type, attribute: str) -> str:
    """An attribute's type, in words where it has some."""
    annotation = get_type_hints(kind, include_extras=True)[attribute]
    found = _description(annotation)
    return found or re.sub(r"[\w.]+\.(?=\w+)", "", str(getattr(annotation, "__name__", annotation)))


def _description(annotation: Any) -> str | None:
    for part in (*getattr(annotation, "__metadata__", ()), *get_args(annotation)):
        if isinstance(part, FieldInfo) and part.description:
            return part.description
        if not isinstance(part, str) and (found := _description(part)):
            return found
    return None
