"""Which plugins a run depends on, down to their files: an editable install changes without its version changing."""

import hashlib
import importlib.util
from collections.abc import Iterable, Iterator
from importlib.metadata import Distribution
from pathlib import Path

from roibench.files import cached_hash, tree_hash
from roibench.measure.record import Plugin
from roibench.registry import Registry
from roibench.specs import ModelSpec
from roibench.task import Task
from roibench.weights import plugin_folder


def plugin_states(registry: Registry) -> tuple[Plugin, ...]:
    """Every plugin that was loaded, by name, with the hashes of its files as they are now."""
    return tuple(_state(name, registry) for name in sorted(registry.modules))


def plugins_hash(registry: Registry) -> str:
    """SHA-256 of all that plugin_states tells: equal where the same plugins have the same files."""
    text = "\n".join(state.model_dump_json() for state in plugin_states(registry))
    return hashlib.sha256(text.encode()).hexdigest()


def _state(plugin: str, registry: Registry) -> Plugin:
    specs = registry.registered_by(plugin)
    modules = {registry.modules[plugin].__name__}
    modules |= {type(spec).__module__ for spec in specs if isinstance(spec, Task)}
    for spec in specs:
        paths = (getattr(spec, attribute, None) for attribute in ("build", "open", "compute"))
        modules |= {path.partition(":")[0] for path in paths if path is not None}
    distribution = registry.distributions.get(plugin)
    roots = {_root(module) for module in modules} | _installed(distribution)
    folder = plugin_folder(plugin, registry)
    named = {name for spec in specs if isinstance(spec, ModelSpec) for name in _named_files(spec)}
    return Plugin(
        name=plugin,
        distribution=distribution and distribution.name,
        version=distribution and distribution.version,
        sha256=tree_hash(place for root in sorted(roots) for place in _places(root)),
        weights={name: cached_hash(folder / name) for name in sorted(named) if _is_file(folder / name)},
    )


def _named_files(spec: ModelSpec) -> Iterable[str]:
    """What may be a file: a model's weights, and every text in its config; relative to the plugin's folder."""
    return (*spec.weights.values(), *_texts(dict(spec.config)))


def _texts(value: object) -> Iterator[str]:
    if isinstance(value, str | Path):
        yield str(value)
    elif isinstance(value, dict):
        yield from _texts(list(value.values()))
    elif isinstance(value, list | tuple):
        for one in value:
            yield from _texts(one)


def _is_file(path: Path) -> bool:
    try:
        return path.is_file()
    except (OSError, ValueError):  # a text of a config that can't be a file's name
        return False


def _root(module: str) -> str:
    """The outermost package that a module lies in, which may hold what it imports; of ours, the plugin's own."""
    parts = module.split(".")
    if parts[0] != "roibench":
        return parts[0]
    return ".".join(parts[: 3 if parts[1:2] == ["plugins"] else 2])


def _installed(distribution: Distribution | None) -> set[str]:
    """The packages and modules that were installed together with a plugin, and which it may import; ours are known."""
    if distribution is None or distribution.name == "roibench":
        return set()
    if (declared := distribution.read_text("top_level.txt")) is not None:
        return set(declared.split())
    return {path.parts[0].removesuffix(".py") for path in distribution.files or () if path.suffix == ".py"}


def _places(root: str) -> list[Path]:
    """The folders of a package, or the file of a module; nothing where there is none."""
    try:
        found = importlib.util.find_spec(root)
    except (ImportError, ValueError):  # a module that is missing, or made by hand
        return []
    if found is None:
        return []
    if found.submodule_search_locations is not None:
        return [Path(folder) for folder in found.submodule_search_locations]
    return [Path(found.origin)] if found.has_location else []
