"""Weights on disk: safetensors whose header records what they are weights of, and how they came to be."""

import hashlib
from collections.abc import Mapping
from pathlib import Path
from textwrap import shorten

import torch
from pydantic import BaseModel, ValidationError
from safetensors import SafetensorError, safe_open
from safetensors.torch import save
from torch import Tensor

from roibench.files import write_atomically
from roibench.model import Model, Wrapper
from roibench.registry import Registry
from roibench.specs import ModelSpec

HEADER_KEY = "roibench"


class WeightsError(ValueError):
    """A file of weights doesn't fit the model that should load it."""


class WeightsHeader(BaseModel):
    """What stands in the file's header.

    model: its registered name.
    dataset: the dataset's name.
    data_hash: of the training split.
    classes: names in label order.
    joints: names in order, of a dataset that has them.
    config: ModelSpec.config as it was.
    recipe: every field of the Recipe that ran.
    seed: of the training.
    precision: what it computed in.
    threads: how many torch used.
    roibench: the version.
    torch: the version.
    warm_start: SHA-256 of the weights that training began with; None if it began from scratch.
    teacher: SHA-256 of the weights of the model that taught this one, which aren't in the file; None if none did.
    final_losses: means over the last epoch.
    """

    model: str
    dataset: str
    data_hash: str
    classes: tuple[str, ...]
    joints: tuple[str, ...] = ()
    config: dict
    recipe: dict
    seed: int
    precision: str
    threads: int
    roibench: str
    torch: str
    warm_start: str | None = None
    teacher: str | None = None
    final_losses: dict[str, float] = {}


def save_weights(path: Path, state: Mapping[str, Tensor], header: WeightsHeader) -> None:
    """Writes floating-point tensors as float16, the rest as they are: half the size, and accurate to 1 in 2,000."""
    tensors = {
        name: (value.half() if value.is_floating_point() else value).detach().cpu().contiguous()
        for name, value in state.items()
    }
    write_atomically(path, save(tensors, metadata={HEADER_KEY: header.model_dump_json()}))


def read_header(path: Path) -> WeightsHeader:
    """Raises WeightsError where the file isn't one of ours."""
    try:
        with safe_open(path, framework="pt") as file:
            text = (file.metadata() or {}).get(HEADER_KEY)
    except (SafetensorError, OSError) as error:
        raise WeightsError(f"weights {path}: not a readable safetensors file ({error})") from error
    if text is None:
        raise WeightsError(f"weights {path}: no {HEADER_KEY!r} header; want a file that `roibench train` wrote")
    try:
        return WeightsHeader.model_validate_json(text)
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(map(str, first["loc"])) or "as a whole"
        raise WeightsError(
            f"weights {path}: header {HEADER_KEY!r}, {where}: {first['msg']}; want a file that `roibench train` wrote"
        ) from error


def load_weights(path: Path, model: Model, spec: ModelSpec, classes: tuple[str, ...]) -> WeightsHeader:
    """Loads a file into a model as float32. Raises WeightsError, saying which differ, for another model or classes."""
    header = read_header(path)
    if header.model != spec.learns.name:
        raise WeightsError(f"weights {path}: of model {header.model!r}, want {spec.learns.name!r}")
    if header.classes != classes:
        raise WeightsError(
            f"weights {path}: trained for classes {list(header.classes)}, the dataset has {list(classes)}"
        )
    saved = _read_tensors(path, model)
    state = {name: value.float() if value.is_floating_point() else value for name, value in saved.items()}
    try:
        model.load_state_dict(state)
    except RuntimeError as error:
        raise WeightsError(f"weights {path}: other shapes than the model's: {shorten(str(error), 400)}") from error
    return header


def load_shared(path: Path, model: Model) -> None:
    """Loads what a file and a model have in common: tensors of the same name and shape; the rest of the model stays.

    Raises WeightsError where that is nothing.
    """
    state, saved = model.state_dict(), _read_tensors(path, model)
    shared = {
        name: saved[name].to(value.dtype)
        for name, value in state.items()
        if name in saved and saved[name].shape == value.shape
    }
    if not shared:
        raise WeightsError(f"weights {path}: nothing in it has the name and shape of a part of {type(model).__name__}")
    model.load_state_dict({**state, **shared})


def _read_tensors(path: Path, model: Model) -> dict[str, Tensor]:
    """A file's tensors under the names that the model has for them today.

    A model whose parts were renamed lists them as `renamed_parameters`, a mapping of former prefixes to present ones,
    so that files that were saved before go on being loaded.
    """
    while isinstance(model, Wrapper):
        model = model.inner
    renamed: Mapping[str, str] = getattr(model, "renamed_parameters", {})
    with safe_open(path, framework="pt") as file:
        return {_present_name(name, renamed): file.get_tensor(name) for name in file.keys()}  # noqa: SIM118 - not a dict


def _present_name(name: str, renamed: Mapping[str, str]) -> str:
    for former, present in renamed.items():
        if f"{name}.".startswith(f"{former}."):
            return present + name.removeprefix(former)
    return name


def shipped_weights(spec: ModelSpec, dataset: str, registry: Registry) -> Path | None:
    """The file that the model's plugin ships for a dataset (by its bare name), or None."""
    file = spec.weights.get(dataset)
    if file is None:
        return None
    return plugin_folder(registry.origin["ModelSpec", spec.name], registry) / file


def plugin_folder(plugin: str, registry: Registry) -> Path:
    """Where the files lie that a plugin's models name."""
    module = registry.modules[plugin]
    return Path(module.__file__).parent if module.__file__ else Path(next(iter(module.__path__)))


def state_hash(state: Mapping[str, Tensor]) -> str | None:
    """SHA-256 of what a model holds, wherever it found that; None if it shows nothing."""
    digest = hashlib.sha256()
    for name, value in sorted(state.items()):
        digest.update(f"{name} {value.dtype} {list(value.shape)}\n".encode())
        digest.update(value.detach().cpu().contiguous().flatten().view(torch.uint8).numpy())
    return digest.hexdigest() if state else None
