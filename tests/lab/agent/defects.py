# SPDX-License-Identifier: GPL-3.0-or-later
"""Damage on request, made after a start as releases and their upgrades make it."""

from __future__ import annotations

import itertools
import socket
import struct
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

from . import bpf, filters, libbpf, map_rows, pinned, plan
from .felix import Felix
from .map_rows import MapRow
from .pinned import OLD_JUMPS, PINS
from .plan import Plan
from .releases import RELEASES, Release

DRIFTED = 49150
OLD_ENTRIES = 5


def plant(process: Felix) -> None:
    """Make those defects of the plan that are not part of the start itself."""
    makers = {
        "drifted_preference": _drift,
        "duplicate_filter": _duplicate,
        "lingering_old_jumps": _old_jumps,
        "old_pin": _old_pin,
        "superseded_map": _superseded,
    }
    for name, make in makers.items():
        if name in process.plan.defects:
            make(process)


def _drift(process: Felix) -> None:
    """The first interface's ingress filter at another preference than its egress filter."""
    one = process.workloads[0]
    before = filters.existing(one.interface, 0)
    if any(old.preference == DRIFTED for old in before):
        return
    _add(process, 0, DRIFTED)
    for old in before:
        filters.remove(one.interface, 0, old)


def _duplicate(process: Felix) -> None:
    """A second filter before the last interface's, as left by a failed deletion."""
    there = filters.existing(process.workloads[-1].interface, 0)
    if len(there) == 1:
        _add(process, -1, there[0].preference - 1)


def _add(process: Felix, at: int, preference: int) -> None:
    one = process.workloads[at]
    loaded = process.program(one, 0)
    program = loaded.program_fd(process.layout(one).entries[0])
    number = one.interface.number
    libbpf.attach_filter(program, number, libbpf.TC_INGRESS, preference, 0)
    loaded.close()


def _old_jumps(process: Felix) -> None:
    """After the first start there are no older jump maps: empty ones take their place."""
    if pinned.jump_pins():
        return
    OLD_JUMPS.mkdir(mode=0o700, exist_ok=True)
    target = Path(tempfile.mkdtemp(dir=OLD_JUMPS))
    for row in process.plan.release.repinned:
        _create(row, process.plan.release, target)


def _old_pin(process: Felix) -> None:
    """A conntrack map of half the size that a resize has not cleaned up."""
    name, fd = process.conntrack()
    old = PINS / f"{name}_old"
    if old.exists():
        return
    found = bpf.info(fd)
    flags = 0 if found.type == map_rows.LRU_HASH else map_rows.NO_PREALLOC
    half = max(OLD_ENTRIES, found.max_entries // 2)
    made = bpf.create(bpf.MapSpec(name, found.type, found.key, found.value, half, flags))
    bpf.write(made, _made_up(found.key, found.value))
    bpf.pin(made, old)


def _made_up(key: int, value: int) -> Iterator[tuple[bytes, bytes]]:
    """UDP flows seen just now, from addresses for benchmarks (RFC 2544)."""
    seen = struct.pack("<QQ", 0, time.monotonic_ns()).ljust(value, b"\0")
    for port in range(OLD_ENTRIES):
        sides = socket.inet_aton("198.18.0.1"), socket.inet_aton("198.18.0.2")
        yield struct.pack("<I4s4sHH", 17, *sides, 40000 + port, 53).ljust(key, b"\0"), seen


def _superseded(process: Felix) -> None:
    """The maps that the release line before had and this one has no more."""
    release = process.plan.release
    names = {spec.name for _, spec in plan.specs(process.plan)}
    for row in _before(process.plan):
        name = row.name.replace("%", "v4")
        if name not in names and not (PINS / name).exists():
            _create(row, release, PINS)


def _before(wanted: Plan) -> tuple[MapRow, ...]:
    lines = list(RELEASES.values())
    earlier = list(itertools.takewhile(lambda one: one.line != wanted.release.line, lines))
    if not earlier:
        return (map_rows.CT2,)
    return (*earlier[-1].common, *earlier[-1].family)


def _create(row: MapRow, release: Release, directory: Path) -> None:
    spec = plan.spec(row, release, "v4")
    bpf.pin(bpf.create(spec), directory / spec.name)
