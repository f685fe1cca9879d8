"""A library of kernel launchers, callable from Python. What it exports, with which arguments, is read from itself."""

import ctypes
import re
from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from simt.build import Lane, tool
from simt.build import library as build
from simt.watched import Watched

SCALARS = {
    "bool": ctypes.c_bool,
    "int": ctypes.c_int,
    "unsigned int": ctypes.c_uint,
    "long": ctypes.c_int64,
    "unsigned long": ctypes.c_uint64,
    "float": ctypes.c_float,
    "double": ctypes.c_double,
}
ELEMENTS = {
    "bool": {torch.bool},
    "unsigned char": {torch.uint8, torch.bool},
    "int": {torch.int32},
    "long": {torch.int64},
    "unsigned long": {torch.int64, torch.uint64},
    "unsigned long long": {torch.int64, torch.uint64},
    "float": {torch.float32},
    "double": {torch.float64},
    "short": {torch.int16},
    "__half": {torch.float16},
    "__nv_bfloat16": {torch.bfloat16},
}
NAMES = {torch.float32: "float", torch.float64: "double", torch.float16: "__half", torch.bfloat16: "__nv_bfloat16"}


class KernelError(Exception):
    """A launch that the emulator refused or broke off."""


class Loaded:
    """A library in this process."""

    def __init__(self, path: Path) -> None:
        self._library = ctypes.CDLL(str(path))
        self._library.simt_error.restype = ctypes.c_char_p

    def call(self, symbol: str, seed: int, arguments: list[tuple[Any, bool]]) -> str:
        """Calls a launcher with (argument, whether it is passed by reference); returns what is wrong, or nothing."""
        self._library.simt_seed(ctypes.c_uint(seed))
        failed = self._library[symbol](*(self._passed(*argument) for argument in arguments), None)
        return self._library.simt_error().decode() if failed else ""

    @staticmethod
    def _passed(value: Any, by_reference: bool) -> Any:
        if value is None or isinstance(value, Tensor):
            return ctypes.c_void_p(None if value is None else value.data_ptr())
        return ctypes.byref(value) if by_reference else value


@dataclass(frozen=True)
class Launcher:
    """One exported function. Tensors are passed for pointers, ctypes structures for structures, numbers for the rest;
    the stream, always the last parameter, is left out. A structure that holds pointers has an attribute `tensors`, a
    list of what they point to. Raises KernelError if the launch fails or a sanitizer reports something."""

    kernels: "Kernels"
    symbol: str
    name: str
    parameters: tuple[str, ...]

    def __call__(self, *arguments: Any) -> None:
        if len(arguments) != len(self.parameters) - 1:
            raise TypeError(f"{self.name} takes ({', '.join(self.parameters[:-1])}), got {len(arguments)} arguments")
        pairs = enumerate(zip(self.parameters, arguments, strict=False))
        checked = [(self._checked(i, kind, argument), kind.endswith("&")) for i, (kind, argument) in pairs]
        if error := self.kernels.library.call(self.symbol, self.kernels.seed, checked):
            raise KernelError(error)

    def _checked(self, i: int, kind: str, argument: Any) -> Any:
        if not kind.endswith("*"):
            if isinstance(argument, ctypes.Structure):
                return argument
            return SCALARS.get(kind, ctypes.c_int)(argument)  # an enumeration is an int
        element = kind.rstrip("* ").removesuffix("const").strip()
        if argument is not None and element != "void" and argument.dtype not in ELEMENTS[element]:
            raise TypeError(f"{self.name}: argument {i} is {kind}, got a tensor of {argument.dtype}")
        if argument is not None and not argument.is_contiguous():
            raise TypeError(f"{self.name}: argument {i} must be contiguous")
        return argument


class Kernels:
    """`kernels.box_iou(...)` calls the launcher of that name, `kernels.box_iou[torch.float32](...)` its instance of a
    template. `seed` decides the order of threads and the garbage in fresh shared memory."""

    def __init__(self, lane: Lane, sources: Iterable[Path] | None = None) -> None:
        path = build(lane, sources)
        self.library = Watched(lane, path) if lane.sanitizer else Loaded(path)
        self.seed = 0
        self._launchers: dict[str, dict[str, Launcher]] = defaultdict(dict)
        for symbol, signature in _exported(path):
            found = re.fullmatch(r"(?:int )?(?:\w+::)*(\w+)(?:<(.*?)>)?\((.*)\)", signature)
            if found and found[3].endswith("CUstream_st*"):
                launcher = Launcher(self, symbol, found[1], tuple(_split(found[3])))
                self._launchers[found[1]][found[2] or ""] = launcher

    def __getattr__(self, name: str) -> "Instances":
        if name not in self._launchers:
            raise AttributeError(f"no launcher {name}; there are {', '.join(sorted(self._launchers))}")
        return Instances(name, self._launchers[name])


@dataclass(frozen=True)
class Instances:
    """The launchers of one name, by their template arguments as C++ writes them, or by one dtype."""

    name: str
    by_type: dict[str, Launcher]

    def __getitem__(self, types: torch.dtype | str) -> Launcher:
        key = NAMES.get(types, types)
        if key not in self.by_type:
            raise KeyError(f"no {self.name}<{key}>; there are {', '.join(sorted(self.by_type))}")
        return self.by_type[key]

    def __call__(self, *arguments: Any) -> None:
        self[""](*arguments)


def _exported(path: Path) -> list[tuple[str, str]]:
    """(symbol, its C++ signature) of every function in a library."""

    def names(*flags: str) -> list[str]:
        listed = tool(["nm", "-DP", "--defined-only", *flags, path], check=True).stdout
        return [re.sub(r" [A-Za-z](?: [0-9a-f]+)*\s*$", "", line) for line in listed.splitlines()]

    return list(zip(names(), names("-C"), strict=True))


def _split(parameters: str) -> list[str]:
    """At the commas that stand in no brackets."""
    depth, parts = 0, [""]
    for character in parameters:
        depth += (character in "<(") - (character in ">)")
        if character == "," and depth == 0:
            parts.append("")
        else:
            parts[-1] += character
    return [part.strip() for part in parts]
