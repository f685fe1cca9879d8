"""Functions of PTX -> C++ functions that do the same on the emulator."""

import re
from collections.abc import Iterator

from simt.ptx.instructions import Scope, instruction
from simt.ptx.parse import Brace, Function, Instruction, Label, Module, Registers, Variable, parse

WIDTHS = {"pred": "bool", "8": "uint8_t", "16": "uint16_t", "32": "uint32_t", "64": "uint64_t"}


PART = 4000  # lines, about a second for a compiler


def translate(text: str) -> list[str]:
    """C++ for one file of PTX, in parts that are compiled each by itself. They register their kernels with the
    emulator, which then runs them in place of g++'s.

    Raises ValueError, naming the statement, for PTX that it doesn't know.
    """
    module = parse(text)
    devices = [f for f in module.functions if not f.is_kernel]
    head = ['#include "ptx.h"', "", "namespace {", ""]
    head += [_constant(v) for v in module.variables if v.space in ("global", "const")]
    head += [f"void {name(f.name)}(void** parameters, void** returned);" for f in devices]
    for function in devices:
        head += ["", *_function(function, module)]
    parts: list[list[str]] = []
    for function in module.functions:
        if function.is_kernel:
            if not parts or len(parts[-1]) > PART:
                parts.append([])
            parts[-1] += ["", *_function(function, module)]
    return ["\n".join([*head, *part, "", "}  // namespace", ""]) for part in parts]


def name(text: str) -> str:
    """A PTX identifier as a C++ one."""
    return re.sub(r"[^\w]", "_", text.removeprefix("%"))


def _constant(variable: Variable) -> str:
    if variable.values is None:
        raise ValueError(f"{variable.name}: kernels that share a variable in global memory are not supported")
    size = variable.count or 1
    element = WIDTHS[variable.type[1:]]
    return f"alignas({variable.alignment}) const {element} {name(variable.name)}[{size}] = {{{variable.values}}};"


def _function(function: Function, module: Module) -> Iterator[str]:
    returned = "" if function.is_kernel else ", [[maybe_unused]] void** returned"
    yield f"void {name(function.name)}([[maybe_unused]] void** parameters{returned}) {{"
    scope = Scope({}, {}, name)
    for space, variables in (("parameters", function.parameters), ("returned", function.returned)):
        for i, variable in enumerate(variables):
            scope.parameters[variable.name] = f"static_cast<unsigned char*>({space}[{i}])"
    for variable in module.variables:
        if variable.space == "shared":
            yield from _shared(variable, scope)
        elif variable.space in ("global", "const"):
            scope.symbols[variable.name] = f"reinterpret_cast<uint64_t>({name(variable.name)})"
    # C++ doesn't let a goto pass the beginning of a variable, so those of the outermost block come first.
    outermost = list(_outermost(function.body))
    for statement in outermost:
        match statement:
            case Registers():
                yield _registers(statement)
            case Variable(space="shared"):
                yield from _shared(statement, scope)
            case Variable(space="local"):
                yield from _local(statement, scope)
    file_line = None
    for statement in function.body:
        match statement:
            case Brace():
                yield statement.which
            case Label():
                yield f"{name(statement.name)}:;"
            case Registers() if statement not in outermost:
                yield _registers(statement)
            case Variable(space="param"):  # an argument or a result of a call
                size = int(statement.type[1:]) // 8 * (statement.count or 1)
                scope.parameters[statement.name] = name(statement.name)
                yield f"alignas({max(statement.alignment, 8)}) unsigned char {name(statement.name)}[{size}];"
            case Instruction():
                if (statement.file, statement.line) != file_line:
                    file_line = statement.file, statement.line
                    yield f'#line {statement.line} "{statement.file}"'
                code = instruction(statement, scope)
                if statement.predicate:
                    negated = "!" if statement.predicate.startswith("!") else ""
                    code = f"if ({negated}{name(statement.predicate.lstrip('!'))}) {{ {code} }}"
                yield f"  {code}"
    yield "}"
    if function.is_kernel:
        kernel, threads = name(function.name), function.most_threads or 1024
        yield f'const simt::Replacement {kernel}_registered("{function.name}", &{kernel}, {threads});'


def _outermost(body: list) -> Iterator[Registers | Variable]:
    depth = 0
    for statement in body:
        match statement:
            case Brace():
                depth += 1 if statement.which == "{" else -1
            case Registers() | Variable() if depth == 0:
                yield statement


def _registers(registers: Registers) -> str:
    width = WIDTHS[registers.type if registers.type == "pred" else registers.type[1:]]
    return f"  [[maybe_unused]] {width} {', '.join(name(n) for n in registers.names)};"


def _shared(variable: Variable, scope: Scope) -> Iterator[str]:
    shared = name(variable.name)
    if not variable.count and variable.count is not None:  # `extern __shared__`: the launch decides how much
        scope.symbols[variable.name] = "ptx::dynamic_variable()"
        return
    size = int(variable.type[1:]) // 8 * (variable.count or 1)
    scope.symbols[variable.name] = (
        f"ptx::shared_variable(&{shared}_declaration, {size}, {variable.alignment}, SIMT_HERE)"
    )
    yield f"  static const char {shared}_declaration = 0;"


def _local(variable: Variable, scope: Scope) -> Iterator[str]:
    size = int(variable.type[1:]) // 8 * (variable.count or 1)
    scope.symbols[variable.name] = f"reinterpret_cast<uint64_t>({name(variable.name)})"
    yield f"  alignas({variable.alignment}) unsigned char {name(variable.name)}[{size}];"
