"""What ptxas made of each kernel, for each architecture, and whether it keeps the rules: `python -m simt.sass`.

SASS is the GPU's machine code. It is looked at here, not run.
"""

import math
import re
import shutil
import sys
import tempfile
import tomllib
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass
from fnmatch import fnmatchcase
from importlib.util import find_spec
from pathlib import Path

from simt.build import ARCHITECTURES, HERE, KERNELS, NVCC, ptx, tool
from simt.ptx.parse import parse

RULES = HERE / "sass_rules.toml"
WARP = 32


@dataclass(frozen=True)
class Multiprocessor:
    """What a multiprocessor has, and in which portions it deals it out."""

    shared_bytes: int
    registers: int = 65536
    warps: int = 64
    blocks: int = 32
    registers_dealt: int = 256  # to a warp, and warps by four
    shared_dealt: int = 128
    shared_of_system: int = 1024  # of every block


MULTIPROCESSORS = {"sm_80": Multiprocessor(164 << 10), "sm_90": Multiprocessor(228 << 10)}


def resident_blocks(architecture: str, threads: int, registers: int, shared_bytes: int) -> int:
    """Blocks that a multiprocessor holds at once; agrees with NVIDIA's cuda_occupancy.h."""

    def dealt(amount: int, portion: int) -> int:
        return math.ceil(amount / portion) * portion

    has = MULTIPROCESSORS[architecture]
    warps = math.ceil(threads / WARP)
    by_registers = has.registers // dealt(registers * WARP, has.registers_dealt) // 4 * 4 // warps
    by_shared = has.shared_bytes // dealt(shared_bytes + has.shared_of_system, has.shared_dealt)
    return min(has.warps // warps, has.blocks, by_registers, by_shared)


@dataclass(frozen=True)
class Kernel:
    """One kernel as one architecture will run it. Bytes are a block's, except `stack` and `spilled`: a thread's."""

    name: str
    architecture: str
    threads: int | None  # of __launch_bounds__
    registers: int
    shared: int
    stack: int
    spilled: int
    instructions: Counter[str]

    @property
    def occupancy(self) -> float:
        """The share of the warps that a multiprocessor can hold, for blocks as large as the bounds allow."""
        threads = self.threads or 1024
        blocks = resident_blocks(self.architecture, threads, self.registers, self.shared)
        return blocks * math.ceil(threads / WARP) / MULTIPROCESSORS[self.architecture].warps

    def count(self, *patterns: str) -> int:
        """Instructions of the program that match, `LDG.E.128*` say."""
        return sum(n for opcode, n in self.instructions.items() if any(fnmatchcase(opcode, p) for p in patterns))

    def wide(self, *opcodes: str) -> str:
        """How many of the loads and stores move 128 bits."""
        total = self.count(*(f"{opcode}*" for opcode in opcodes))
        return f"{self.count(*(f'{opcode}*.128*' for opcode in opcodes))}/{total}"


def kernels(source: Path, architecture: str) -> list[Kernel]:
    """The kernels of a .cu file. Raises RuntimeError with nvcc's output if it doesn't compile."""
    bounds = {f.name: f.most_threads for f in parse(ptx(source, architecture).read_text()).functions if f.is_kernel}
    with tempfile.TemporaryDirectory() as folder:
        cubin = Path(folder) / "kernels.cubin"
        command = ["nvcc", *NVCC, "-cubin", f"-arch={architecture}", "-Xptxas=-v", f"-I{KERNELS}", str(source)]
        compiled = tool([*command, "-o", str(cubin)])
        if compiled.returncode:
            raise RuntimeError(compiled.stderr)
        sass = tool([disassembler(), "-c", str(cubin)], check=True).stdout
    programs = _instructions(sass)
    readable = _demangled(bounds)
    found = []
    for part in compiled.stderr.split("Compiling entry function '")[1:]:
        symbol = part.partition("'")[0]
        stack, stores, loads = (int(n) for n in re.findall(r"(\d+) bytes (?:stack|spill)", part)[:3])
        shared = re.search(r"(\d+) bytes smem", part)
        found.append(
            Kernel(
                readable[symbol],
                architecture,
                bounds[symbol],
                int(re.search(r"Used (\d+) registers", part)[1]),
                int(shared[1]) if shared else 0,
                stack,
                stores + loads,
                programs[symbol],
            )
        )
    return sorted(found, key=lambda kernel: kernel.name)


def disassembler() -> str | None:
    """nvdisasm: the toolkit's, or the one that triton, of which CUDA builds of torch are made, brings along."""
    triton = find_spec("triton")
    brought = [str(Path(p) / "backends/nvidia/bin") for p in (triton.submodule_search_locations if triton else ())]
    return shutil.which("nvdisasm") or next(
        (found for p in brought if (found := shutil.which("nvdisasm", path=p))), None
    )


def missing() -> str | None:
    absent = [name for name, tool in (("nvcc", shutil.which("nvcc")), ("nvdisasm", disassembler())) if tool is None]
    return f"{' and '.join(absent)} not found" if absent else None


def _instructions(sass: str) -> dict[str, Counter[str]]:
    programs: dict[str, Counter[str]] = {}
    for line in sass.splitlines():
        if section := re.match(r"\s*\.section\s+\.text\.([\w$.]+)", line):
            program = programs.setdefault(section[1], Counter())
        elif found := re.match(r"\s+/\*[0-9a-f]{4,}\*/\s+(?:@!?U?P\w+\s+)?([A-Z][A-Z0-9_.]*)", line):
            program[found[1]] += 1
    return programs


def _demangled(symbols: Iterable[str]) -> dict[str, str]:
    symbols = list(symbols)
    names = tool(["c++filt"], input="\n".join(symbols), check=True).stdout
    short = [re.sub(r"\(roibench::\w+\)", "", n).replace("roibench::cuda::", "") for n in names.splitlines()]
    return {s: re.sub(r"^void ", "", n.partition("(")[0]) for s, n in zip(symbols, short, strict=True)}


def broken(kernel: Kernel, rule: dict) -> list[str]:
    """Where a kernel doesn't keep a rule of sass_rules.toml."""
    found = [f"has {p}" for p in rule.get("forbid", ()) if kernel.count(p)]
    found += [f"lacks {p}" for p in rule.get("need", ()) if not kernel.count(p)]
    if kernel.registers > rule.get("registers", 255):
        found.append(f"{kernel.registers} registers, allowed are {rule['registers']}")
    if kernel.occupancy < rule.get("occupancy", 0):
        found.append(f"occupancy {kernel.occupancy:.0%}, wanted is {rule['occupancy']:.0%}")
    if kernel.stack > rule.get("stack", math.inf):
        found.append(f"{kernel.stack} bytes of local memory")
    if kernel.spilled > rule.get("spilled", math.inf):
        found.append(f"{kernel.spilled} bytes spilled")
    if rule.get("launch_bounds") and kernel.threads is None:
        found.append("no __launch_bounds__")
    return found


def main() -> None:
    if reason := missing():
        sys.exit(f"make sass: {reason}")
    rules = tomllib.loads(RULES.read_text())["rule"]
    matched: set[str] = set()
    failures = []
    heads = ("arch", "regs", "smem", "spilled", "local", "occupancy", "global .128", "shared .128")
    print(f"{'kernel':66}" + "".join(f"{head:>12}" for head in heads))
    for source in sorted(KERNELS.glob("*.cu")):
        for kernel in (k for architecture in ARCHITECTURES for k in kernels(source, architecture)):
            cells = (kernel.architecture, kernel.registers, kernel.shared, kernel.spilled, kernel.stack)
            share = (f"{kernel.occupancy:.0%}", kernel.wide("LDG", "STG"), kernel.wide("LDS", "STS"))
            print(f"{kernel.name:66}" + "".join(f"{cell:>12}" for cell in (*cells, *share)))
            for rule in (rule for rule in rules if fnmatchcase(kernel.name, rule["kernels"])):
                matched.add(rule["kernels"])
                failures += [f"{kernel.name} ({kernel.architecture}): {what}" for what in broken(kernel, rule)]
    failures += [
        f"no kernel {r['kernels']}, of which {RULES.name} speaks" for r in rules if r["kernels"] not in matched
    ]
    print("\n" + ("\n".join(failures) or f"every rule of {RULES.name} is kept"))
    sys.exit(bool(failures))


if __name__ == "__main__":
    main()
