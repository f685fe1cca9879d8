"""What each PTX instruction is in C++: mostly one call of a function in ptx.h."""

import re
from collections.abc import Callable
from dataclasses import dataclass

from simt.ptx.parse import Instruction

TYPES = {
    **{f"{kind}{width}": f"uint{width}_t" for kind in "ub" for width in (8, 16, 32, 64)},
    **{f"s{width}": f"int{width}_t" for width in (8, 16, 32, 64)},
    "f16": "__half",
    "bf16": "__nv_bfloat16",
    "f32": "float",
    "f64": "double",
    "pred": "bool",
}
SPECIAL = {"%tid": "threadIdx", "%ctaid": "blockIdx", "%ntid": "blockDim", "%nctaid": "gridDim"}
ROUNDING = {"rz": "FE_TOWARDZERO", "rm": "FE_DOWNWARD", "rp": "FE_UPWARD"}
TO_WHOLE = {"rni": "std::nearbyint", "rzi": "std::trunc", "rmi": "std::floor", "rpi": "std::ceil"}
COMPARE = {"eq": "==", "ne": "!=", "lt": "<", "le": "<=", "gt": ">", "ge": ">="}
COMPARE |= {"lo": "<", "ls": "<=", "hi": ">", "hs": ">="}
LOGIC = {"and": "&", "or": "|", "xor": "^"}

# Opcodes whose operands all have the instruction's type, as C++ expressions of {0}, {1}, ...; T is that type.
PLAIN = {
    **{op: f"ptx::{op}<T>({{0}}, {{1}})" for op in ("add", "sub", "div", "rem", "min", "max")},
    **{op: f"ptx::{op}<T>({{0}})" for op in ("neg", "abs", "popc", "clz", "bfind", "brev")},
    **{op: f"T({{0}} {sign} {{1}})" for op, sign in LOGIC.items()},
    "not": "ptx::not_<T>({0})",
    "mov": "{0}",
    "cvta": "{0}",
    "fma": "ptx::fma<T>({0}, {1}, {2})",
    "prmt": "ptx::prmt({0}, {1}, {2})",
    "lop3": "ptx::lop3({0}, {1}, {2}, {3})",
    "copysign": "std::copysign({1}, {0})",
    "sqrt": "std::sqrt({0})",
    "rsqrt": "T(1 / std::sqrt({0}))",
    "rcp": "T(1 / {0})",
    "ex2": "std::exp2({0})",
    "lg2": "std::log2({0})",
    "sin": "std::sin({0})",
    "cos": "std::cos({0})",
    "tanh": "std::tanh({0})",
}
# Read-modify-write, of `before` and the operands {0}, {1}.
ATOMIC = {
    "add": "T(before + {0})",
    "min": "ptx::min<T>(before, {0})",
    "max": "ptx::max<T>(before, {0})",
    **{op: f"T(before {sign} {{0}})" for op, sign in LOGIC.items()},
    "exch": "{0}",
    "cas": "before == {0} ? {1} : before",
    "inc": "ptx::atomic_inc<T>(before, {0})",
}
SHUFFLE = {"idx": "index", "up": "up", "down": "down", "bfly": "xor"}


@dataclass
class Scope:
    """What names mean in a function: where its parameters lie, and the addresses of its variables."""

    parameters: dict[str, str]
    symbols: dict[str, str]
    name: Callable[[str], str]

    def read(self, operand: str, type_: str) -> str:
        """An operand as a value of a PTX type."""
        t = TYPES[type_]
        if found := re.fullmatch(r"0[fF]([0-9A-Fa-f]{8})", operand):
            return f"ptx::value<{t}>(uint32_t(0x{found[1]}))"
        if found := re.fullmatch(r"0[dD]([0-9A-Fa-f]{16})", operand):
            return f"ptx::value<{t}>(uint64_t(0x{found[1]}))"
        if re.fullmatch(r"-?(0x[0-9A-Fa-f]+|\d+)U?", operand):
            number = int(operand.rstrip("U"), 0) & (2**64 - 1)
            return f"ptx::value<{t}>(uint64_t({number}u))"
        if operand.startswith("!"):
            return f"!{self.name(operand[1:])}"
        if operand == "%laneid":
            return f"{t}(simt::lane())"
        if operand == "WARP_SZ":
            return f"{t}(32)"
        if found := re.fullmatch(r"(%\w+)\.([xyz])", operand):
            return f"{t}({SPECIAL[found[1]]}.{found[2]})"
        if found := re.fullmatch(r"([\w$.]+)\+(\d+)", operand):
            return f"{t}({self.symbols[found[1]]} + {found[2]})"
        if operand in self.symbols:
            return f"{t}({self.symbols[operand]})"
        return f"ptx::value<{t}>({self.name(operand)})"

    def address(self, operand: str, space: str) -> str:
        """`[%rd1+8]` as a 64-bit address."""
        base, _, offset = operand.strip("[]").replace(" ", "").partition("+")
        if space == "param":
            return f"reinterpret_cast<uint64_t>({self.parameters[base]} + {offset or 0})"
        if space == "shared":
            return f"ptx::in_window({self.read(base, 'u32')} + ({offset or 0}))"
        return f"({self.read(base, 'u64')} + ({offset or 0}))"


