# SPDX-License-Identifier: GPL-3.0-or-later
"""Loaded programs that can run, without those that only a left-over program array holds.

felix removes no pin of an older map version (ops 1.6). Where a release gives its program arrays
other names, the old ones stay pinned, and the programs in them loaded, although nothing calls them.
"""

from __future__ import annotations

import errno
import struct
from pathlib import PurePosixPath
from typing import AbstractSet, Iterator

from .._calico.ownership import STATIC_PROGRAMS
from .._errors import SyscallError
from .._kernel import bpffs
from .._kernel.maps import Map
from .._kernel.programs import ProgInfo, loaded_programs
from .._uapi.bpf import MapType

_MOST_SLOTS = 4096
"""Arrays of policy programs are larger, and those refer to no conntrack map."""
_SLOT = struct.Struct("<I")


def running_programs(pin_dir: str) -> list[ProgInfo]:
    """All loaded programs but those that are parked in arrays pinned in ``pin_dir``.

    An array is parked when no program refers to it but those that felix never attaches.
    Raises SyscallError.
    """
    programs = list(loaded_programs())
    called = {
        map_id
        for one in programs
        if not one.name.startswith(STATIC_PROGRAMS)
        for map_id in one.map_ids
    }
    parked = set(_in_arrays(pin_dir, called))
    return [one for one in programs if one.id not in parked]


def standing_programs(pin_dir: str) -> set[int]:
    """Ids of the programs in arrays that are pinned in ``pin_dir``.

    Who put them there has that bpffs mounted. Raises SyscallError.
    """
    return set(_in_arrays(pin_dir, frozenset()))


def _in_arrays(pin_dir: str, skipped: AbstractSet[int]) -> Iterator[int]:
    """Ids of programs in pinned program arrays, but for the arrays with these ids."""
    for path in bpffs.walk(pin_dir):
        if PurePosixPath(path).parent != PurePosixPath(pin_dir):
            continue
        try:
            if bpffs.kind_at(path) == "map":
                with Map.open(path, read_only=True) as opened:
                    yield from _slots(opened, skipped)
        except (SyscallError, FileNotFoundError) as error:
            if error.errno != errno.ENOENT:  # gone
                raise


def _slots(opened: Map, skipped: AbstractSet[int]) -> Iterator[int]:
    info = opened.info()
    spec = info.spec
    if spec.type != MapType.PROG_ARRAY or spec.max_entries > _MOST_SLOTS or info.id in skipped:
        return
    for slot in range(spec.max_entries):
        found = opened.lookup(_SLOT.pack(slot), spec.value_size)
        if found is not None:
            yield _SLOT.unpack(found)[0]
