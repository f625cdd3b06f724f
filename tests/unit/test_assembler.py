# SPDX-License-Identifier: GPL-3.0-or-later
"""The assembler's code, against what clang 14 makes of the same instructions."""

from __future__ import annotations

from typing import Callable

import pytest

from ansible_collections.bpfops.calico.plugins.module_utils._kernel.assembler import (
    Alu,
    Assembler,
    Cond,
    Helper,
    Reg,
    Size,
    words,
)

R0, R1, R2, R6, R7, R9 = Reg.R0, Reg.R1, Reg.R2, Reg.R6, Reg.R7, Reg.R9


# clang -target bpf -mcpu=v3 -c FILE.s; llvm-objdump -d. The last two are not in its syntax and
# written out from the kernel's instruction set document.
@pytest.mark.parametrize(
    ("write", "expected"),
    [
        pytest.param(lambda a: a.move(R6, R1), "bf 16 00 00 00 00 00 00", id="r6 = r1"),
        pytest.param(lambda a: a.move(R2, -9), "b7 02 00 00 f7 ff ff ff", id="r2 = -9"),
        pytest.param(lambda a: a.alu(Alu.ADD, R1, 1), "07 01 00 00 01 00 00 00", id="r1 += 1"),
        pytest.param(
            lambda a: a.alu(Alu.AND, R1, 1023), "57 01 00 00 ff 03 00 00", id="r1 &= 1023"
        ),
        pytest.param(lambda a: a.alu(Alu.LSH, R2, 3), "67 02 00 00 03 00 00 00", id="r2 <<= 3"),
        pytest.param(lambda a: a.alu(Alu.ADD, R2, R9), "0f 92 00 00 00 00 00 00", id="r2 += r9"),
        pytest.param(lambda a: a.alu(Alu.NEG, R0), "87 00 00 00 00 00 00 00", id="r0 = -r0"),
        pytest.param(lambda a: a.load(Size.DW, R7, R1, 16), "79 17 10 00 00 00 00 00", id="load 8"),
        pytest.param(lambda a: a.load(Size.W, R1, R7, 0), "61 71 00 00 00 00 00 00", id="load 4"),
        pytest.param(lambda a: a.load(Size.H, R1, R7, 4), "69 71 04 00 00 00 00 00", id="load 2"),
        pytest.param(lambda a: a.load(Size.B, R1, R7, 6), "71 71 06 00 00 00 00 00", id="load 1"),
        pytest.param(
            lambda a: a.store(Size.DW, R9, 40, R1), "7b 19 28 00 00 00 00 00", id="store 8"
        ),
        pytest.param(
            lambda a: a.store(Size.W, R9, 32, R0), "63 09 20 00 00 00 00 00", id="store 4"
        ),
        pytest.param(
            lambda a: a.constant(R2, 0xFEDCBA9876543210),
            "18 02 00 00 10 32 54 76 00 00 00 00 98 ba dc fe",
            id="64 bits",
        ),
        pytest.param(lambda a: a.call(Helper.SEQ_WRITE), "85 00 00 00 7f 00 00 00", id="call 127"),
        pytest.param(lambda a: a.leave(), "95 00 00 00 00 00 00 00", id="exit"),
        pytest.param(
            lambda a: a.store(Size.B, R9, 56, 1), "72 09 38 00 01 00 00 00", id="store a number"
        ),
        pytest.param(
            lambda a: a.map_pointer(R1, 7),
            "18 11 00 00 07 00 00 00 00 00 00 00 00 00 00 00",
            id="map",
        ),
        pytest.param(
            lambda a: a.map_value(R9, 7, 24),
            "18 29 00 00 07 00 00 00 00 00 00 00 18 00 00 00",
            id="map value",
        ),
    ],
)
def test_instruction(write: Callable[[Assembler], None], expected: str) -> None:
    code = Assembler()
    write(code)
    assert code.assemble().hex(" ") == expected


def test_jumps_forward_and_back_count_from_the_next_instruction() -> None:
    code = Assembler()
    code.label("start")
    code.constant(R2, 1)
    code.jump("end", Cond.EQ, R7, 0)
    code.jump("start", Cond.LT, R1, R2)
    code.jump32("end", Cond.EQ, R0, -17)
    code.jump("end")
    code.label("end")
    code.leave()
    assert code.assemble()[16:-8].hex(" ", -8).split() == [
        "1507030000000000",
        "ad21fcff00000000",
        "16000100efffffff",
        "0500000000000000",
    ]


@pytest.mark.parametrize(
    ("size", "widths"),
    [
        (0, []),
        (1, [(Size.B, 0)]),
        (7, [(Size.W, 0), (Size.H, 4), (Size.B, 6)]),
        (16, [(Size.DW, 0), (Size.DW, 8)]),
        (23, [(Size.DW, 0), (Size.DW, 8), (Size.W, 16), (Size.H, 20), (Size.B, 22)]),
    ],
)
def test_words_cover_every_byte_once(size: int, widths: list[tuple[Size, int]]) -> None:
    assert list(words(size)) == widths


def test_copy_is_a_load_and_a_store_for_each_word() -> None:
    code = Assembler()
    code.copy(R9, 40, R7, 9, R1)
    assert code.assemble().hex(" ", -8).split() == [
        "7971000000000000",
        "7b19280000000000",
        "7171080000000000",
        "7319300000000000",
    ]


def test_a_label_that_is_not_set_is_an_error() -> None:
    code = Assembler()
    code.jump("nowhere")
    with pytest.raises(ValueError, match="nowhere is not set"):
        code.assemble()


def test_a_label_that_is_set_twice_is_an_error() -> None:
    code = Assembler()
    code.label("here")
    with pytest.raises(ValueError, match="here is set twice"):
        code.label("here")


def test_a_jump_over_32767_instructions_is_an_error() -> None:
    code = Assembler()
    code.jump("end")
    for _ in range(32768):
        code.move(R0, 0)
    code.label("end")
    with pytest.raises(ValueError, match="does not fit"):
        code.assemble()
