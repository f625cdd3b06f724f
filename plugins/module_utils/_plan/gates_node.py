# SPDX-License-Identifier: GPL-3.0-or-later
"""Gates about mounts, leftovers and other software: one function for each rule of the table."""

from __future__ import annotations

from typing import Any, Iterator, Mapping

from .._calico.defects import defect
from .._calico.tables.gate_row import SWITCH, Gate
from .gates_input import (
    CLOSED,
    NOTE,
    PASS,
    Answer,
    Asked,
    Rule,
    affected,
    found,
    shown,
    suspicion,
)


def not_found(asking: Asked, gate: Gate) -> Answer:
    """The node has no finding of the gate's code."""
    evidence = shown(found(asking.facts, gate.code))
    return Answer(CLOSED, evidence=evidence) if evidence else PASS


def nothing_left(asking: Asked, gate: Gate) -> Answer:
    """The same before eBPF mode goes on; what is left when it goes off is the task's own."""
    return not_found(asking, gate) if asking.operation.to == "ebpf" else PASS


def bpffs_is_mounted(asking: Asked, gate: Gate) -> Answer:
    """A bpffs on the host; without one felix makes its own, which its container takes along."""
    mounts = asking.facts["bpffs_mounts"]
    if asking.operation.bpffs in mounts or _goes_off(asking):
        return not_found(asking, gate)
    there = ", ".join(mounts) or "nowhere"
    evidence = f"A bpffs is mounted at {there}, but not at {asking.operation.bpffs}."
    return Answer(CLOSED, evidence=(evidence,))


def cgroup_is_mounted(asking: Asked, gate: Gate) -> Answer:
    """Connect-time programs are attached to the root of a cgroup2 tree."""
    if asking.facts["cgroup_roots"] or _goes_off(asking):
        return PASS
    return Answer(CLOSED, evidence=("No cgroup2 file system is mounted.",))


def no_foreign_connect_time(asking: Asked, gate: Gate) -> Answer:
    """felix looks for the first program of each hook and takes it for its own."""
    bad = affected(asking.running, gate.code)
    if not _goes_off(asking) or not bad.spans:
        return PASS
    evidence = tuple(
        f"{one['cgroup']} has program {one['program_id']}, {one['name']}, at {one['hook']}."
        for one in asking.facts["connect_time"]
        if one["legacy"] and one["owner"] != "calico"
    )
    return Answer(CLOSED, evidence=evidence) if evidence else PASS


def no_foreign_filter(asking: Asked, gate: Gate) -> Answer:
    """felix removes the whole clsact qdisc where it finds a filter of its own."""
    if not _goes_off(asking):
        return PASS
    evidence = tuple(
        f"{interface['name']} has {one['name']} at {one['hook']}."
        for interface in asking.facts["interfaces"]
        if _has_calico(interface)
        for one in _others(interface)
    )
    return Answer(CLOSED, evidence=evidence) if evidence else PASS


def _has_calico(interface: Mapping[str, Any]) -> bool:
    return any(one["owner"] == "calico" for one in interface["programs"] if one["kind"] == "tc")


def _others(interface: Mapping[str, Any]) -> Iterator[Mapping[str, Any]]:
    return (
        one for one in interface["programs"] if one["kind"] == "tc" and one["owner"] != "calico"
    )


def operator_keeps_mount(asking: Asked, gate: Gate) -> Answer:
    """Operators before 1.40 take the mount away in the same moment."""
    bad = affected(asking.running, gate.code)
    operator = asking.operation.install_kind == "operator"
    if not (operator and _goes_off(asking) and bad.spans):
        return PASS
    says = f"{defect(gate.code).title} The role dataplane_switch removes what stays."
    return Answer(NOTE, says, (suspicion(asking.running, bad),))


def interfaces_are_seen(asking: Asked, gate: Gate) -> Answer:
    """pyroute2 is on the node."""
    return PASS if asking.facts["interfaces_known"] else Answer(CLOSED)


def _goes_off(asking: Asked) -> bool:
    return asking.operation.name == SWITCH and asking.operation.to == "iptables"


RULES: dict[str, Rule] = {
    rule.__name__: rule
    for rule in (
        not_found,
        nothing_left,
        bpffs_is_mounted,
        cgroup_is_mounted,
        no_foreign_connect_time,
        no_foreign_filter,
        operator_keeps_mount,
        interfaces_are_seen,
    )
}
