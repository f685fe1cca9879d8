"""Builds the extension roibench._C. Everything else stands in pyproject.toml.

CUDA is built where nvcc is found and torch is a CUDA build; ROIBENCH_CUDA=0 leaves it out. ROIBENCH_SANITIZE=1 builds
for `make test-asan`. TORCH_CUDA_ARCH_LIST and MAX_JOBS mean what they mean to torch.
"""

import os
import re
import shutil
import subprocess
from pathlib import Path

import torch
from setuptools import setup


def cuda_toolkit() -> str | None:
    """The toolkit's folder as nvcc itself names it: nvcc may be a wrapper that lies somewhere else."""
    if os.environ.get("ROIBENCH_CUDA") == "0" or torch.version.cuda is None or not shutil.which("nvcc"):
        return None
    plan = subprocess.run(["nvcc", "--dryrun", "-x", "cu", os.devnull], capture_output=True, text=True).stderr
    top = re.search(r"TOP=(.*)", plan)
    return str(Path(top[1].strip()).resolve()) if top else None


os.environ.setdefault("MAX_JOBS", "2")
toolkit = cuda_toolkit()
if toolkit:
    os.environ["CUDA_HOME"] = toolkit
    os.environ.setdefault("TORCH_CUDA_ARCH_LIST", "8.0;9.0+PTX")

from torch.utils.cpp_extension import BuildExtension, CppExtension, CUDAExtension, include_paths  # noqa: E402 - CUDA_HOME

# A product and a sum in one instruction round differently from two. Where compilers fuse them as they like, SIMD levels
# and devices disagree in the last bit, and NMS keeps different boxes.
cxx = ["-O3", "-g0", "-std=c++20", "-Wall", "-Wextra"]
cxx += ["-ffp-contract=off", "-fno-math-errno", "-fno-trapping-math"]
cxx += [f"-isystem{path}" for path in include_paths()]  # warnings in torch's headers are torch's
link = []
if os.environ.get("ROIBENCH_SANITIZE") == "1":
    # Not vptr: it wants type information that torch's libraries don't give.
    link = ["-fsanitize=address,undefined,float-cast-overflow", "-fno-sanitize=vptr", "-fno-sanitize-recover=all"]
    cxx += [*link, "-O1", "-g", "-fno-omit-frame-pointer"]
nvcc = ["-O3", "-std=c++20", "--fmad=false"]


def sources(*patterns: str) -> list[str]:
    return sorted(str(path) for pattern in patterns for path in Path("csrc").glob(pattern))


if toolkit:
    cxx += [f'-DROIBENCH_CUDA_VERSION="{torch.version.cuda}"']
    cxx += [f'-DROIBENCH_CUDA_ARCHS="{os.environ["TORCH_CUDA_ARCH_LIST"]}"']
    files = sources("*.cpp", "autograd/*.cpp", "cpu/*.cpp", "cuda/*.cpp", "cuda/kernels/*.cu")
    extension = CUDAExtension("roibench._C", files, extra_compile_args={"cxx": cxx, "nvcc": nvcc})
else:
    files = sources("*.cpp", "autograd/*.cpp", "cpu/*.cpp")
    extension = CppExtension("roibench._C", files, extra_compile_args={"cxx": cxx}, extra_link_args=link)

setup(ext_modules=[extension], cmdclass={"build_ext": BuildExtension})
