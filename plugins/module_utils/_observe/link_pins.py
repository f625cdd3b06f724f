# SPDX-License-Identifier: GPL-3.0-or-later
"""Pinned links that no hook shows: severed ones, and those that attach somewhere else."""

from __future__ import annotations

from pathlib import PurePosixPath
from typing import Iterator

from .._calico import ownership
from .._calico.evidence import Ownership, Verdict
from .._calico.places import CONNECT_LINKS, TCX_LINKS
from .._errors import SyscallError
from .._kernel.links import Link, LinkInfo
from .._kernel.objects import open_pin
from .._plan.connect_removal import LinkPin
from .._plan.findings_input import Loaded, Node, Pin
from .._uapi.bpf import AttachType, LinkType
from .node.programs import Programs

_TCX_HOOKS: dict[int | None, str] = {
    AttachType.TCX_INGRESS: "ingress",
    AttachType.TCX_EGRESS: "egress",
}
_ELSEWHERE = Ownership(Verdict.UNPROVEN, ("It attaches a program where nobody looked.",))


def connect_pins(node: Node) -> tuple[LinkPin, ...]:
    """Links pinned where felix pins those of connect-time programs."""
    shown = {one.link_id for one in node.connect_time}
    return tuple(_pins(node, CONNECT_LINKS, shown))


def tcx_pins(node: Node) -> tuple[LinkPin, ...]:
    """Links pinned where felix pins those of TCX programs."""
    shown = {one.link_id for interface in node.interfaces for one in interface.attachments}
    return tuple(_pins(node, TCX_LINKS, shown))


def _pins(node: Node, directory: str, shown: set[int | None]) -> Iterator[LinkPin]:
    programs = Programs()
    for one in node.pins:
        path = PurePosixPath(one.path)
        if one.kind != "link" or path.parent.name != directory or one.object_id in shown:
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
    if info.type == LinkType.TCX:
        return _tcx(info, program, pin)
    seen = ownership.CgroupProgram(info.attach_type or -1, program.evidence, True, True, pin)
    return ownership.cgroup_program(seen)


def _tcx(info: LinkInfo, program: Loaded, pin: str) -> Ownership:
    """The interface is gone; its name is in the constants of the program."""
    device = program.evidence.iface_name.rstrip("-")
    hook = _TCX_HOOKS.get(info.attach_type, "")
    return ownership.tcx_link(ownership.TcxLink(device, hook, program.evidence, info.type, pin))
