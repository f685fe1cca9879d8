"""What a person types for a model from outside: SCHEME:REST, such as onnx:best.onnx or torchvision:ssd300_vgg16."""

import importlib
import importlib.util
import re
from collections.abc import Mapping
from dataclasses import dataclass, replace
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Self

import yaml

from roibench.specs import ModelSpec

# What a package that not everybody needs is an extra of; None: of nothing of ours.
EXTRAS = {
    "onnxruntime": "onnx",
    "openvino": "openvino",
    "onnx": "export",
    "onnxscript": "export",
    "transformers": "hf",
    "timm": "timm",
    "ultralytics": None,
    "ray": "cluster",
    "altair": "page",
    "pynvml": "energy",
}
CLASS_MAP = "class_map"  # the key of a model's config that holds what --class-map told


class MissingExtraError(ValueError):
    """A package that a model needs isn't installed; the message names the extra that brings it."""


@dataclass(frozen=True)
class Source:
    """A model from outside as typed. scheme: of a registered SourceSpec; rest: what follows the colon."""

    scheme: str
    rest: str

    @classmethod
    def parse(cls, text: str) -> Self | None:
        """None where the text is the name of a registered model, or a pattern: those have no colon."""
        found = re.fullmatch(r"(\w+):(.+)", text, re.DOTALL)
        return None if found is None else cls(found[1], found[2])

    @classmethod
    def inside(cls, text: str) -> Self | None:
        """Of WRAPPER@SCHEME:REST, too: what the wrapper goes around."""
        return cls.parse(text[text.partition(":")[0].rfind("@") + 1 :])

    def __str__(self) -> str:
        return f"{self.scheme}:{self.rest}"


def need(package: str, what: str) -> str:
    """The version of one of EXTRAS. Raises MissingExtraError, saying what needs it, where it can't be imported."""
    if importlib.util.find_spec(package) is None:
        raise MissingExtraError(f"{what} needs the package {package}, which isn't installed: {how_to_install(package)}")
    try:
        return version(package)
    except PackageNotFoundError:  # of another distribution, such as onnxruntime-gpu
        return str(getattr(importlib.import_module(package), "__version__", "of unknown version"))


def how_to_install(package: str) -> str:
    """One of EXTRAS."""
    extra = EXTRAS[package]
    return f"pip install 'roibench[{extra}]'" if extra else f"pip install {package}"


def read_class_map(file: Path) -> dict[str, str | None]:
    """Of --class-map FILE: a model's name of a class -> the dataset's, or null for one that is left out.

    Raises ValueError for a file that holds anything else.
    """
    try:
        content = yaml.safe_load(file.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError, yaml.YAMLError) as error:
        raise ValueError(f"--class-map {file}: can't be read: {' '.join(str(error).split())}") from error
    if not isinstance(content, dict) or not content:
        raise ValueError(f"--class-map {file}: want lines of `model's name: dataset's name`, such as `tvmonitor: tv`")
    for own, theirs in content.items():
        if not isinstance(own, str) or not isinstance(theirs, str | None):
            raise ValueError(f"--class-map {file}: {own!r}: {theirs!r}: want two names, or a name and null")
    return content


def with_class_map(spec: ModelSpec, table: Mapping[str, str | None]) -> ModelSpec:
    """The model with its classes mapped so; one that isn't from outside, as it is."""
    if spec.inner is not None:
        return replace(spec, inner=with_class_map(spec.inner, table))
    if spec.outside is None or spec.outside.classes is None:
        return spec
    return replace(spec, config={**spec.config, CLASS_MAP: dict(table)})
