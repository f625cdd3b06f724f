# SPDX-License-Identifier: GPL-3.0-or-later
"""Running conntrack_snapshot, and reading and changing its files by struct alone."""

from __future__ import annotations

import hashlib
import struct
from pathlib import Path
from typing import Any

from ansible_collections.bpfops.calico.plugins.module_utils._runner import Result
from ansible_collections.bpfops.calico.plugins.modules import conntrack_snapshot

ORIGIN, TABLE = "<8sII16sQQ64s128s", "<16s5I"
Entries = dict[bytes, bytes]


def snapshot(state: str, path: Path, pins: Path, check: bool = False, **params: Any) -> Result:
    """The module's work with the defaults of its options."""
    defaults = {
        name: spec.get("default") for name, spec in conntrack_snapshot.ARGUMENT_SPEC.items()
    }
    given = {"state": state, "path": str(path), "pin_dir": str(pins), **params}
    return conntrack_snapshot.work({**defaults, **given}, check)


def contents(path: Path) -> dict[str, Entries]:
    """Entries by table; every number and the checksum have to fit."""
    raw = path.read_bytes()
    assert hashlib.sha256(raw[:-32]).digest() == raw[-32:]
    fields = struct.unpack_from(ORIGIN, raw)
    assert fields[:2] == (b"bpfopsCT", 1)
    place = struct.calcsize(ORIGIN)
    tables = [struct.unpack_from(TABLE, raw, place + 36 * n) for n in range(fields[2])]
    found: list[list[tuple[bytes, bytes]]] = [[] for _table in tables]
    place += 36 * len(tables)
    while True:
        number, count = struct.unpack_from("<II", raw, place)
        place += 8
        if number == 0xFFFFFFFF:
            break
        key, value = tables[number][2:4]
        values = place + count * key
        found[number] += [
            (raw[place + key * n :][:key], raw[values + value * n :][:value]) for n in range(count)
        ]
        place = values + count * value
    assert struct.unpack_from(f"<{len(tables)}Q", raw, place) == tuple(map(len, found))
    assert place + 8 * len(tables) + 32 == len(raw)
    names = [table[0].rstrip(b"\0").decode() for table in tables]
    return dict(zip(names, map(dict, found), strict=True))


def change(path: Path, offset: int, data: bytes) -> None:
    """Write other bytes into a snapshot, and the checksum that fits them."""
    raw = bytearray(path.read_bytes())
    raw[offset : offset + len(data)] = data
    path.write_bytes(raw[:-32] + hashlib.sha256(raw[:-32]).digest())


BOOT_ID, MONOTONIC, WALL, NODE, RELEASE = 16, 32, 40, 48, 112
"""Offsets in the file."""


def saved_clocks(path: Path) -> tuple[int, int]:
    """CLOCK_MONOTONIC and CLOCK_REALTIME at the time of saving, in ns."""
    clocks = struct.unpack_from("<QQ", path.read_bytes(), MONOTONIC)
    return int(clocks[0]), int(clocks[1])
