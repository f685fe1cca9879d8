"""What the PTX translator says about PTX that it doesn't know. What it knows is run: test_emulator.py in PTX lanes."""

import pytest

from simt.ptx import translate

KERNEL = """
.version 9.0
.target sm_90
.visible .entry twice(
    .param .u64 .ptr .global .align 4 twice_param_0
)
.maxntid 128, 2, 1
{{
    .reg .b32 %r<3>;
    .reg .b64 %rd<2>;
    .loc 1 7 3
    ld.param.b64 %rd1, [twice_param_0];
    ld.global.b32 %r1, [%rd1+8];
    {statement}
    st.global.b32 [%rd1], %r2;
    ret;
}}
    .file 1 "twice.cu"
    .section .debug_str {{ }}
"""


def test_a_kernel_becomes_a_function_that_registers_itself():
    [code] = translate(KERNEL.format(statement="add.s32 %r2, %r1, %r1;"))
    assert "ptx::add<int32_t>(ptx::value<int32_t>(r1), ptx::value<int32_t>(r1))" in code
    assert '#line 7 "twice.cu"' in code
    assert 'simt::Replacement twice_registered("twice", &twice, 256);' in code


@pytest.mark.parametrize(
    "statement", ["wgmma.fence.sync.aligned;", "tex.2d.v4.f32.f32 {%r1, %r2}, [t, {%r1}];", "add.f8 %r2, %r1, %r1;"]
)
def test_an_unknown_instruction_is_an_error_that_shows_it(statement):
    with pytest.raises(ValueError, match=r"twice\.cu:7: no translation for the PTX instruction") as error:
        translate(KERNEL.format(statement=statement))
    assert statement.rstrip(";") in str(error.value)


def test_half_a_file_is_an_error():
    with pytest.raises(ValueError, match="PTX ends inside a function"):
        translate(KERNEL.format(statement="ret;").partition("st.global")[0])
