# SPDX-License-Identifier: GPL-3.0-or-later
"""What counts as evidence that a program is Calico's, and how it adds up (programs 7)."""

from __future__ import annotations

from enum import Enum
from typing import Iterable, NamedTuple

from .._uapi.bpf import MapType, ProgType
from .._uapi.maps import MapSpec
from .maps import rows_fitting
from .places import is_cleaned
from .preamble import JUMP_MAPS, LAYOUTS
from .tc_attach import ENTRY_PROGRAMS, EntryProgram


class Verdict(Enum):
    """Whose an object is."""

    CALICO = "calico"
    FOREIGN = "foreign"
    UNPROVEN = "unproven"


class Ownership(NamedTuple):
    """The verdict and the sentences that led to it."""

    verdict: Verdict
    reasons: tuple[str, ...]


class Check(NamedTuple):
    """A piece of evidence. ``holds`` is None when it could not be read.

    ``sign``: where it holds, the object is suspect of being Calico's, so it is not foreign.
    ``hint``: the object is suspect even though it does not hold, for its name is Calico-like.
    """

    holds: bool | None
    yes: str
    no: str
    sign: bool = True
    hint: bool = False


class Program(NamedTuple):
    """A loaded program.

    ``maps`` are those it refers to, None when they could not be read. ``iface_name`` is the
    interface named in its constants. ``slots`` are the program arrays that hold it.
    """

    name: str
    type: int
    maps: tuple[MapSpec, ...] | None
    iface_name: str = ""
    slots: tuple[MapSpec, ...] = ()


def judge(checks: Iterable[Check]) -> Ownership:
    """Calico's when all holds, foreign when no sign does, else unproven."""
    every = tuple(checks)
    reasons = tuple(check.yes if check.holds else check.no for check in every)
    if all(check.holds for check in every):
        return Ownership(Verdict.CALICO, reasons)
    suspect = any(check.hint or (check.sign and check.holds is not False) for check in every)
    return Ownership(Verdict.UNPROVEN if suspect else Verdict.FOREIGN, reasons)


def entry_checks(program: Program, device: str, kind: str) -> tuple[Check, ...]:
    """Name, type, constants and the interface in them."""
    rows = _entry_rows(program.name, kind)
    wanted = ProgType.SCHED_CLS if kind == "tc" else ProgType.XDP
    return (
        Check(
            bool(rows),
            f"{program.name} is an entry program of Calico {rows[0].releases if rows else ''}.",
            f"{program.name!r} is no entry program of Calico.",
            hint=is_cleaned(program.name),
        ),
        Check(
            program.type == wanted,
            f"It is a {wanted.name.lower()} program.",
            f"It is no {wanted.name.lower()} program.",
            sign=False,
        ),
        rodata_check(program, _rodata_names(program.name, kind), kind),
        Check(
            is_interface(program.iface_name, device),
            f"Its constants name {device}.",
            f"Its constants name {program.iface_name!r}, not {device}.",
            sign=False,
        ),
    )


def _entry_rows(name: str, kind: str) -> list[EntryProgram]:
    return [row for row in ENTRY_PROGRAMS if (row.kind, row.name) == (kind, name)]


def _rodata_names(program: str, kind: str) -> tuple[str, ...]:
    """Kernel names of the constants' map; an empty one is any name that ends in .rodata."""
    rows = _entry_rows(program, kind)
    layouts = [layout for layout in LAYOUTS if layout.program == kind]
    if not rows:
        return tuple({layout.map_name for layout in layouts if layout.map_name})
    return tuple(
        {
            layout.map_name
            for layout in layouts
            for row in rows
            if layout.releases.overlaps(row.releases)
        }
    )


def rodata_check(program: Program, names: tuple[str, ...], kind: str) -> Check:
    found = next((spec for spec in program.maps or () if _is_rodata(spec, names, kind)), None)
    return Check(
        None if program.maps is None else found is not None,
        f"Its constants, {found.name} of {found.value_size} B, have a known layout."
        if found
        else "",
        maps_unread(program) or "It has no constants of a known layout.",
    )


def _is_rodata(spec: MapSpec, names: tuple[str, ...], kind: str) -> bool:
    """One value of a known size, in an array map of a known name."""
    if (spec.type, spec.key_size, spec.max_entries) != (MapType.ARRAY, 4, 1):
        return False
    return any(
        layout.value_size == spec.value_size
        and (spec.name == layout.map_name or (not layout.map_name and ".rodata" in spec.name))
        for layout in LAYOUTS
        if layout.program == kind and layout.map_name in names
    )


def calls_check(program: Program) -> Check:
    """The state map and the program arrays: one of each kind that its releases have."""
    arrays = {
        role
        for row in _entry_rows(program.name, "tc")
        for maps in JUMP_MAPS
        if maps.releases.overlaps(row.releases)
        for role in (("jump", "progs") if maps.progs else ("jump",))
    }
    found = [refers(program, role) for role in sorted({"state", "jump", *arrays})]
    holds = None if program.maps is None else all(found)
    return Check(
        holds,
        "It uses Calico's state map and program arrays.",
        maps_unread(program) or "It does not use Calico's state map and program arrays.",
    )


def refers(program: Program, *roles: str) -> bool | None:
    if program.maps is None:
        return None
    return any(has_role(spec, *roles) for spec in program.maps)


def has_role(spec: MapSpec, *roles: str) -> bool:
    """Whether a map fits a row whose role, or a part of it, is one of ``roles``."""
    return any(set(row.role.split("_")) & set(roles) for row in rows_fitting(spec))


def maps_unread(program: Program) -> str:
    return "Its maps could not be read." if program.maps is None else ""


def nat_check(program: Program, may_lack: bool) -> Check:
    """NAT or message maps; sendmsg on IPv6 has none up to 3.27 (programs 4.1)."""
    found = None
    if program.maps is not None:
        found = any(row.family for spec in program.maps for row in rows_fitting(spec))
    return Check(
        found or (may_lack and found is False),
        "It uses Calico's NAT maps." if found else "For this hook it needs no NAT map.",
        maps_unread(program) or "It does not use Calico's NAT maps.",
        sign=found is not False,
    )


def is_interface(stored: str, device: str) -> bool:
    """Whether constants name a device: 15 characters, of which felix fills the rest with dashes."""
    return bool(device) and stored.rstrip("\0") in (device, device.ljust(15, "-"))
