# SPDX-License-Identifier: GPL-3.0-or-later
"""Whose an object is: Calico's, foreign, or unproven (programs 7).

Calico's needs every piece of evidence that the fact sheet names for the kind of object; a name,
a preference or a place alone proves nothing. Foreign is what shows no sign of Calico. All else
is unproven, and like the foreign left alone.
"""

from __future__ import annotations

from typing import NamedTuple

from .._uapi.bpf import LinkType, ProgType
from .connect_time import attach_kinds_of, hook_of
from .evidence import (
    Check,
    Ownership,
    Program,
    calls_check,
    entry_checks,
    has_role,
    judge,
    maps_unread,
    nat_check,
    refers,
    rodata_check,
)
from .places import CONNECT_LINKS, NETKIT_LINKS, TCX_LINKS, is_cleaned
from .tc_attach import ENTRY_PROGRAMS, entry_names
from .versions import VersionSet, parse_range

STATIC_PROGRAMS = (
    "calico_log_filt",
    "calico_tc_",
    "calico_xdp_",
    "p4I_",
    "p4E_",
    "p6I_",
    "p6E_",
)
"""How names of programs in the program arrays begin (programs 2.5, 6, 7)."""


class Filter(NamedTuple):
    """A tc filter; ``name`` as in TCA_BPF_NAME."""

    device: str
    name: str
    program: Program


class TcxLink(NamedTuple):
    """A TCX or netkit attachment.

    ``link_type`` is 0 without a link, ``pin`` is relative to the bpffs.
    """

    device: str
    hook: str
    program: Program
    link_type: int
    pin: str = ""


class Xdp(NamedTuple):
    """The XDP program of an interface.

    ``own_array``: it calls into the array that is pinned for this interface alone (3.26).
    """

    device: str
    program: Program
    own_array: bool = False


class CgroupProgram(NamedTuple):
    """A program on a cgroup; ``root``: on the root of the host's cgroup2 tree."""

    attach_type: int
    program: Program
    root: bool
    link: bool
    pin: str = ""


def tc_filter(seen: Filter) -> Ownership:
    """Whose a tc filter is. Its preference, handle and qdisc say nothing."""
    named = any(seen.name.startswith(f"{row.name}:[") for row in ENTRY_PROGRAMS if row.kind == "tc")
    same = seen.name.split(":")[0] == seen.program.name
    return judge(
        (
            Check(
                named,
                f"The filter is called {seen.name}.",
                f"{seen.name!r} is no name of a Calico filter.",
            ),
            Check(
                named and same,
                "Program and filter have one name.",
                f"The program is called {seen.program.name!r}.",
                sign=False,
            ),
            *entry_checks(seen.program, seen.device, "tc"),
            calls_check(seen.program),
        )
    )


def tcx_link(seen: TcxLink) -> Ownership:
    """Whose a TCX attachment is."""
    pins = (f"{TCX_LINKS}/{seen.device.replace('.', '')}_{seen.hook}",)
    return _interface_link(seen, LinkType.TCX, "TCX", pins)


def netkit_link(seen: TcxLink) -> Ownership:
    """Whose a netkit attachment is; whether dots stay in the pin's name is not stated."""
    names = dict.fromkeys((seen.device.replace(".", ""), seen.device))
    pins = tuple(f"{NETKIT_LINKS}/{name}_{seen.hook}" for name in names)
    return _interface_link(seen, LinkType.NETKIT, "netkit", pins)


def _interface_link(seen: TcxLink, kind: int, called: str, pins: tuple[str, ...]) -> Ownership:
    return judge(
        (
            *entry_checks(seen.program, seen.device, "tc"),
            calls_check(seen.program),
            Check(
                seen.link_type == kind,
                f"It is attached by a {called} link.",
                f"It is not attached by a {called} link.",
                sign=False,
            ),
            Check(
                seen.pin in pins,
                f"The link is pinned at {seen.pin}.",
                f"The link is not pinned at {pins[0]}.",
                sign=False,
            ),
        )
    )


def xdp_program(seen: Xdp) -> Ownership:
    """Whose the XDP program of an interface is.

    That of 3.26 has no constants that name the interface, but calls into an array of its own,
    pinned in ``tc/<interface>_xdp`` (programs 2.3, 6). Without that pin it stays unproven.
    """
    checks = entry_checks(seen.program, seen.device, "xdp")
    if seen.program.name not in entry_names("xdp", parse_range("3.26")):
        return judge(checks)
    array = Check(
        seen.own_array and refers(seen.program, "jump"),
        f"It calls into the array pinned for {seen.device}.",
        f"It calls into no array pinned for {seen.device}.",
        sign=False,
    )
    return judge((*checks[:2], array))


def cgroup_program(seen: CgroupProgram, release: VersionSet | None = None) -> Ownership:
    """Whose a program on a cgroup is.

    A link has to be pinned as Calico pins it, except in a ``release`` that keeps its links in a
    descriptor only.
    """
    hook = hook_of(seen.attach_type)
    program = seen.program
    checks = [
        Check(
            program.type == ProgType.CGROUP_SOCK_ADDR,
            "It is a program for socket addresses.",
            "It is no program for socket addresses.",
            sign=False,
        ),
        Check(
            hook is not None and program.name == hook.program,
            f"It has the name of Calico's program for this hook, {program.name}.",
            f"{program.name!r} is not the name of Calico's program for this hook.",
            hint=is_cleaned(program.name),
        ),
        Check(seen.root, "It is on the cgroup root.", "It is not on the cgroup root.", sign=False),
        rodata_check(program, ("connect_.rodata",), "connect"),
        nat_check(program, hook is not None and hook.section == "sendmsg6"),
    ]
    if seen.link:
        pins = tuple(f"{CONNECT_LINKS}/{name}" for name in hook.pins) if hook else ()
        unpinned = release is not None and not any(row.pinned for row in attach_kinds_of(release))
        checks.append(
            Check(
                seen.pin in pins or (unpinned and not seen.pin),
                f"Its link is pinned at {seen.pin}." if seen.pin else "This release pins no link.",
                "Its link is not pinned where Calico pins it.",
                sign=False,
            )
        )
    return judge(checks)


def static_program(program: Program) -> Ownership:
    """Whose a program is that nothing attaches: policy, log filter or static program."""
    named = program.name.startswith(STATIC_PROGRAMS)
    in_slot = any(has_role(spec, "jump", "progs") for spec in program.slots)
    linked = True if in_slot else refers(program, "state", "progs", "jump")
    return judge(
        (
            Check(
                named,
                f"{program.name} is a name of Calico's programs.",
                f"{program.name!r} is no name of Calico's programs.",
                hint=is_cleaned(program.name),
            ),
            Check(
                linked,
                "It is in Calico's program arrays or uses Calico's maps.",
                maps_unread(program) or "It is in no Calico program array and uses no such map.",
            ),
        )
    )