def instruction(i: Instruction, scope: Scope) -> str:
    """One statement of C++. Raises ValueError for an instruction that isn't known."""
    for reader in (_control, _memory, _synchronization, _arithmetic):
        if code := reader(i, i.opcode, i.operands, scope):
            return code
    raise ValueError(f"{i.file}:{i.line}: no translation for the PTX instruction {i.text!r}")


def _site(i: Instruction) -> str:
    return f'simt::Site{{"{i.file}", {i.line}}}'


def _set(scope: Scope, to: str, value: str) -> str:
    return "" if to == "_" else f"ptx::set({scope.name(to)}, {value});"


def _control(i: Instruction, op: tuple[str, ...], a: tuple[str, ...], scope: Scope) -> str | None:
    match op[0]:
        case "bra":
            return f"goto {scope.name(a[0])};"
        case "ret" | "exit":
            return "return;"
        case "trap":
            return f'simt::fail("trap: an assertion of the kernel failed", {_site(i)});'
        case "call":
            lists = [[x.strip() for x in part.strip("()").split(",") if x.strip()] for part in a if part[0] == "("]
            returned, arguments = lists if a[0][0] == "(" else ([], lists[0] if lists else [])
            callee = next(x for x in a if x[0] != "(")
            passed = ", ".join([*(scope.parameters[x] for x in arguments), "nullptr"])
            results = ", ".join([*(scope.parameters[x] for x in returned), "nullptr"])
            return f"{{ void* in[] = {{{passed}}}; void* out[] = {{{results}}}; {scope.name(callee)}(in, out); }}"
    return None


def _memory(i: Instruction, op: tuple[str, ...], a: tuple[str, ...], scope: Scope) -> str | None:
    space = next((part for part in op for s in ("param", "shared", "local", "const") if part.split("::")[0] == s), "")
    space = space.split("::")[0]
    site = _site(i)
    match op[0]:
        case "ld" | "ldu" | "st":
            loads = op[0] != "st"
            address = scope.address(a[0 if not loads else 1], space)
            registers = [r.strip() for r in a[0 if loads else 1].strip("{}").split(",")]
            t = TYPES[op[-1]]
            n = len(registers)
            whole = t if n == 1 else f"ptx::Vector<{t}, {n}>"
            if loads:
                parts = [_set(scope, r, "x" if n == 1 else f"x.at[{k}]") for k, r in enumerate(registers)]
                return f"{{ const auto x = ptx::load<{whole}>({address}, {site}); {' '.join(parts)} }}"
            values = ", ".join(scope.read(r, op[-1]) for r in registers)
            return f"ptx::store<{whole}>({address}, {values if n == 1 else f'{whole}{{{{{values}}}}}'}, {site});"
        case "atom" | "red":
            t = TYPES[op[-1]]
            at = 0 if op[0] == "red" else 1
            function = next(part for part in op[1:] if part in ATOMIC)
            operands = [scope.read(x, op[-1]) for x in a[at + 1 :]]
            after = ATOMIC[function].format(*(f"x{k}" for k in range(len(operands))))
            bound = " ".join(f"const T x{k} = {x};" for k, x in enumerate(operands))
            cell = f"ptx::checked<T>({scope.address(a[at], space)}, {site})"
            old = f"simt::read_modify_write(cell, [=](T before) {{ return T({after}); }})"
            done = f"{old};" if at == 0 else _set(scope, a[0], old) or f"{old};"
            return f"{{ using T = {t}; {bound} T* const cell = {cell}; {done} }}"
        case "cp":
            if "async" in op and len(a) >= 3:
                copied = scope.read(a[3], "u32") if len(a) > 3 else a[2]
                return (
                    f"ptx::copy_async<{a[2]}>({scope.address(a[0], 'shared')}, {scope.address(a[1], '')}, "
                    f"{copied}, {site});"
                )
            return ";"  # the copy has been made already: wait_group and commit_group
        case "cvta":
            if "shared" in op:
                if "to" in op:
                    offset = f"{scope.read(a[1], 'u64')} - ptx::in_window(0)"
                    return _set(scope, a[0], f"uint64_t({offset})")
                return _set(scope, a[0], f"ptx::in_window({scope.read(a[1], 'u32')})")
            return _set(scope, a[0], scope.read(a[1], op[-1]))
        case "prefetch" | "prefetchu" | "applypriority":
            return ";"
        case "membar" | "fence":
            return "__threadfence();"
    return None


