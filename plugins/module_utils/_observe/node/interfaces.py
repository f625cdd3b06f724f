# SPDX-License-Identifier: GPL-3.0-or-later
"""What is attached to the interfaces of a node: tc filters, TCX links and XDP programs."""

from __future__ import annotations

from fnmatch import fnmatchcase
from typing import Iterator, Mapping, NamedTuple, Sequence

from ..._calico import ownership
from ..._calico.evidence import Ownership, Verdict
from ..._kernel import interfaces as netlink
from ..._kernel import machine
from ..._kernel.attachments import has_tcx, netkit_programs, tcx_programs
from ..._kernel.tc import EGRESS, INGRESS, Filter
from ..._plan.findings_input import Attachment, Interface, Loaded
from ..._uapi.bpf import AttachType, LinkType
from .notes import Notes
from .programs import Programs

_PARENTS = {INGRESS: "ingress", EGRESS: "egress"}
_TCX = {AttachType.TCX_INGRESS: "ingress", AttachType.TCX_EGRESS: "egress"}
_NETKIT = {AttachType.NETKIT_PEER: "ingress", AttachType.NETKIT_PRIMARY: "egress"}
"""The kernel's hooks and felix's names for them: what the pod sends comes in at the peer."""
_LINKS = {
    "tcx": (LinkType.TCX, ownership.tcx_link),
    "netkit": (LinkType.NETKIT, ownership.netkit_link),
}
_VANISHED = Ownership(Verdict.UNPROVEN, ("The program was gone before it could be read.",))


class Seen(NamedTuple):
    """All interfaces; ``known`` is False when tc and XDP could not be looked at.

    ``names`` are those of all interfaces by ifindex, ``devices`` what netlink told of them.
    """

    interfaces: tuple[Interface, ...]
    known: bool
    names: Mapping[int, str]
    devices: tuple[netlink.Device, ...]


class Walk:
    """One look at the interfaces. ``links`` tells the pin of a link by its id.

    ``arrays`` are ids of arrays pinned for one interface's XDP program, by directory.
    """

    def __init__(
        self,
        patterns: Sequence[str],
        programs: Programs,
        links: Mapping[int, str],
        notes: Notes,
        arrays: Mapping[str, int] | None = None,
    ) -> None:
        self.patterns = patterns
        self.programs = programs
        self.links = links
        self.notes = notes
        self.arrays = arrays or {}

    def all(self) -> Seen:
        """The interfaces of workloads, and all others that something is attached to."""
        devices, filters, known = self._netlink()
        names = {one.ifindex: one.name for one in devices} if known else machine.interface_names()
        tcx = self._tcx(names)
        by_index = {one.ifindex: one for one in devices}
        found = []
        for index, name in names.items():
            device = by_index.get(index)
            attached = [*self._filters(name, filters.get(index, ())), *tcx.get(index, ())]
            attached += self._netkit(name, device)
            attached += self._xdp(name, device)
            workload = any(fnmatchcase(name, pattern) for pattern in self.patterns)
            if workload or attached or (device and device.clsact):
                found.append(_interface(index, name, workload, device, tuple(attached)))
        return Seen(tuple(found), known, names, devices)

    def _netlink(
        self,
    ) -> tuple[tuple[netlink.Device, ...], dict[int, list[Filter]], bool]:
        filters: dict[int, list[Filter]] = {}
        with self.notes.reading("What is attached by tc and XDP"):
            devices = netlink.devices()
            for index, found in netlink.filters_of(one.ifindex for one in devices if one.clsact):
                filters.setdefault(index, []).append(found)
            return devices, filters, True
        return (), {}, False

    def _filters(self, device: str, filters: Sequence[Filter]) -> Iterator[Attachment]:
        for one in filters:
            program = self._program(one.prog_id)
            owner = _VANISHED
            if program:
                seen = ownership.Filter(device, one.name, program.evidence)
                owner = ownership.tc_filter(seen)
            yield Attachment(
                "tc",
                _PARENTS[one.parent],
                one.prog_id,
                one.name,
                owner,
                program,
                preference=one.prio,
                handle=one.handle,
            )

    def _tcx(self, names: Mapping[int, str]) -> dict[int, list[Attachment]]:
        found: dict[int, list[Attachment]] = {}
        with self.notes.reading("TCX"):
            if has_tcx():
                for index, name in names.items():
                    with self.notes.reading(f"TCX of {name}"):
                        found[index] = list(self._links(index, name))
        return found

    def _links(self, index: int, name: str) -> Iterator[Attachment]:
        for attach_type, hook in _TCX.items():
            seen = tcx_programs(index, attach_type)
            for prog_id, link_id in zip(seen.prog_ids, seen.link_ids):
                yield self._link("tcx", name, hook, prog_id, link_id)

    def _netkit(self, name: str, device: netlink.Device | None) -> Iterator[Attachment]:
        if device is None or device.kind != "netkit":
            return
        with self.notes.reading(f"netkit of {name}"):
            for attach_type, hook in _NETKIT.items():
                seen = netkit_programs(device.ifindex, attach_type)
                for prog_id, link_id in zip(seen.prog_ids, seen.link_ids):
                    yield self._link("netkit", name, hook, prog_id, link_id)

    def _link(self, kind: str, name: str, hook: str, prog_id: int, link_id: int) -> Attachment:
        program = self._program(prog_id)
        owner = _VANISHED
        if program:
            link_type, judged = _LINKS[kind]
            pin = self.links.get(link_id, "")
            owner = judged(
                ownership.TcxLink(name, hook, program.evidence, link_type if link_id else 0, pin)
            )
        called = program.evidence.name if program else ""
        return Attachment(kind, hook, prog_id, called, owner, program, link_id=link_id or None)

    def _xdp(self, name: str, device: netlink.Device | None) -> Iterator[Attachment]:
        for one in device.xdp if device else ():
            program = self._program(one.prog_id)
            owner = _VANISHED
            if program:
                own = self.arrays.get(f"tc/{name.replace('.', '')}_xdp") in program.map_ids
                owner = ownership.xdp_program(ownership.Xdp(name, program.evidence, own))
            called = program.evidence.name if program else ""
            yield Attachment("xdp", "xdp", one.prog_id, called, owner, program, mode=one.mode)

    def _program(self, prog_id: int | None) -> Loaded | None:
        if prog_id is None:
            return None
        with self.notes.reading(f"Program {prog_id}"):
            return self.programs.loaded(prog_id)
        return None


def _interface(
    index: int,
    name: str,
    workload: bool,
    device: netlink.Device | None,
    attached: tuple[Attachment, ...],
) -> Interface:
    if device is None:
        return Interface(name, index, workload, None, None, None, attached)
    return Interface(name, index, workload, device.kind, device.running, device.clsact, attached)
