# SPDX-License-Identifier: GPL-3.0-or-later
"""How felix attaches its entry programs to interfaces, by release."""

from __future__ import annotations

from typing import NamedTuple

from .rows import Table, since
from .versions import VersionSet

FIRST_PREF = 49152
"""The preference that the kernel gives to the first filter of anybody who names none."""
LAST_PREF = 32768
"""With a filter here, attaching without a preference fails with ENOSPC (programs 1.2)."""
FIRST_HANDLE = 1
PARENTS = {"ingress": 0xFFFFFFF2, "egress": 0xFFFFFFF3}
PROTOCOL = 0x0003
"""ETH_P_ALL in host order."""


class AttachBehaviour(NamedTuple):
    """How tc filters and TCX links come and go.

    ``lists``: how felix finds its filters: tc (the command) or netlink. ``names``: parts of the
    filter's text or name by which it knows them. ``preference``: falls (by one each time) or
    kept. ``handle``: first, toggles (1 and 2), or kept. ``replaces``: beside (new filter first,
    then the old deleted) or in_place. ``removes_duplicates``: whether an attach removes further
    Calico filters. ``compares_hooks``: an interface of a workload is not ready while preference
    and handle of its two filters differ. ``tcx``: TCX links by default, where the kernel has
    them. ``record``: no attach when a record in /var/run/calico/bpf/prog matches.
    """

    releases: VersionSet
    lists: str
    names: tuple[str, ...]
    preference: str
    handle: str
    replaces: str
    removes_duplicates: bool
    compares_hooks: bool
    tcx: bool
    record: bool
    source: str
    certain: bool = True


class EntryProgram(NamedTuple):
    """The kernel name of a program that is attached to interfaces; ``kind`` is tc or xdp."""

    kind: str
    name: str
    releases: VersionSet
    source: str


class AttachMode(NamedTuple):
    """A value of bpfAttachType; the first that the kernel and device allow is used."""

    releases: VersionSet
    values: tuple[str, ...]
    default: str
    source: str
    certain: bool = True


_PREAMBLE = "cali_tc_preambl"
_NAMES = (_PREAMBLE, "calico")
_SOURCE = "programs 1.2, 5"

_BEHAVIOUR: tuple[AttachBehaviour, ...] = (
    AttachBehaviour(
        since("3.26"),
        lists="tc",
        names=("calico",),
        preference="falls",
        handle="first",
        replaces="beside",
        removes_duplicates=True,
        compares_hooks=False,
        tcx=False,
        record=True,
        source=_SOURCE,
    ),
    AttachBehaviour(
        since(">=3.27,<3.27.5 | >=3.28,<3.28.2"),
        lists="tc",
        names=_NAMES,
        preference="falls",
        handle="first",
        replaces="beside",
        removes_duplicates=True,
        compares_hooks=True,
        tcx=False,
        record=False,
        source=_SOURCE,
    ),
    AttachBehaviour(
        since(">=3.27.5,<3.28 | >=3.28.2,<3.28.5 | >=3.29,<3.29.5 | 3.30.0"),
        lists="tc",
        names=_NAMES,
        preference="kept",
        handle="toggles",
        replaces="beside",
        removes_duplicates=True,
        compares_hooks=True,
        tcx=False,
        record=False,
        source=_SOURCE + "; #9074, #9088/#9094, #9089",
    ),
    AttachBehaviour(
        since(">=3.28.5,<3.29 | >=3.29.5,<3.30 | >=3.30.1,<3.31"),
        lists="tc",
        names=_NAMES,
        preference="kept",
        handle="kept",
        replaces="in_place",
        removes_duplicates=False,
        compares_hooks=True,
        tcx=False,
        record=False,
        source=_SOURCE + "; #10445/#10454/#10455/#10456",
    ),
    AttachBehaviour(
        since(">=3.31"),
        lists="netlink",
        names=_NAMES,
        preference="kept",
        handle="kept",
        replaces="in_place",
        removes_duplicates=False,
        compares_hooks=False,
        tcx=True,
        record=False,
        source=_SOURCE + "; #10477, #10573",
    ),
)

_FROM_3_26 = (
    "calico_from_wor",
    "calico_to_workl",
    "calico_from_hos",
    "calico_to_host_",
    "calico_from_tun",
    "calico_to_tunne",
    "calico_from_l3d",
    "calico_to_l3dev",
    "calico_from_nat",
    "calico_to_nat_e",
    "calico_from_lo_",
    "calico_to_lo_ep",
)

_ENTRY_PROGRAMS: tuple[EntryProgram, ...] = (
    *(EntryProgram("tc", name, since("3.26"), "programs 0") for name in _FROM_3_26),
    EntryProgram("tc", _PREAMBLE, since(">=3.27"), "programs 0"),
    EntryProgram("xdp", "xdp_calico_entr", since("3.26"), "programs 6"),
    EntryProgram("xdp", "cali_xdp_preamb", since(">=3.27"), "programs 6"),
)

_MODES: tuple[AttachMode, ...] = (
    AttachMode(since(">=3.31"), ("TCX", "TC"), "TCX", "programs 1.3; #10573"),
    AttachMode(since(">=3.33"), ("Netkit", "TCX", "TC"), "Netkit", "programs 1.3", certain=False),
)

BEHAVIOUR = Table(_BEHAVIOUR, lambda row: "tc")
ENTRY_PROGRAMS = Table(_ENTRY_PROGRAMS, lambda row: row.name)
MODES = Table(_MODES, lambda row: "mode")


def tc_behaviour_of(release: VersionSet) -> tuple[AttachBehaviour, ...]:
    """How some of ``release`` attaches; more than one row where point releases differ."""
    return BEHAVIOUR.of(release)


def entry_names(kind: str, release: VersionSet | None = None) -> frozenset[str]:
    """Kernel names of the entry programs of ``kind``, of any release when none is given."""
    rows = ENTRY_PROGRAMS.rows if release is None else ENTRY_PROGRAMS.of(release)
    return frozenset(row.name for row in rows if row.kind == kind)


def attach_modes_of(release: VersionSet) -> tuple[AttachMode, ...]:
    """The values of bpfAttachType; none before 3.31."""
    return MODES.of(release)
