# SPDX-License-Identifier: GPL-3.0-or-later
"""The programs of passes in the kernel, composed for the layout of the maps and a rule.

They run once for each entry of the map that is walked (struct bpf_iter__bpf_map_elem, kernel 5.9),
look its key up in the other map and act. They read entries in place; only what has to be written
is copied, through memory of their own, as helpers take nothing out of an iterator before 6.0.
"""

from __future__ import annotations

import errno
import struct
from typing import NamedTuple

from .._uapi.bpf import MapType, UpdateFlag
from .._uapi.maps import MapSpec
from .assembler import Alu, Assembler, Cond, Helper, Reg, Size, words
from .rules import Replaces, Rule

MAX_ENTRY_BYTES = 4096
"""Greatest key and value together: the code grows with them, and a jump is 16 bits wide."""

NAME = "bpfops_pass"
"""Name of the programs and of their memory."""

ABSENT = 1
"""The byte after a key that is missing."""

_TICK = 0

# struct bpf_iter__bpf_map_elem and struct bpf_iter_meta
_META, _KEY, _VALUE, _SEQ = 0, 16, 24, 0

# The program's memory: counters of 8 bytes, a key, its mark, a value. What was written is counted
# at 8 times the update flag, so 8 (NOEXIST, inserted) and 16 (EXIST, updated).
_VISITED, _REFUSED, _ERRNO, _OWN_KEY = 0, 24, 32, 40
_COUNTERS = struct.Struct("=5Q")

# What the program keeps in registers over calls; the context gives its place to the update flag.
_CONTEXT = _FLAG = Reg.R6
_ENTRY_KEY, _ENTRY_VALUE, _MEMORY = Reg.R7, Reg.R8, Reg.R9


class Counts(NamedTuple):
    """What a pass did, in entries; ``errno`` is that of the last one that was refused."""

    seen: int
    inserted: int
    updated: int
    refused: int
    errno: int


class Work(NamedTuple):
    """What a program is composed from.

    ``spec`` is that of the map that is walked, the descriptors those of the map to look into and
    of the program's memory. ``tick`` is a power of two: output at every such entry returns to
    user space. In arrays indexes from ``limit`` on are passed.
    """

    spec: MapSpec
    other_fd: int
    memory_fd: int
    tick: int
    limit: int | None = None

    @property
    def mark(self) -> int:
        """Where the byte after the key is in memory."""
        return _OWN_KEY + self.spec.key_size

    @property
    def own_value(self) -> int:
        """Where a value is in memory."""
        return _own_value(self.spec)


def memory_spec(spec: MapSpec) -> MapSpec:
    """The map that is a program's memory, for entries as in ``spec``."""
    return MapSpec(MapType.ARRAY, 4, _own_value(spec) + spec.value_size, 1, name=NAME)


def read_counts(memory: bytes) -> Counts:
    """The counters in a program's memory."""
    return Counts(*_COUNTERS.unpack_from(memory))


def _own_value(spec: MapSpec) -> int:
    return _OWN_KEY + (spec.key_size + 1 + 7) // 8 * 8


def carry_code(work: Work, rule: Rule) -> bytes:
    """Brings the other map up to the one that is walked, by ``rule``; a byte at every tick."""
    code = _prologue(work, work.mark)
    if work.limit is not None:
        code.load(Size.W, Reg.R1, _ENTRY_KEY, 0)
        code.jump("out", Cond.GE, Reg.R1, work.limit)
    if rule.since and rule.timestamp_offset is not None:
        code.load(Size.DW, Reg.R1, _ENTRY_VALUE, rule.timestamp_offset)
        code.constant(Reg.R2, rule.since)
        code.jump("out", Cond.LT, Reg.R1, Reg.R2)
    _look_up(code, work)
    code.jump("missing", Cond.EQ, Reg.R0, 0)
    _decide(code, work.spec, rule)
    code.label("missing")
    code.move(_FLAG, UpdateFlag.NOEXIST)
    code.label("write")
    if not rule.dry_run:
        _write(code, work, rule.clear_word)
    _count_written(code)
    return _epilogue(code)


def missing_code(work: Work) -> bytes:
    """Writes the keys that the other map does not have, each followed by ABSENT.

    At every tick it writes a key followed by another byte, which says nothing.
    """
    code = _prologue(work, _OWN_KEY)
    _look_up(code, work)
    code.jump("out", Cond.NE, Reg.R0, 0)
    _output(code, work, _OWN_KEY, ABSENT)
    return _epilogue(code)


def _prologue(work: Work, record: int) -> Assembler:
    """Ends at once at the end of the walk; counts the entry, with output at every n-th one."""
    code = Assembler()
    code.move(_CONTEXT, Reg.R1)
    code.load(Size.DW, _ENTRY_KEY, _CONTEXT, _KEY)
    code.load(Size.DW, _ENTRY_VALUE, _CONTEXT, _VALUE)
    code.jump("out", Cond.EQ, _ENTRY_KEY, 0)
    code.jump("out", Cond.EQ, _ENTRY_VALUE, 0)
    code.map_value(_MEMORY, work.memory_fd)
    _increment(code, _MEMORY, _VISITED)
    code.alu(Alu.AND, Reg.R1, work.tick - 1)
    code.jump("go", Cond.NE, Reg.R1, 0)
    _output(code, work, record, _TICK)
    code.label("go")
    return code


