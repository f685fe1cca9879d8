"""PTX text -> functions, their variables and their statements."""

import re
from dataclasses import dataclass, field

TYPE = r"\.(?:[usbf]\d+|pred)"


@dataclass(frozen=True)
class Variable:
    """A shared, constant, local or parameter variable; `values` are its initial elements."""

    name: str
    space: str
    type: str
    alignment: int
    count: int | None
    values: str | None = None


@dataclass(frozen=True)
class Instruction:
    """`@!%p1 ld.global.v2.b32 {%r1, %r2}, [%rd1+8];` and where in the .cu file it came from."""

    predicate: str | None
    opcode: tuple[str, ...]
    operands: tuple[str, ...]
    file: str
    line: int
    text: str


@dataclass(frozen=True)
class Label:
    name: str


@dataclass(frozen=True)
class Brace:
    which: str


@dataclass(frozen=True)
class Registers:
    """`.reg .b32 %r<5>;`"""

    type: str
    names: tuple[str, ...]


@dataclass
class Function:
    name: str
    is_kernel: bool
    parameters: list[Variable]
    returned: list[Variable]
    most_threads: int | None  # of __launch_bounds__
    body: list[Instruction | Label | Brace | Registers | Variable] = field(default_factory=list)


@dataclass
class Module:
    variables: list[Variable]
    functions: list[Function]


def parse(text: str) -> Module:
    """Raises ValueError for what is not understood."""
    text = re.sub(r"/\*.*?\*/", "", text, flags=re.DOTALL)
    text = re.sub(r"//[^\n]*", "", text)
    files = dict(re.findall(r'^\s*\.file\s+(\d+)\s+"([^"]+)"', text, re.MULTILINE))
    module = Module([], [])
    head = re.compile(r"^(?:\.(?:visible|weak|extern|common)\s+)*\.(entry|func)\b", re.MULTILINE)
    position, outside = 0, []
    while found := head.search(text, position):
        outside.append(text[position : found.start()])
        opening = re.compile(r"[{;]").search(text, found.end())
        if text[opening.start()] == ";":  # a declaration: the definition follows
            position = opening.end()
            continue
        end = _closing(text, opening.start())
        signature = text[found.end() : opening.start()]
        module.functions.append(_function(found[1], signature, text[opening.end() : end], files))
        position = end + 1
    outside.append(text[position:].split(".section")[0])
    for statement in "".join(outside).split(";"):
        if variable := _variable(statement.strip().splitlines()[-1] if statement.strip() else ""):
            module.variables.append(variable)
    return module


def _closing(text: str, opening: int) -> int:
    depth = 0
    for brace in re.finditer(r"[{}]", text[opening:]):
        depth += 1 if brace[0] == "{" else -1
        if depth == 0:
            return opening + brace.start()
    raise ValueError("PTX ends inside a function")


def _function(kind: str, signature: str, body: str, files: dict[str, str]) -> Function:
    found = re.match(r"\s*(?:\(([^)]*)\)\s*)?([\w$.]+)\s*(?:\(([^)]*)\))?(.*)", signature, re.DOTALL)
    returned, parameters = (
        [v for part in (text or "").split(",") if (v := _variable(part.strip()))] for text in (found[1], found[3])
    )
    threads = None
    if limit := re.search(r"\.(?:maxntid|reqntid)\s+([\d, ]+)", found[4]):
        threads = 1
        for size in limit[1].split(","):
            threads *= int(size)
    function = Function(found[2], kind == "entry", parameters, returned, threads)
    function.body = list(_statements(body, files))
    return function


def _variable(text: str) -> Variable | None:
    """`.shared .align 4 .b8 tile[128]`, also as a parameter: `.param .u64 .ptr .global .align 4 name`."""
    text = re.sub(r"\.ptr\b(?:\s+\.(?!align)\w+)?", "", text)
    found = re.fullmatch(
        rf"(?:\.(?:visible|weak|extern|common)\s+)*\.(shared|global|const|local|param)\s+(?:\.align\s+(\d+)\s+)?"
        rf"({TYPE})\s+(?:\.align\s+(\d+)\s+)?([\w$.]+)(?:\[(\d*)\])?(?:\s*=\s*\{{?(.*?)\}}?)?",
        text.strip(),
        re.DOTALL,
    )
    if not found:
        return None
    count = None if found[6] is None else int(found[6] or "0")
    return Variable(found[5], found[1], found[3][1:], int(found[2] or found[4] or "1"), count, found[7])


def _statements(body: str, files: dict[str, str]):
    file, line = "?", 0
    pending = ""
    for raw in body.splitlines():
        text = raw.strip()
        if text.startswith(".loc"):
            file, line = _location(text, files)
            continue
        pending = f"{pending} {text}".strip()
        while pending:
            if pending[0] in "{}":
                yield Brace(pending[0])
                pending = pending[1:].strip()
            elif found := re.match(r"([\w$]+):\s*(.*)", pending, re.DOTALL):
                yield Label(found[1])
                pending = found[2]
            elif ";" in pending:
                statement, _, pending = pending.partition(";")
                pending = pending.strip()
                yield from _statement(statement.strip(), file, line)
            else:
                break


def _location(text: str, files: dict[str, str]) -> tuple[str, int]:
    """Of `.loc 2 373 3, function_name $L, inlined_at 1 31 25`: for what is in CUDA's own headers, who called it."""
    places = re.findall(r"(?:\.loc|inlined_at)\s+(\d+)\s+(\d+)", text)
    found = [(files.get(number, "?"), int(line)) for number, line in places]
    return next((place for place in found if "/include/" not in place[0]), found[0])


def _statement(text: str, file: str, line: int):
    if not text or text.startswith((".pragma", ".branchtargets")):
        return
    if found := re.fullmatch(rf"\.reg\s+({TYPE})\s+(.*)", text, re.DOTALL):
        yield Registers(found[1][1:], tuple(_register_names(found[2])))
    elif variable := _variable(text):
        yield variable
    elif found := re.fullmatch(r"(?:@(!?%?[\w$]+)\s+)?([\w.:]+)\s*(.*)", text, re.DOTALL):
        operands = re.findall(r"\{[^}]*\}|\[[^\]]*\]|\([^)]*\)|[^,\s{}()\[\]]+(?:\+-?\w+)?", found[3])
        yield Instruction(found[1], tuple(found[2].split(".")), tuple(operands), file, line, text)
    else:
        raise ValueError(f"cannot read the PTX statement {text!r}")


def _register_names(text: str):
    for name in text.split(","):
        found = re.fullmatch(r"%?([\w$]+)(?:<(\d+)>)?", name.strip())
        yield from [found[1]] if found[2] is None else [f"{found[1]}{i}" for i in range(int(found[2]))]
