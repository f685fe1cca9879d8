"""Builds the extension roibench._C. Everything else stands in pyproject.toml.

ROIBENCH_CUDA=0 leaves CUDA out; otherwise it is built where nvcc is found and torch is a CUDA build.
"""

import os
from pathlib import Path

from setuptools import setup
from torch.utils.cpp_extension import BuildExtension, CppExtension, include_paths

os.environ.setdefault("MAX_JOBS", "2")

# A contracted a * b + c would round differently on each SIMD level, and NMS would keep different boxes.
CXX_FLAGS = ["-O3", "-g0", "-std=c++20", "-Wall", "-Wextra", "-fno-math-errno", "-fno-trapping-math", "-ffp-contract=off"]
CXX_FLAGS += [f"-isystem{path}" for path in include_paths()]  # their warnings are not ours


def sources(*folders: str) -> list[str]:
    return sorted(str(path) for folder in folders for path in Path(folder).glob("*.c[pu]*"))


setup(
    ext_modules=[
        CppExtension("roibench._C", sources("csrc", "csrc/cpu"), extra_compile_args={"cxx": CXX_FLAGS}),
    ],
    cmdclass={"build_ext": BuildExtension},
)