def _synchronization(i: Instruction, op: tuple[str, ...], a: tuple[str, ...], scope: Scope) -> str | None:
    site = _site(i)
    mask = scope.read(a[-1], "u32") if a else ""
    match op[0]:
        case "bar" | "barrier" if "warp" in op:
            return f"simt::sync_warp({mask}, {site});"
        case "bar" | "barrier" if "sync" in op and a in (("0",), ("%r0",)):
            return f"simt::barrier(false, simt::Vote::any, {site});"
        case "bar" | "barrier" if "red" in op and a[1] == "0":
            vote = next(v for part, v in (("popc", "count"), ("and", "all"), ("or", "any")) if part in op)
            return _set(
                scope, a[0], f"uint32_t(simt::barrier({scope.read(a[-1], 'pred')}, simt::Vote::{vote}, {site}))"
            )
        case "shfl":
            to, _, inside = a[0].partition("|")
            combine = f"simt::shuffle_{SHUFFLE[op[2]]}"
            x, by, clamp = (scope.read(part, "u32") for part in a[1:4])
            flag = f"&{scope.name(inside)}" if inside else "nullptr"
            return _set(scope, to, f"ptx::shuffle({combine}, {x}, {by}, {clamp}, {mask}, {flag}, {site})")
        case "vote":
            negated = "!" if "all" in op else ""
            ballot = (
                f"uint32_t(simt::collective(simt::ballot, {mask}, {negated}{scope.read(a[1], 'pred')}, 0, 32, {site}))"
            )
            if "ballot" in op:
                return _set(scope, a[0], ballot)
            return _set(scope, a[0], f"({ballot} {'==' if 'all' in op else '!='} 0)")
        case "match" if "any" in op:
            value = scope.read(a[1], op[-1])
            return _set(scope, a[0], f"uint32_t(simt::collective(simt::match_any, {mask}, {value}, 0, 32, {site}))")
        case "redux":
            t = TYPES[op[-1]]
            return _set(scope, a[0], f"__reduce_{op[2]}_sync<{t}>({mask}, {scope.read(a[1], op[-1])}, {site})")
    return None


def _arithmetic(i: Instruction, op: tuple[str, ...], a: tuple[str, ...], scope: Scope) -> str | None:
    kind, type_ = op[0], op[-1]
    if kind == "mov" and (a[0][0] == "{" or a[1][0] == "{"):
        return _move_parts(op[-1], a, scope)
    if kind == "cvt":
        return _convert(op, a, scope)
    if type_ not in TYPES:
        return None
    t = TYPES[type_]
    real = type_[0] == "f" or type_ == "bf16"
    x = [scope.read(operand, type_) for operand in a[1:]]
    match kind:
        case "setp":
            return _compare(op, a, x, real, scope)
        case "selp":
            return _set(scope, a[0], f"({scope.read(a[3], 'pred')} ? {x[0]} : {x[1]})")
        case "shl" | "shr":
            return _set(scope, a[0], f"ptx::{kind}<{t}>({x[0]}, {scope.read(a[2], 'u32')})")
        case "mul" | "mad" if not real:
            return _multiply(op, a, x, scope)
        case "mul":
            value = f"ptx::mul<{t}>({x[0]}, {x[1]})"
        case "mad":
            value = f"ptx::fma<{t}>({', '.join(x)})"
        case "bfe":
            value = f"ptx::bfe<{t}>({x[0]}, {scope.read(a[2], 'u32')}, {scope.read(a[3], 'u32')})"
        case "bfi":
            value = f"ptx::bfi<{t}>({x[0]}, {x[1]}, {scope.read(a[3], 'u32')}, {scope.read(a[4], 'u32')})"
        case "shf" if "wrap" in op:
            value = f"ptx::shf_{'left' if 'l' in op else 'right'}({x[0]}, {x[1]}, {x[2]} & 31)"
        case "testp":
            test = {"finite": "isfinite", "infinite": "isinf", "notanumber": "isnan"}[op[1]]
            value = f"std::{test}({x[0]})"
        case "bfind" if "shiftamt" in op:
            value = f"ptx::bfind_shift<{t}>({x[0]})"
        case "min" | "max" if "NaN" in op:
            value = f"ptx::{kind}_nan<{t}>({x[0]}, {x[1]})"
        case _ if kind in PLAIN:
            value = PLAIN[kind].format(*x).replace("<T>", f"<{t}>")
            value = re.sub(r"\bT\(", f"{t}(", value)
        case _:
            return None
    if real:
        value = _rounded(op, value)
    return _set(scope, a[0], value)


