# SPDX-License-Identifier: GPL-3.0-or-later
"""Pinned links that no hook shows: severed ones, and those that attach somewhere else."""

from __future__ import annotations

from pathlib import PurePosixPath
from typing import Iterator

from .._calico import ownership
from .._calico.evidence import Ownership, Verdict
from .._calico.places import CONNECT_LINKS, NETKIT_LINKS, TCX_LINKS
from .._errors import SyscallError
from .._kernel.links import Link, LinkInfo
from .._kernel.objects import open_pin
from .._plan.connect_removal import LinkPin
from .._plan.findings_input import Loaded, Node, Pin
from .._uapi.bpf import AttachType, LinkType
from .node.programs import Programs

_HOOKS: dict[int | None, str] = {
    AttachType.TCX_INGRESS: "ingress",
    AttachType.TCX_EGRESS: "egress",
    AttachType.NETKIT_PEER: "ingress",
    AttachType.NETKIT_PRIMARY: "egress",
}
_ELSEWHERE = Ownership(Verdict.UNPROVEN, ("It attaches a program where nobody looked.",))


def connect_pins(node: Node) -> tuple[LinkPin, ...]:
    """Links pinned where felix pins those of connect-time programs."""
    shown = {one.link_id for one in node.connect_time}
    return tuple(_pins(node, (CONNECT_LINKS,), shown))


def interface_pins(node: Node) -> tuple[LinkPin, ...]:
    """Links pinned where felix pins those of TCX and netkit programs."""
    shown = {one.link_id for interface in node.interfaces for one in interface.attachments}
    return tuple(_pins(node, (TCX_LINKS, NETKIT_LINKS), shown))


def _pins(node: Node, directories: tuple[str, ...], shown: set[int | None]) -> Iterator[LinkPin]:
    programs = Programs()
    for one in node.pins:
        path = PurePosixPath(one.path)
        directory = path.parent.name
        if one.kind != "link" or directory not in directories or one.object_id in shown:
            continue
        found = _owner(one, f"{directory}/{path.name}", programs)
        if found is not None and one.object_id is not None:
            yield LinkPin(one.path, one.object_id, found, one.severed)


def _owner(one: Pin, pin: str, programs: Programs) -> Ownership | None:
    """Whose it is; None when the pin is gone."""
    try:
        with Link(open_pin(one.path)) as opened:
            info = opened.info()
        program = programs.loaded(info.prog_id)
    except SyscallError:
        return None
    if not one.severed or program is None:
        return _ELSEWHERE
    if info.type == LinkType.CGROUP:
        seen = ownership.CgroupProgram(info.attach_type or -1, program.evidence, True, True, pin)
        return ownership.cgroup_program(seen)
    return _of_interface(info, program, pin)


def _of_interface(info: LinkInfo, program: Loaded, pin: str) -> Ownership:
    """The interface is gone; its name is in the constants of the program."""
    device = program.evidence.iface_name.rstrip("-")
    hook = _HOOKS.get(info.attach_type, "")
    seen = ownership.TcxLink(device, hook, program.evidence, info.type, pin)
    return ownership.netkit_link(seen) if info.type == LinkType.NETKIT else ownership.tcx_link(seen)
