# SPDX-License-Identifier: GPL-3.0-or-later
"""The XDP program that eBPF mode has at a host interface with an untracked policy."""

from __future__ import annotations

from pathlib import Path

from . import bpf, libbpf, plan
from .felix import interfaces
from .libbpf import LIB, BpfObject, MapShape
from .map_rows import PROG_ARRAY
from .objects import DIRECTORY
from .pinned import PINS
from .plan import Plan
from .releases import ENTRY_26, xdp_entry

INTERFACE = "eth0"
JUMP_26 = bpf.MapSpec("cali_jump3", PROG_ARRAY, 4, 4, 32, 0)
XDP_GENERIC = 2


def attach(wanted: Plan) -> None:
    """Attach it anew; it stays when the agent ends, and when eBPF mode goes off."""
    entry = xdp_entry(wanted.release)
    loaded = BpfObject(DIRECTORY / entry.object_path())
    if entry.size:
        half = INTERFACE.encode().ljust(15, b"-").ljust(80, b"\0")
        loaded.set_globals(half * (entry.size // len(half)))
    array = _array(wanted)
    found = bpf.info(array)
    shape = MapShape(found.type, found.key, found.value, found.max_entries, 0)
    loaded.shape_map("cali_jump", _array_pin(wanted), shape)
    loaded.load()
    (uplink,) = interfaces(INTERFACE)
    program = loaded.program_fd(entry.name)
    done = LIB.bpf_xdp_attach(uplink.number, program, XDP_GENERIC, None)
    libbpf.checked(f"attaching XDP to {INTERFACE}", done)
    loaded.close()


def _array_pin(wanted: Plan) -> Path:
    if wanted.release.preamble is ENTRY_26:
        return PINS.parent / f"{INTERFACE}_xdp" / JUMP_26.name
    names = {spec.name for _, spec in plan.specs(wanted)}
    return PINS / next(name for name in sorted(names) if name.startswith("xdp_cali_jump"))


def _array(wanted: Plan) -> int:
    """The array for XDP; that of 3.26 is made for each interface."""
    pin = _array_pin(wanted)
    fd = bpf.opened(pin)
    if fd is None:
        fd = bpf.create(JUMP_26)
        bpf.pin(fd, pin)
    return fd
