# SPDX-License-Identifier: GPL-3.0-or-later
"""Gates about mounts and leftovers: one function for each rule of the table."""

from __future__ import annotations

from .._calico.tables.gate_row import Gate
from .gates_input import CLOSED, PASS, Answer, Asked, Rule, found, shown


def not_found(asking: Asked, gate: Gate) -> Answer:
    """The node has no finding of the gate's code."""
    evidence = shown(found(asking.facts, gate.code))
    return Answer(CLOSED, evidence=evidence) if evidence else PASS


def nothing_left(asking: Asked, gate: Gate) -> Answer:
    """The same before eBPF mode goes on; what is left when it goes off is the task's own."""
    return not_found(asking, gate) if asking.goes_on else PASS


def no_severed_link(asking: Asked, gate: Gate) -> Answer:
    """felix of some releases stumbles over one when it attaches, which it does in eBPF mode."""
    return PASS if asking.goes_off else not_found(asking, gate)


def bpffs_is_mounted(asking: Asked, gate: Gate) -> Answer:
    """A bpffs on the host; without one felix makes its own, which its container takes along."""
    mounts = asking.facts["bpffs_mounts"]
    if asking.operation.bpffs in mounts or asking.goes_off:
        return not_found(asking, gate)
    there = ", ".join(mounts) or "nowhere"
    evidence = f"A bpffs is mounted at {there}, but not at {asking.operation.bpffs}."
    return Answer(CLOSED, evidence=(evidence,))


def cgroup_is_mounted(asking: Asked, gate: Gate) -> Answer:
    """Connect-time programs are attached to the root of a cgroup2 tree."""
    if asking.facts["cgroup_roots"] or asking.goes_off:
        return PASS
    return Answer(CLOSED, evidence=("No cgroup2 file system is mounted.",))


def interfaces_are_seen(asking: Asked, gate: Gate) -> Answer:
    """pyroute2 is on the node."""
    return PASS if asking.facts["interfaces_known"] else Answer(CLOSED)


RULES: dict[str, Rule] = {
    rule.__name__: rule
    for rule in (
        nothing_left,
        no_severed_link,
        bpffs_is_mounted,
        cgroup_is_mounted,
        interfaces_are_seen,
    )
}
