"""What `make sass` reads from ptxas and nvdisasm, and when it complains."""

import ctypes

import pytest

from simt import sass
from simt.build import SELFTEST, tool

pytestmark = pytest.mark.skipif(sass.missing() is not None, reason=f"{sass.missing()}")


@pytest.fixture(scope="module", autouse=True)
def once(lane) -> None:
    if str(lane) != "source":
        pytest.skip("machine code is the same in every lane")


@pytest.fixture(scope="module", params=sass.MULTIPROCESSORS)
def kernels(request) -> dict[str, sass.Kernel]:
    return {k.name: k for k in sass.kernels(SELFTEST / "features.cu", request.param)}


def test_kernels_are_read(kernels):
    tiles = kernels["transpose_kernel"]
    assert (tiles.threads, tiles.shared, tiles.spilled, tiles.stack) == (256, 32 * 33 * 4, 0, 0)
    assert 0 < tiles.registers <= 64
    assert tiles.count("BAR.*") == 1 and tiles.count("STS*") > 0
    assert kernels["math_kernel<double>"].threads is None


def test_wide_accesses_are_counted(kernels):
    for of in ("float", "double", "__half", "__nv_bfloat16"):
        wide, total = map(int, kernels[f"vectors_kernel<{of}>"].wide("LDG", "STG").split("/"))
        assert 0 < wide == total - 1  # the sum is stored alone
    assert kernels["transpose_kernel"].wide("LDG", "STG").startswith("0/")


@pytest.mark.parametrize(
    ("rule", "complaints"),
    [
        ({"need": ["STG.E.128*"], "forbid": ["LDL*"], "stack": 0, "spilled": 0, "occupancy": 0.1}, []),
        ({"need": ["HMMA*"]}, ["lacks HMMA*"]),
        ({"forbid": ["BAR*"]}, ["has BAR*"]),
        ({"registers": 3}, ["registers, allowed are 3"]),
        ({"occupancy": 1.1}, ["wanted is 110%"]),
    ],
)
def test_rules_are_kept_or_not(kernels, rule, complaints):
    found = sass.broken(kernels["vectors_kernel<float>"], rule)
    assert len(found) == len(complaints) and all(c in f for c, f in zip(complaints, found, strict=True))


def test_launch_bounds_can_be_demanded(kernels):
    assert sass.broken(kernels["math_kernel<double>"], {"launch_bounds": True}) == ["no __launch_bounds__"]
    assert sass.broken(kernels["transpose_kernel"], {"launch_bounds": True}) == []


def test_occupancy_is_nvidias(tmp_path):
    plan = tool(["nvcc", "--dryrun", "-x", "cu", "/dev/null"]).stderr
    include = next(line.partition("=")[2] for line in plan.splitlines() if "TOP=" in line).strip() + "/include"
    source = SELFTEST / "occupancy.cpp"
    built = tool(["g++", "-shared", "-fPIC", f"-isystem{include}", source, "-o", tmp_path / "o.so"])
    if built.returncode:
        pytest.skip("this toolkit has no cuda_occupancy.h")
    theirs = ctypes.CDLL(str(tmp_path / "o.so")).resident_blocks
    for architecture, has in sass.MULTIPROCESSORS.items():
        for threads in (32, 64, 96, 128, 192, 256, 512, 1024):
            for registers in (16, 32, 33, 40, 64, 96, 128, 255):
                for shared in (0, 128, 4096, 16384, 33000, 48 << 10, 100 << 10, 160 << 10):
                    if registers * threads > has.registers:
                        continue
                    case = threads, registers, shared
                    mine = sass.resident_blocks(architecture, *case)
                    assert mine == theirs(int(architecture[3]), *case, has.shared_bytes), (architecture, case)
