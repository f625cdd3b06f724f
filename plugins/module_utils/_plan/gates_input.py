# SPDX-License-Identifier: GPL-3.0-or-later
"""What gates look at: the facts of node_info, the operation that is planned, and their answer."""

from __future__ import annotations

from pathlib import PurePosixPath
from typing import Any, Callable, Mapping, NamedTuple

from .._calico.defects import defect
from .._calico.maps import rows_named
from .._calico.places import OLD_SUFFIX
from .._calico.tables.gate_row import SWITCH, Gate
from .._calico.versions import VersionSet, parse_range
from .gates_operation import Operation

OPEN, NOTE, CLOSED = "open", "note", "closed"

NAME_IT = "Name the running release by calico_version."


class Answer(NamedTuple):
    """What a rule says.

    ``outcome``: open, note (goes on, but the operator should know) or closed. Empty texts are
    taken from the tables: ``says`` from the gate or its defect, ``remedy`` and ``upstream`` from
    the defect. ``firm``: the gate's override does not open it.
    """

    outcome: str = OPEN
    says: str = ""
    evidence: tuple[str, ...] = ()
    remedy: str = ""
    upstream: tuple[str, ...] = ()
    firm: bool = False


class Asked(NamedTuple):
    """A node's facts and the operation.

    ``running_seen`` are the releases that the kernel shows, ``running`` those of them that fit
    what the operator says.
    """

    facts: Mapping[str, Any]
    operation: Operation
    running: VersionSet
    running_seen: VersionSet

    @property
    def loading(self) -> VersionSet:
        """The releases whose programs are loaded next: the wanted one, else the running one."""
        return self.operation.target or self.running

    @property
    def goes_off(self) -> bool:
        """Whether eBPF mode is about to go off."""
        return self.operation.name == SWITCH and self.operation.to == "iptables"

    @property
    def goes_on(self) -> bool:
        """Whether eBPF mode is about to go on."""
        return self.operation.name == SWITCH and self.operation.to == "ebpf"

    @property
    def felix_cleans(self) -> bool:
        """Whether felix is about to start with eBPF mode off, and to remove what it knows of."""
        return self.goes_off and self.operation.restart


Rule = Callable[[Asked, Gate], Answer]

PASS = Answer()


class CtMap(NamedTuple):
    """A pinned conntrack map by the name of its pin; sizes in bytes."""

    name: str
    path: str
    type: str
    key_size: int
    value_size: int
    max_entries: int
    entries: int | None
    family: str
    old: bool
    superseded: bool


def asked(facts: Mapping[str, Any], operation: Operation) -> Asked:
    """Facts and operation; what the operator says of the release narrows what was seen."""
    seen = parse_range(facts["release_range"], "release_range")
    running = seen.intersection(operation.release) if operation.release else seen
    return Asked(facts, operation, running if running.spans else seen, seen)


def conntrack_maps(facts: Mapping[str, Any]) -> tuple[CtMap, ...]:
    """All pinned maps with the name of a conntrack map, also those that a resize left beside."""
    found = (_conntrack_map(one) for one in facts["maps"])
    return tuple(one for one in found if one)


def _conntrack_map(one: Mapping[str, Any]) -> CtMap | None:
    name = PurePosixPath(one["path"]).name
    old = name.endswith(OLD_SUFFIX)
    rows = rows_named(name[: -len(OLD_SUFFIX)] if old else name)
    if not rows or rows[0].role != "conntrack":
        return None
    sizes = (one["key_size"], one["value_size"], one["max_entries"])
    family = f"ipv{rows[0].family}"
    return CtMap(
        name, one["path"], one["type"], *sizes, one["entries"], family, old, one["superseded"]
    )


def current_maps(asking: Asked) -> tuple[CtMap, ...]:
    """The conntrack maps that the operation is about."""
    families = asking.operation.families
    return tuple(
        one
        for one in conntrack_maps(asking.facts)
        if not one.old and not one.superseded and one.family in families
    )


def found(facts: Mapping[str, Any], code: str) -> tuple[Mapping[str, Any], ...]:
    """The findings of one code."""
    return tuple(one for one in facts["findings"] if one["code"] == code)


def shown(findings: tuple[Mapping[str, Any], ...]) -> tuple[str, ...]:
    """The evidence of findings, each with its object."""
    return tuple(f"{one['object']}: {text}" for one in findings for text in one["evidence"])


def affected(release: VersionSet, code: str) -> VersionSet:
    """Those of ``release`` that have a defect."""
    return defect(code).affected.intersection(release)


def suspicion(release: VersionSet, bad: VersionSet) -> str:
    """One piece of evidence: all or some of ``release`` are ``bad``."""
    if bad == release:
        return f"The release is {release}."
    return f"The release is one of {release}, and {bad} would be affected."
