# SPDX-License-Identifier: GPL-3.0-or-later
"""A small assembler for BPF programs that are composed at run time.

Instructions of 8 bytes as Documentation/bpf/standardization/instruction-set.rst of the kernel
describes them, little-endian.
"""

from __future__ import annotations

import struct
from enum import IntEnum
from typing import Iterator, Union

_LD_IMM64 = 0x18
_LDX = 0x61
_ST = 0x62
_STX = 0x63
_ALU64 = 0x07
_JMP = 0x05
_JMP32 = 0x06  # 5.1
_CALL = 0x85
_EXIT = 0x95
_REGISTER = 0x08
_PSEUDO_MAP_FD = 1
_PSEUDO_MAP_VALUE = 2  # 5.2
_INSTRUCTION = struct.Struct("<BBhi")


class Reg(IntEnum):
    """Registers: R0 result, R1 to R5 arguments, R6 to R9 kept over calls, R10 frame pointer."""

    R0 = 0
    R1 = 1
    R2 = 2
    R3 = 3
    R4 = 4
    R5 = 5
    R6 = 6
    R7 = 7
    R8 = 8
    R9 = 9
    R10 = 10


class Size(IntEnum):
    """Width of a load or store: 4, 2, 1 and 8 bytes."""

    W = 0x00
    H = 0x08
    B = 0x10
    DW = 0x18


class Alu(IntEnum):
    """64-bit operations."""

    ADD = 0x00
    AND = 0x50
    LSH = 0x60
    NEG = 0x80
    MOV = 0xB0


class Cond(IntEnum):
    """Conditions of jumps, all unsigned; LT and LE came with 4.14."""

    ALWAYS = 0x00
    EQ = 0x10
    GT = 0x20
    GE = 0x30
    NE = 0x50
    LT = 0xA0
    LE = 0xB0


class Helper(IntEnum):
    """The part of enum bpf_func_id that is used here."""

    MAP_LOOKUP_ELEM = 1
    MAP_UPDATE_ELEM = 2
    TAIL_CALL = 12
    SEQ_WRITE = 127  # 5.7, for programs under the GPL


Operand = Union[Reg, int]
"""A register, or an immediate of 32 bits that is extended with its sign."""

_WIDTHS = ((8, Size.DW), (4, Size.W), (2, Size.H), (1, Size.B))


def words(size: int) -> Iterator[tuple[Size, int]]:
    """The fewest loads that cover ``size`` bytes and no more: width and offset of each."""
    offset = 0
    for width, name in _WIDTHS:
        while size - offset >= width:
            yield name, offset
            offset += width


class Assembler:
    """Collects instructions; jumps name labels, which may be set later."""

    def __init__(self) -> None:
        self._code: list[tuple[int, int, int, int]] = []
        self._labels: dict[str, int] = {}
        self._jumps: dict[int, str] = {}

    def label(self, name: str) -> None:
        """Give the next instruction a name. Raises ValueError when it is taken."""
        if name in self._labels:
            raise ValueError(f"The label {name} is set twice.")
        self._labels[name] = len(self._code)

    def alu(self, operation: Alu, target: Reg, operand: Operand = 0) -> None:
        """``target`` = ``target`` operation ``operand``, 64 bits wide."""
        self._binary(_ALU64 | operation, target, operand)

    def move(self, target: Reg, operand: Operand) -> None:
        """``target`` = ``operand``."""
        self.alu(Alu.MOV, target, operand)

    def address(self, target: Reg, base: Reg, offset: int) -> None:
        """``target`` = ``base`` + ``offset``."""
        self.move(target, base)
        self.alu(Alu.ADD, target, offset)

    def load(self, size: Size, target: Reg, base: Reg, offset: int) -> None:
        """``target`` = what is at ``base`` + ``offset``, zeros in front."""
        self._emit(_LDX | size, target, base, offset)

    def store(self, size: Size, base: Reg, offset: int, operand: Operand) -> None:
        """Write the low bytes of ``operand`` at ``base`` + ``offset``."""
        if isinstance(operand, Reg):
            self._emit(_STX | size, base, operand, offset)
        else:
            self._emit(_ST | size, base, 0, offset, operand)

    def copy(self, target: Reg, offset: int, source: Reg, size: int, through: Reg) -> None:
        """Copy ``size`` bytes from ``source`` to ``target`` + ``offset``."""
        for width, place in words(size):
            self.load(width, through, source, place)
            self.store(width, target, offset + place, through)

    def constant(self, target: Reg, value: int) -> None:
        """``target`` = an unsigned 64-bit ``value``; two instructions."""
        self._wide(target, 0, value & 0xFFFFFFFF, value >> 32)

    def map_pointer(self, target: Reg, map_fd: int) -> None:
        """``target`` = the map behind a descriptor; two instructions."""
        self._wide(target, _PSEUDO_MAP_FD, map_fd, 0)

    def map_value(self, target: Reg, map_fd: int, offset: int = 0) -> None:
        """``target`` = an address in the first value of an array map (5.2); two instructions."""
        self._wide(target, _PSEUDO_MAP_VALUE, map_fd, offset)

    def jump(
        self, label: str, condition: Cond = Cond.ALWAYS, left: Reg = Reg.R0, right: Operand = 0
    ) -> None:
        """Go to ``label`` when ``left`` condition ``right`` holds in 64 bits."""
        self._jumps[len(self._code)] = label
        self._binary(_JMP | condition, left, right)

    def jump32(self, label: str, condition: Cond, left: Reg, right: Operand) -> None:
        """As ``jump``, on the low 32 bits alone (5.1)."""
        self._jumps[len(self._code)] = label
        self._binary(_JMP32 | condition, left, right)

    def call(self, helper: Helper) -> None:
        """Call a helper: result in R0, R1 to R5 are lost."""
        self._emit(_CALL, 0, 0, 0, helper)

    def leave(self) -> None:
        """End the program; R0 is its result."""
        self._emit(_EXIT)

    def assemble(self) -> bytes:
        """The program. Raises ValueError: label not set, or a number too large for its field."""
        code = list(self._code)
        for place, label in self._jumps.items():
            if label not in self._labels:
                raise ValueError(f"The label {label} is not set.")
            opcode, registers, _, immediate = code[place]
            code[place] = (opcode, registers, self._labels[label] - place - 1, immediate)
        try:
            return b"".join(_INSTRUCTION.pack(*fields) for fields in code)
        except struct.error as error:
            raise ValueError(f"A number does not fit its field: {error}.") from error

    def _binary(self, opcode: int, target: Reg, operand: Operand) -> None:
        if isinstance(operand, Reg):
            self._emit(opcode | _REGISTER, target, operand)
        else:
            self._emit(opcode, target, 0, 0, operand)

    def _wide(self, target: Reg, kind: int, low: int, high: int) -> None:
        self._emit(_LD_IMM64, target, kind, 0, _signed(low))
        self._emit(0, 0, 0, 0, _signed(high))

    def _emit(
        self, opcode: int, target: int = 0, source: int = 0, offset: int = 0, immediate: int = 0
    ) -> None:
        self._code.append((opcode, target | source << 4, offset, immediate))


def _signed(word: int) -> int:
    return word - (1 << 32) if word >= 1 << 31 else word