def _epilogue(code: Assembler) -> bytes:
    code.label("out")
    code.move(Reg.R0, 0)
    code.leave()
    return code.assemble()


def _increment(code: Assembler, base: Reg, offset: int) -> None:
    """Add one to a counter; R1 has its new value."""
    code.load(Size.DW, Reg.R1, base, offset)
    code.alu(Alu.ADD, Reg.R1, 1)
    code.store(Size.DW, base, offset, Reg.R1)


def _output(code: Assembler, work: Work, first: int, mark: int) -> None:
    """Write memory from ``first`` up to the mark to the iterator's reader."""
    code.store(Size.B, _MEMORY, work.mark, mark)
    code.load(Size.DW, Reg.R1, _CONTEXT, _META)
    code.load(Size.DW, Reg.R1, Reg.R1, _SEQ)
    code.address(Reg.R2, _MEMORY, first)
    code.move(Reg.R3, work.mark + 1 - first)
    code.call(Helper.SEQ_WRITE)


def _look_up(code: Assembler, work: Work) -> None:
    """R0 = the value of this key in the other map; helpers take no key out of an iterator."""
    code.copy(_MEMORY, _OWN_KEY, _ENTRY_KEY, work.spec.key_size, Reg.R1)
    code.map_pointer(Reg.R1, work.other_fd)
    code.address(Reg.R2, _MEMORY, _OWN_KEY)
    code.call(Helper.MAP_LOOKUP_ELEM)


def _decide(code: Assembler, spec: MapSpec, rule: Rule) -> None:
    """Go on to write over the value at R0, or out."""
    if rule.replaces is not Replaces.NEVER:
        if rule.replaces is Replaces.NEWER and rule.timestamp_offset is not None:
            code.load(Size.DW, Reg.R1, _ENTRY_VALUE, rule.timestamp_offset)
            code.load(Size.DW, Reg.R2, Reg.R0, rule.timestamp_offset)
            code.constant(Reg.R3, rule.live_from)
            code.jump("exact", Cond.LT, Reg.R2, Reg.R3)
            code.alu(Alu.ADD, Reg.R2, rule.tolerance)
            code.label("exact")
            code.jump("replace", Cond.GT, Reg.R1, Reg.R2)
        else:
            for size, offset in words(spec.value_size):
                if rule.clear_word and offset == 0:
                    code.move(Reg.R1, 0)
                else:
                    code.load(size, Reg.R1, _ENTRY_VALUE, offset)
                code.load(size, Reg.R2, Reg.R0, offset)
                code.jump("replace", Cond.NE, Reg.R1, Reg.R2)
    code.jump("out")
    if rule.replaces is not Replaces.NEVER:
        code.label("replace")
        code.move(_FLAG, UpdateFlag.EXIST)
        code.jump("write")


def _write(code: Assembler, work: Work, clear_word: bool) -> None:
    """Write the entry, going out when it is refused or somebody else was first."""
    code.copy(_MEMORY, work.own_value, _ENTRY_VALUE, work.spec.value_size, Reg.R1)
    if clear_word:
        code.store(Size.DW, _MEMORY, work.own_value, 0)
    # The kernel reuses the memory of a deleted entry at once, so a key that is another one by now
    # means that the value may be, too. A new key is stored before its value.
    for size, offset in words(work.spec.key_size):
        code.load(size, Reg.R1, _ENTRY_KEY, offset)
        code.load(size, Reg.R2, _MEMORY, _OWN_KEY + offset)
        code.jump("out", Cond.NE, Reg.R1, Reg.R2)
    code.map_pointer(Reg.R1, work.other_fd)
    code.address(Reg.R2, _MEMORY, _OWN_KEY)
    code.address(Reg.R3, _MEMORY, work.own_value)
    code.move(Reg.R4, _FLAG)
    code.call(Helper.MAP_UPDATE_ELEM)
    # Before 6.4 the upper half of the result is not set.
    code.jump32("written", Cond.EQ, Reg.R0, 0)
    code.jump32("out", Cond.EQ, Reg.R0, -errno.EEXIST)
    code.jump32("out", Cond.EQ, Reg.R0, -errno.ENOENT)
    code.alu(Alu.NEG, Reg.R0)
    code.store(Size.W, _MEMORY, _ERRNO, Reg.R0)
    _increment(code, _MEMORY, _REFUSED)
    code.jump("out")
    code.label("written")


def _count_written(code: Assembler) -> None:
    code.move(Reg.R2, _FLAG)
    code.alu(Alu.LSH, Reg.R2, 3)
    code.alu(Alu.ADD, Reg.R2, _MEMORY)
    _increment(code, Reg.R2, 0)
    code.jump("out")
