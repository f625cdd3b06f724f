# SPDX-License-Identifier: GPL-3.0-or-later
"""The devices that felix makes, and kernel settings that eBPF mode leaves."""

from __future__ import annotations

from typing import Iterable, Iterator, Sequence

from ..._calico import pin_ownership
from ..._calico.places import DEVICES, PLACES, RESIDUES, Residue
from ..._kernel import machine, sysctl
from ..._plan.findings_input import Device
from ..._plan.wording import several
from .interfaces import Seen

_INTERFACE = "<interface>"
_CGROUP = next(place.path for place in PLACES if place.purpose == "cgroup_root")


def special_devices(seen: Seen) -> tuple[Device, ...]:
    """The interfaces with names of felix's devices, and whose they are."""
    wanted = {row.name for row in DEVICES}
    return tuple(_device(name, seen) for name in seen.names.values() if name in wanted)


def _device(name: str, seen: Seen) -> Device:
    by_index = {one.ifindex: one for one in seen.devices}
    own = next((one for one in seen.devices if one.name == name), None)
    peer = by_index.get(own.peer or 0) if own else None
    # The peer's index may be that of another namespace: only what points back is the peer.
    mutual = peer.name if peer and own and peer.peer == own.ifindex else ""
    kind = own.kind if own else ""
    return Device(name, kind, mutual, pin_ownership.special_device(name, kind, mutual))


def settings_left(interfaces: Iterable[str]) -> tuple[str, ...]:
    """Settings of eBPF mode in force, in sentences; none unless some interface has all of its own.

    The others alone prove nothing: distributions make them, too.
    """
    own = [row for row in RESIDUES if _INTERFACE in row.sysctl]
    marked = [name for name in interfaces if all(_is(row, name) for row in own)]
    if not marked:
        return ()
    return (*(f"{row.sysctl} is {row.value} on {several(marked)}." for row in own), *_general())


def _is(row: Residue, interface: str) -> bool:
    name = row.sysctl.replace(_INTERFACE, interface.translate(str.maketrans("./", "/.")))
    return sysctl.read(name) == row.value


def _general() -> Sequence[str]:
    return [*_sysctls(), *_mounts()]


def _sysctls() -> Iterator[str]:
    for row in RESIDUES:
        if _INTERFACE not in row.sysctl and sysctl.read(row.sysctl) == row.value:
            yield f"{row.sysctl} is {row.value}."


def _mounts() -> Iterator[str]:
    if any(mount.path == _CGROUP for mount in machine.mounts("cgroup2")):
        yield f"A cgroup2 file system is mounted at {_CGROUP}."