def _rounded(op: tuple[str, ...], value: str) -> str:
    """With the instruction's rounding, saturation and treatment of subnormal numbers."""
    mode = next((ROUNDING[part] for part in op if part in ROUNDING), None)
    if mode:
        value = f"ptx::rounded({mode}, [&] {{ return {value}; }})"
    if "sat" in op:
        value = f"ptx::sat({value})"
    return f"ptx::ftz({value})" if "ftz" in op else value


def _multiply(op: tuple[str, ...], a: tuple[str, ...], x: list[str], scope: Scope) -> str:
    t = TYPES[op[-1]]
    if "wide" in op:
        type_ = op[-1][0] + str(2 * int(op[-1][1:]))
        product = f"ptx::mul_wide<{TYPES[type_]}>({x[0]}, {x[1]})"
    else:
        type_ = op[-1]
        product = f"ptx::{'mul_hi' if 'hi' in op else 'mul'}<{t}>({x[0]}, {x[1]})"
    if op[0] == "mul":
        return _set(scope, a[0], product)
    return _set(scope, a[0], f"ptx::add<{TYPES[type_]}>({product}, {scope.read(a[3], type_)})")


def _compare(op: tuple[str, ...], a: tuple[str, ...], x: list[str], real: bool, scope: Scope) -> str:
    relation = op[1]
    if relation in ("nan", "num"):
        value = f"{'!' if relation == 'num' else ''}ptx::unordered({x[0]}, {x[1]})"
    elif real and len(relation) == 3:  # ltu, equ, ...: true also if one is NaN
        value = f"({x[0]} {COMPARE[relation[:2]]} {x[1]} || ptx::unordered({x[0]}, {x[1]}))"
    elif real and relation == "ne":  # C++'s is true of NaN
        value = f"({x[0]} != {x[1]} && !ptx::unordered({x[0]}, {x[1]}))"
    else:
        value = f"({x[0]} {COMPARE[relation]} {x[1]})"
    to, _, opposite = a[0].partition("|")
    logic = next((LOGIC[part] for part in op[2:] if part in LOGIC), None)
    third = scope.read(a[3], "pred") if logic else ""
    combine = (lambda v: f"bool({v} {logic} {third})") if logic else (lambda v: v)
    code = f"{{ const bool met = {value}; {_set(scope, to, combine('met'))}"
    if opposite:
        code += f" {_set(scope, opposite, combine('!met'))}"
    return code + " }"


def _convert(op: tuple[str, ...], a: tuple[str, ...], scope: Scope) -> str:
    to, source = op[-2], op[-1]
    if to in ("f16x2", "bf16x2"):  # the first operand becomes the upper half
        t = TYPES[to.removesuffix("x2")]
        high, low = (f"std::bit_cast<uint16_t>({t}({scope.read(x, source)}))" for x in a[1:3])
        return _set(scope, a[0], f"uint32_t({high} << 16 | {low})")
    value = scope.read(a[1], source)
    if whole := next((TO_WHOLE[part] for part in op if part in TO_WHOLE), None):
        value = f"{TYPES[source]}({whole}({value}))"
    function = "convert_saturated" if "sat" in op and to[0] in "us" else "convert"
    return _set(
        scope,
        a[0],
        _rounded(op, f"ptx::{function}<{TYPES[to]}>({value})")
        if to[0] in "fb"
        else f"ptx::{function}<{TYPES[to]}>({value})",
    )


def _move_parts(type_: str, a: tuple[str, ...], scope: Scope) -> str:
    """`mov.b64 {%r1, %r2}, %rd1;` and back: the first part is the lowest."""
    width = int(type_[1:])
    if a[0][0] == "{":
        parts = [p.strip() for p in a[0][1:-1].split(",")]
        each = width // len(parts)
        sets = (_set(scope, p, f"uint{each}_t(x >> {each * k})") for k, p in enumerate(parts))
        return f"{{ const uint{width}_t x = {scope.read(a[1], f'b{width}')}; {' '.join(sets)} }}"
    parts = [p.strip() for p in a[1][1:-1].split(",")]
    each = width // len(parts)
    joined = " | ".join(f"uint{width}_t({scope.read(p, f'b{each}')}) << {each * k}" for k, p in enumerate(parts))
    return _set(scope, a[0], f"uint{width}_t({joined})")
