# SPDX-License-Identifier: GPL-3.0-or-later
"""The constants that felix writes into each entry program, and what their indices mean.

They are the one value of a frozen array map that only the program refers to (programs 2.2).
"""

from __future__ import annotations

from typing import NamedTuple

from .rows import Table
from .tables import globals_layouts, jump_indices
from .tables.globals_layouts import GlobalsLayout
from .tables.jump_indices import JumpIndices, JumpMaps
from .versions import VersionSet

LAYOUTS = Table(globals_layouts.ROWS, lambda row: (row.program, row.family))
INDICES = Table(jump_indices.INDICES, lambda row: "indices")
JUMP_MAPS = Table(jump_indices.JUMP_MAPS, lambda row: row.hook)

NO_INDEX = 0xFFFFFFFF
"""The value of an index that is not used, and of log_filter_jmp without a log filter."""

RODATA_FLAGS = 0x480
"""Flags of the map: BPF_F_RDONLY_PROG and BPF_F_MMAPABLE (programs 2.2)."""


class Placed(NamedTuple):
    """Where a field stands in the map's value, one for each half. Offsets and size in bytes."""

    offsets: tuple[int, ...]
    size: int


def globals_layouts_of(release: VersionSet, program: str = "tc") -> tuple[GlobalsLayout, ...]:
    """The layouts of some of ``release`` for ``tc``, ``xdp`` or ``connect`` programs.

    3.27 has two for tc, of which a node uses that of its one family.
    """
    return tuple(row for row in LAYOUTS.of(release) if row.program == program)


def layouts_of_size(program: str, value_size: int) -> tuple[GlobalsLayout, ...]:
    """The layouts with this value size in bytes: none for a size that is not known."""
    rows = (row for row in LAYOUTS if row.program == program)
    return tuple(row for row in rows if row.value_size == value_size)


def placed(layout: GlobalsLayout, field: str) -> Placed | None:
    """Where ``field`` is in the map's value; None when the layout has no such field."""
    for name, offset, size in layout.fields:
        if name == field:
            return Placed(tuple(half + offset for half in layout.halves), size)
    return None


def jump_indices_of(release: VersionSet) -> JumpIndices:
    """What the indices of ``jumps`` mean. Raises RefusedError: not the same in all releases."""
    return INDICES.one_of(release, "The meaning of jump indices")


def jump_maps_of(release: VersionSet) -> tuple[JumpMaps, ...]:
    """The program arrays that entry programs call into, one row for each hook."""
    return JUMP_MAPS.of(release)
