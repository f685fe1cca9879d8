"""From a registered name to a model that can predict: build it for a dataset, load its weights, place it."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch

from roibench.dataset import DatasetInfo
from roibench.datasets.reference import DatasetRef
from roibench.model import Model, Placeable
from roibench.registry import Registry, UnknownNameError, resolve, unknown
from roibench.specs import ModelSpec
from roibench.weights import load_weights, shipped_weights


class NoWeightsError(LookupError):
    """A model that must be trained has no weights for a dataset; the message says how to get them."""


def usable_device(name: str) -> torch.device:
    """The device that a person named. Raises ValueError, saying what would be right, for one that isn't there."""
    try:
        device = torch.device(name)
    except RuntimeError:
        device = None
    if device is None or device.type not in ("cpu", "cuda"):
        raise ValueError(f"--device {name!r}: want cpu, cuda or cuda:N")
    if device.type == "cuda" and (device.index or 0) >= torch.cuda.device_count():
        found = torch.cuda.device_count() or "no"
        raise ValueError(f"--device {name!r}: {found} usable GPU; `roibench doctor` says what there is, and why")
    return device


def build_model(spec: ModelSpec, info: DatasetInfo, overrides: Mapping[str, Any] | None = None) -> Model:
    """An untrained model, configured as registered, with `overrides` on top, around the model inside, if any."""
    inner = () if spec.inner is None else (build_model(spec.inner, info),)
    return resolve(spec.build)(info, {**spec.config, **(overrides or {})}, *inner)


def find_weights(spec: ModelSpec, dataset: str, weights: Path | None, registry: Registry) -> Path | None:
    """The file to load: the given one, else what the plugin ships for this dataset (its bare name), else None for a
    model that learns nothing. Raises NoWeightsError, saying how to get some, for a model that does.
    """
    spec = spec.learns
    name = DatasetRef.parse(dataset).name
    if name not in registry.datasets:
        raise UnknownNameError(unknown("dataset", name, registry.datasets))
    path = weights or shipped_weights(spec, name, registry)
    if path is None and spec.recipe is not None:
        raise NoWeightsError(
            f"model {spec.name!r} has no weights for dataset {dataset!r}; "
            f"train some with `roibench train {spec.name} --dataset {dataset}` and pass them by --weights FILE"
        )
    if path is not None and not path.is_file():
        raise NoWeightsError(f"model {spec.name!r}: no file of weights at {path}")
    return path


def ready_model(spec: ModelSpec, info: DatasetInfo, weights: Path | None, device: torch.device) -> Model:
    """Builds, loads, places: in eval mode and channels-last, as every network here is measured, or as the
    model itself does."""
    model = build_model(spec, info)
    if weights is not None:
        load_weights(weights, model, spec, info.classes)
    if isinstance(model, Placeable):
        model.place(device)
    elif isinstance(model, torch.nn.Module):
        model.eval().to(device, memory_format=torch.channels_last)
    return model
