"""Where and with what a record was made."""

import hashlib
import os
import platform
import subprocess
from functools import cache
from pathlib import Path

import torch
import torchvision

import roibench
from roibench import ops
from roibench.files import tree_hash
from roibench.measure.plugin_state import plugin_states
from roibench.measure.record import Provenance
from roibench.registry import Registry


def provenance(registry: Registry) -> Provenance:
    """This machine and its software, and the plugins with their files as they are now."""
    return _surroundings().model_copy(update={"plugins": plugin_states(registry)})


@cache
def _surroundings() -> Provenance:
    cuda = torch.cuda.is_available()
    commit, changes = source_state()
    return Provenance(
        roibench=roibench.__version__,
        torch=torch.__version__,
        torchvision=torchvision.__version__,
        python=platform.python_version(),
        commit=commit,
        dirty=None if commit is None else bool(changes),
        platform=platform.platform(),
        cpu=cpu_name(),
        cores=os.cpu_count() or 1,
        simd_level=ops.simd_level(),
        gpu=torch.cuda.get_device_name() if cuda else None,
        driver=_run("nvidia-smi", "--query-gpu=driver_version", "--format=csv,noheader") if cuda else None,
        cuda=torch.version.cuda if cuda else None,
    )


def cpu_name() -> str:
    """The processor as it calls itself."""
    info = Path("/proc/cpuinfo")
    if info.exists():
        for line in info.read_text().splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    return platform.processor() or platform.machine()


def source_state() -> tuple[str | None, str]:
    """The git commit that this package runs from, and a digest of what differs from it ("" for nothing).

    (None, a digest of its files) where the package isn't run from a checkout of its own.
    """
    here = Path(__file__).parent
    if _run("git", "-C", str(here), "ls-files", "--error-unmatch", Path(__file__).name) is None:
        return None, tree_hash([Path(roibench.__file__).parent])
    commit = _run("git", "-C", str(here), "rev-parse", "HEAD")
    changes = (_run("git", "-C", str(here), "status", "--porcelain") or "") + (
        _run("git", "-C", str(here), "diff", "HEAD") or ""
    )
    return commit, hashlib.sha256(changes.encode()).hexdigest() if changes else ""


def _run(*command: str) -> str | None:
    """A command's output, None if it fails or isn't there."""
    try:
        done = subprocess.run(command, capture_output=True, text=True, check=True, timeout=20)
    except (OSError, subprocess.SubprocessError):
        return None
    return done.stdout.strip()
