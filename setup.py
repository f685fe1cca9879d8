"""Builds the extension roibench._C. Everything else stands in pyproject.toml.

CUDA is built where torch is a CUDA build and nvcc, of the same major version, is on the PATH; what is missing stands in
build_info(). ROIBENCH_CUDA=0 leaves it out, ROIBENCH_CUDA=1 insists on it. ROIBENCH_SANITIZE=1 builds for
`make test-asan`. TORCH_CUDA_ARCH_LIST and MAX_JOBS mean what they mean to torch.
"""

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import torch
from setuptools import setup


def cuda_toolkit() -> tuple[str | None, str | None]:
    """The toolkit's folder as nvcc names it, because nvcc may be a wrapper that lies somewhere else; or why not."""
    if os.environ.get("ROIBENCH_CUDA") == "0":
        return None, "built with ROIBENCH_CUDA=0"
    if torch.version.cuda is None:
        return None, f"built for torch {torch.__version__}, a CPU build"
    if not shutil.which("nvcc"):
        return None, "no nvcc on the PATH when it was built"
    plan = subprocess.run(["nvcc", "--dryrun", "-x", "cu", os.devnull], capture_output=True, text=True).stderr
    version = subprocess.run(["nvcc", "--version"], capture_output=True, text=True).stdout
    top, release = re.search(r"TOP=(.*)", plan), re.search(r"release (\d+)\.\d+", version)
    if not top or not release:
        return None, "nvcc did not say which toolkit it belongs to"
    if release[1] != torch.version.cuda.split(".")[0]:
        return None, f"nvcc was of CUDA {release[1]}, torch of CUDA {torch.version.cuda}"
    return str(Path(top[1].strip()).resolve()), None


os.environ.setdefault("MAX_JOBS", "2")
toolkit, why_no_cuda = cuda_toolkit()
if not toolkit and os.environ.get("ROIBENCH_CUDA") == "1":
    raise SystemExit(f"ROIBENCH_CUDA=1, but CUDA can't be built: {why_no_cuda}")
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
if sys.platform == "linux":
    # Where a compiler links libstdc++ statically, the extension has a second one, and an error that prints a number
    # through torch's stream crashes. Named here, the shared one comes first.
    link += ["-l:libstdc++.so.6"]
nvcc = ["-O3", "-std=c++20", "--fmad=false"]


def sources(*patterns: str) -> list[str]:
    return sorted(str(path) for pattern in patterns for path in Path("csrc").glob(pattern))


if toolkit:
    cxx += [f'-DROIBENCH_CUDA_VERSION="{torch.version.cuda}"']
    cxx += [f'-DROIBENCH_CUDA_ARCHS="{os.environ["TORCH_CUDA_ARCH_LIST"]}"']
    files = sources("*.cpp", "autograd/*.cpp", "cpu/*.cpp", "cuda/*.cpp", "cuda/kernels/*.cu")
    extension = CUDAExtension("roibench._C", files, extra_compile_args={"cxx": cxx, "nvcc": nvcc}, extra_link_args=link)
else:
    cxx += [f'-DROIBENCH_CUDA_MISSING="{why_no_cuda}"']
    files = sources("*.cpp", "autograd/*.cpp", "cpu/*.cpp")
    extension = CppExtension("roibench._C", files, extra_compile_args={"cxx": cxx}, extra_link_args=link)

setup(ext_modules=[extension], cmdclass={"build_ext": BuildExtension})
