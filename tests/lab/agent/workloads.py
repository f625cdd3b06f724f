# SPDX-License-Identifier: GPL-3.0-or-later
"""Interfaces of a plan: their ifstate entries, jump map slots and globals."""

from __future__ import annotations

import struct
from collections.abc import Iterator
from typing import NamedTuple

from . import bpf
from .filters import Interface
from .plan import Plan
from .releases import ENTRY_26

NONE = 0xFFFFFFFF
SLOTS = 10000
# Index in jumps and kernel name of the programs behind the preamble, other than main.
SUBPROGRAMS = (
    (2, "calico_tc_skb_a"),
    (3, "calico_tc_skb_s"),
    (4, "calico_tc_skb_d"),
    (6, "calico_tc_skb_i"),
    (7, "calico_tc_skb_n"),
)
READY = {"v4": 0x2, "v6": 0x4}


class Workload(NamedTuple):
    """Indices of an interface, a workload's or the host's, each by (family, hook) or hook."""

    interface: Interface
    policies: dict[tuple[str, int], int]
    filters: dict[int, int]
    host: bool = False
    # Whether there are programs at the indices of its filters.
    logs: bool = False


class Slots:
    """Hands out the entry points of the jump maps, the lowest free one first."""

    def __init__(self) -> None:
        self._taken: dict[str, set[int]] = {}

    def take(self, jump_map: str, wanted: int | None = None) -> int:
        """``wanted`` if it is free, else the lowest."""
        taken = self._taken.setdefault(jump_map, set())
        if wanted is None or wanted in taken or not 0 <= wanted < SLOTS:
            wanted = next(slot for slot in range(SLOTS) if slot not in taken)
        taken.add(wanted)
        return wanted


class IfState:
    """The ifstate map: read at start, written per interface."""

    def __init__(self, wanted: Plan, fd: int) -> None:
        self._plan, self._fd = wanted, fd
        self._layout = wanted.release.ifstate

    def assign(self, workloads: list[Interface], hosts: list[Interface]) -> list[Workload]:
        """Indices for all interfaces, those of an earlier run kept; vanished ones go."""
        interfaces = [*workloads, *hosts]
        present = {interface.number for interface in interfaces}
        for key, _ in list(bpf.entries(self._fd)):
            if struct.unpack("<I", key)[0] not in present:
                bpf.delete(self._fd, key)
        slots = Slots()
        known = {one: self._read(one) for one in interfaces}
        # Interfaces with an entry first: nobody else may get their slots.
        order = sorted(interfaces, key=lambda one: not known[one])
        return [self._assign(one, known[one], slots, host=one in hosts) for one in order]

    def write(self, one: Workload) -> None:
        """Write the entry in the release's layout; -1 where there is no index."""
        value = bytearray(self._layout.size)
        families = sum(READY[family] for family in self._plan.families)
        # Before 3.28 one bit says ready for the only family, and none says host endpoint.
        new = self._layout.size >= 52
        kind = (0x8 if new else 0) if one.host else 0x1
        flags = kind | (families if new else 0x2)
        struct.pack_into("<I15s", value, 0, flags, one.interface.name.encode())
        for offset in range(20, self._layout.size, 4):
            struct.pack_into("<i", value, offset, -1)
        for offset, family, hook in self._policy_fields(one.host):
            struct.pack_into("<i", value, offset, one.policies.get((family, hook), -1))
        for offset, hook in self._filter_fields(one.host):
            struct.pack_into("<i", value, offset, one.filters.get(hook, -1))
        bpf.update(self._fd, struct.pack("<I", one.interface.number), bytes(value))

    def _assign(self, interface: Interface, entry: bytes, slots: Slots, *, host: bool) -> Workload:
        release = self._plan.release
        logs = bool(self._layout.filters) and self._plan.logs.of(interface.name, host=host)
        stale = "stale_log_filter" in self._plan.defects
        stale = stale or (release.keeps_log_filter and self._plan.logs.debug)
        policies, filters = {}, {}
        for offset, family, hook in self._policy_fields(host):
            jump_map = release.jump_maps[hook][1]
            policies[family, hook] = slots.take(jump_map, _index(entry, offset))
        for offset, hook in self._filter_fields(host):
            index = _index(entry, offset)
            if logs or stale or (index is not None and release.keeps_log_filter):
                filters[hook] = slots.take(release.jump_maps[hook][1], index)
        return Workload(interface, policies, filters, host, logs)

    def _read(self, interface: Interface) -> bytes:
        return bpf.lookup(self._fd, struct.pack("<I", interface.number)) or b""

    def _policy_fields(self, host: bool) -> Iterator[tuple[int, str, int]]:
        # Release 3.27 has one pair, for whichever family there is.
        one_family = len(self._layout.policies) == 2
        for at, offset in enumerate(self._layout.policies):
            family = self._plan.families[0] if one_family else ("v4", "v6")[at // 2]
            if family in self._plan.families:
                yield offset, family, self._hook(at % 2, host)

    def _filter_fields(self, host: bool) -> Iterator[tuple[int, int]]:
        for at, offset in enumerate(self._layout.filters):
            yield offset, self._hook(at, host)

    def _hook(self, field: int, host: bool) -> int:
        """tc hook of field 0 (ingress) or 1: a policy's ingress is a workload's tc egress."""
        return field if host or self._plan.release.by_hook else 1 - field


def _index(entry: bytes, offset: int) -> int | None:
    index: int = struct.unpack_from("<i", entry, offset)[0] if entry else -1
    return index if index >= 0 else None


def globals_of(
    wanted: Plan, one: Workload, hook: int, mains: dict[tuple[bool, str, int], int]
) -> bytes:
    """The read-only data of an interface's program, in the release's layout.

    ``mains``: first slot of the programs of hosts or workloads, of each family and hook.
    """
    layout = wanted.preamble
    data = bytearray(layout.size)
    halves = {"v4": 0, "v6": layout.half} if layout.half else {wanted.families[0]: 0}
    for family, half in halves.items():
        struct.pack_into("15s", data, half + layout.iface, _padded(one.interface.name))
        if layout is not ENTRY_26:
            struct.pack_into("<I", data, half + layout.log_filter, one.filters.get(hook, NONE))
            jumps = _jumps(
                mains.get((one.host, family, hook)), one.policies.get((family, hook), NONE)
            )
            struct.pack_into("<40I", data, half + layout.jumps, *jumps)
    return bytes(data)


def _padded(name: str) -> bytes:
    return name.encode().ljust(15, b"-")[:15]


def _jumps(first: int | None, policy: int) -> list[int]:
    jumps = [NONE] * 40
    if first is not None:
        jumps[0], jumps[1] = first, policy
        for place, (index, _) in enumerate(SUBPROGRAMS, start=1):
            jumps[index] = first + place
    return jumps
